"""The proxy does each fault to the connections it is told to, and nothing to the others."""

import asyncio
import gc
import socket
import threading
import time
import warnings

import pytest

from tests.support.leaks import none_left
from tests.support.pipe import Ending, Pipe
from tests.support.ports import HOST
from tests.support.proxy import TO_CLIENT, TO_SERVER, Proxy
from tests.support.servers import Options, Server
from tests.support.wait import until

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"
SUBSCRIBE = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"


@pytest.fixture(scope="module")
def upstream():
    with Server(Options(flavour="valkey")) as server:
        yield server


@pytest.fixture
def proxy(upstream, make_proxy):
    upstream.reset()
    upstream.command("SET", "k", "v")
    return make_proxy(upstream)


@pytest.fixture
def connect(proxy):
    """`connect()`, `connect("data")`, `connect("feed")`: a socket on which that has been seen and answered."""
    sockets = []

    def make(kind="new"):
        sock = socket.create_connection((proxy.host, proxy.port), 10)
        sockets.append(sock)
        question, answer = {"new": (PING, PONG), "data": (GET, b"$1\r\nv\r\n"), "feed": (SUBSCRIBE, SUBSCRIBED)}[kind]
        sock.sendall(question)
        assert receive(sock, len(answer)) == answer
        return sock

    yield make
    for sock in sockets:
        sock.close()


def receive(sock, size):
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def is_silent(sock):
    sock.setblocking(False)
    try:
        return not sock.recv(1)
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(10)


def test_bytes_pass_and_are_counted(proxy, connect):
    sock = connect("data")
    (connection,) = proxy.data.connections
    assert connection.commands[0] == (b"GET", b"k")
    assert proxy.data.read(TO_SERVER) == len(GET)
    assert proxy.data.read(TO_CLIENT) == 7
    assert connection.pipes[TO_CLIENT].written == 7
    sock.close()
    until(lambda: not proxy.all.connections, message="the connection ends")
    assert proxy.all.ever == [connection]
    assert "ended" in repr(connection)


@pytest.mark.parametrize(
    ("commands", "kind"),
    [
        ([b"PING"], "new"),
        ([b"HELLO 2", b"AUTH x", b"SELECT 0", b"INFO", b"CONFIG GET x", b"CLIENT SETNAME x"], "new"),
        ([b"GET k"], "data"),
        ([b"SELECT 0", b"subscribe c"], "feed"),
        ([b"PSUBSCRIBE c*"], "feed"),
        ([b"CLIENT ID", b"CLIENT TRACKING ON"], "feed"),
        ([b"GET k", b"SUBSCRIBE c"], "feed"),
        ([b"SUBSCRIBE c", b"GET k"], "feed"),
        ([b"REPLCONF listening-port 1"], "replica"),
    ],
)
def test_connections_are_classified_by_their_commands(proxy, commands, kind):
    with socket.create_connection((proxy.host, proxy.port), 10) as sock:
        sock.sendall(b"".join(command + b"\r\n" for command in commands))
        until(lambda: len(proxy.all.ever[0].commands) == len(commands) if proxy.all.ever else False)
        assert proxy.groups[kind].connections == proxy.all.connections != []


def test_commands_are_found_by_their_first_words(proxy, connect):
    connect("data")
    connect("feed")
    assert proxy.all.seen("get") == [(b"GET", b"k")]
    assert proxy.all.seen("GET", b"k") == proxy.data.seen("GET")
    assert proxy.all.seen("GET", "other") == []
    assert proxy.data.seen("SUBSCRIBE") == []


def test_a_held_direction_keeps_bytes_and_delivers_them_in_order(proxy, connect):
    data = connect("data")
    proxy.data.hold(TO_CLIENT)
    data.sendall(GET + PING)
    until(lambda: proxy.data.waiting(TO_CLIENT) == 14, message="both replies are held")
    assert is_silent(data)
    proxy.data.release(TO_CLIENT)
    assert receive(data, 14) == b"$1\r\nv\r\n" + PONG


def test_a_held_request_does_not_reach_the_server(upstream, proxy, connect):
    data = connect("data")
    proxy.data.hold(TO_SERVER)
    data.sendall(b"SET k w\r\n")
    until(lambda: proxy.data.seen("SET"))
    assert upstream.command("GET", "k") == b"v"
    proxy.heal()
    assert receive(data, 5) == b"+OK\r\n"
    assert upstream.command("GET", "k") == b"w"


def test_the_feed_may_be_late_while_data_flow_and_the_other_way_round(upstream, proxy, connect):
    data, feed = connect("data"), connect("feed")
    proxy.feed.hold(TO_CLIENT)
    upstream.command("PUBLISH", "c", "hello")
    until(lambda: proxy.feed.waiting(TO_CLIENT) == len(MESSAGE))
    data.sendall(PING)
    assert receive(data, 7) == PONG
    assert is_silent(feed)
    proxy.feed.release()
    proxy.data.hold(TO_CLIENT)
    data.sendall(PING)
    until(lambda: proxy.data.waiting(TO_CLIENT) == 7)
    assert receive(feed, len(MESSAGE)) == MESSAGE
    assert is_silent(data)


def test_faults_hold_for_later_connections_of_the_group(proxy, connect):
    proxy.feed.hold(TO_CLIENT)
    connect("data")
    with socket.create_connection((proxy.host, proxy.port), 10) as feed:
        feed.sendall(PING)
        assert receive(feed, 7) == PONG, "the handshake of a connection of no known kind passes"
        feed.sendall(SUBSCRIBE)
        until(lambda: proxy.feed.waiting(TO_CLIENT) == len(SUBSCRIBED))
        assert is_silent(feed)


def test_a_fault_of_all_comes_first_and_is_overruled_later(proxy, connect):
    data, feed = connect("data"), connect("feed")
    proxy.feed.hold()
    proxy.all.release()
    feed.sendall(PING)
    assert receive(feed, 4) == b"*2\r\n"
    proxy.all.hold()
    proxy.data.release()
    data.sendall(PING)
    assert receive(data, 7) == PONG


def test_a_fault_of_one_connection_leaves_its_group_alone(proxy, connect):
    first, second = connect("data"), connect("data")
    proxy.data.connections[0].hold()
    first.sendall(PING)
    second.sendall(PING)
    assert receive(second, 7) == PONG
    assert is_silent(first)
    proxy.data.release()
    assert receive(first, 7) == PONG


def test_an_end_is_held_too_and_comes_after_the_backlog(proxy, connect):
    data = connect("data")
    proxy.data.hold(TO_CLIENT)
    data.sendall(GET + b"QUIT\r\n")
    until(lambda: proxy.data.waiting(TO_CLIENT) == 12)
    assert is_silent(data)
    proxy.data.release()
    assert receive(data, 100) == b"$1\r\nv\r\n+OK\r\n"


def test_delay(proxy, connect):
    data = connect("data")
    proxy.data.delay(0.1, TO_CLIENT)
    begin = time.monotonic()
    data.sendall(PING)
    data.sendall(PING)
    assert receive(data, 14) == PONG * 2
    assert time.monotonic() - begin >= 0.1


def test_throttle(proxy, connect):
    data = connect("data")
    proxy.data.throttle(1_000, TO_CLIENT)
    begin = time.monotonic()
    data.sendall(PING * 20)
    assert receive(data, 140) == PONG * 20
    assert time.monotonic() - begin >= 0.1


def test_split_into_single_bytes(proxy, connect, monkeypatch):
    data = connect("data")
    proxy.data.split(1)
    pieces, write = [], Pipe._write
    monkeypatch.setattr(Pipe, "_write", lambda pipe, piece: (pieces.append(piece), write(pipe, piece)))
    data.sendall(GET)
    assert receive(data, 7) == b"$1\r\nv\r\n"
    assert pieces == [bytes([byte]) for byte in GET + b"$1\r\nv\r\n"]


@pytest.mark.parametrize(("ending", "kind"), [("reset", "data"), ("finish", "data"), ("reset", "feed")])
def test_connections_of_a_group_are_ended(proxy, connect, ending, kind):
    hit, spared = connect(kind), connect("feed" if kind == "data" else "data")
    assert getattr(getattr(proxy, kind), ending)() == 1
    if ending == "reset":
        with pytest.raises(ConnectionResetError):
            hit.recv(1)
    else:
        assert hit.recv(1) == b""
    spared.sendall(b"QUIT\r\n")
    assert receive(spared, 5) == b"+OK\r\n"
    spared.close()
    until(lambda: not proxy.all.connections)
    assert getattr(proxy, kind).reset() == 0


@pytest.mark.parametrize("by", list(Ending))
@pytest.mark.parametrize("after", [0, 3, 7, 9])
def test_cut_after_some_bytes(proxy, connect, after, by):
    data = connect("data")
    proxy.data.cut(after, TO_CLIENT, by)
    data.sendall(PING * 2)
    received = b""
    try:
        while more := data.recv(1):
            received += more
    except ConnectionResetError:
        assert by is Ending.RST
    else:
        assert by is Ending.FIN
    assert (PONG * 2)[:after].startswith(received)
    if by is Ending.FIN:
        assert len(received) == after


def test_inject_and_rewrite(proxy, connect):
    data = connect("data")
    assert proxy.data.inject(b"!nonsense\r\n", TO_CLIENT) == 1
    assert receive(data, 11) == b"!nonsense\r\n"
    proxy.data.rewrite(lambda piece: piece.replace(b"v", b"w"), TO_CLIENT)
    data.sendall(GET)
    assert receive(data, 7) == b"$1\r\nw\r\n"
    proxy.data.heal()
    data.sendall(GET)
    assert receive(data, 7) == b"$1\r\nv\r\n"


def test_answers_of_its_own(upstream, proxy, connect):
    data = connect("data")
    proxy.data.answer({"ping": b"+MINE\r\n"})
    with upstream.paused():
        data.sendall(PING)
        assert receive(data, 7) == b"+MINE\r\n"


def test_refuse_and_accept(proxy, connect):
    data = connect("data")
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    data.sendall(PING)
    assert receive(data, 7) == PONG
    proxy.accept()
    proxy.accept()
    connect()


def test_retarget_moves_new_connections_only(proxy, connect):
    old = connect("data")
    with Server() as other:
        other.command("SET", "k", "w")
        proxy.retarget(other.host, other.port)
        with socket.create_connection((proxy.host, proxy.port), 10) as new:
            for sock, value in ((old, b"v"), (new, b"w")):
                sock.sendall(GET)
                assert receive(sock, 7) == b"$1\r\n%s\r\n" % value


def test_a_server_that_is_down_resets_its_clients(upstream, connect):
    data = connect("data")
    upstream.kill()
    assert data.recv(1) == b""
    with pytest.raises(ConnectionError):
        connect()
    upstream.restart()
    connect()


@pytest.fixture
def flood():
    """Both ends of a proxied connection to a server that sends as much as it can, and the proxy."""
    with socket.create_server((HOST, 0)) as listener, Proxy(*listener.getsockname()) as proxy:
        client = socket.create_connection((proxy.host, proxy.port), 10)
        server, _ = listener.accept()
        with client, server:
            yield client, server, proxy


def fill(sock):
    """Send until nothing more is taken; returns how many bytes."""
    sock.settimeout(0.2)
    sent = 0
    try:
        while sent < 1 << 28:
            sent += sock.send(bytes(1 << 16))
    except TimeoutError:
        return sent
    raise AssertionError("the sender never had to wait")


def test_a_stalled_direction_fills_the_senders_buffers(flood):
    client, server, proxy = flood
    proxy.all.stall(TO_CLIENT)
    sent = fill(server)
    assert proxy.all.read(TO_CLIENT) == 0
    proxy.all.release()
    assert receive(client, sent) == bytes(sent)


def test_a_client_that_does_not_read_slows_the_server_down(flood):
    client, server, proxy = flood
    sent = fill(server)
    assert proxy.all.waiting(TO_CLIENT) < 1 << 20
    assert receive(client, sent) == bytes(sent)


def test_commands_through_many_connections_at_once(proxy, connect):
    def work():
        sock = connect("data")
        for _ in range(50):
            sock.sendall(GET)
            assert receive(sock, 7) == b"$1\r\nv\r\n"
        done.append(True)

    done = []
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    assert len(proxy.data.seen("GET", "k")) == 8 * 51


def test_who_comes_in_at_the_moment_of_its_end_is_not_forgotten(upstream):
    gate = threading.Event()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        proxy = Proxy(upstream.host, upstream.port)
        proxy._loop.call_soon_threadsafe(gate.wait)
        with socket.create_connection((proxy.host, proxy.port), 10):
            ending = asyncio.run_coroutine_threadsafe(proxy._shut(), proxy._loop)
            gate.set()
            ending.result(10)
        proxy.close()
        gc.collect()
    assert not caught, [str(each.message) for each in caught]


def test_closing_resets_everybody_and_leaves_nothing(upstream):
    with none_left():
        proxy = Proxy(upstream.host, upstream.port)
        thread = proxy._thread
        with socket.create_connection((proxy.host, proxy.port), 10) as sock:
            sock.sendall(PING)
            assert receive(sock, 7) == PONG
            proxy.close()
            proxy.close()
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), 10)
