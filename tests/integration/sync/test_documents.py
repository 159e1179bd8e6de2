"""JSON mode: documents of several members, of which a source owns one. The server is fakeredis behind a real socket."""

import json
import socket
from contextlib import closing

import msgspec
import pyarrow as pa
import pytest

from edgeprofile.config import RedisConfig
from edgeprofile.errors import AccessDenied, RedisUnavailable, ServerRefused, ServiceError
from edgeprofile.reverse_etl.commands import Rows, Target
from edgeprofile.reverse_etl.deliver import Documents as Batch
from edgeprofile.store.documents import DocumentWriter, merged
from edgeprofile.store.lanes import Lane
from edgeprofile.store.resp import ErrorReply
from tests.support.json_server import JsonServer
from tests.support.sync import PREFIX, VIEW, DuckDB, Syncing

TAGGED = [f"{{b}}{n}" for n in range(10)]


class TestMerged:
    @pytest.mark.parametrize(
        ("document", "text", "result"),
        [
            (None, '{"a":1}', b'{"m":{"a":1}}'),
            (b"{}", '{"a":1}', b'{"m":{"a":1}}'),
            (b'{"m":{"old":1}}', '{"a":1}', b'{"m":{"a":1}}'),
            (b'{"x":{"b": 1.50}}', '{"a":1}', b'{"x":{"b": 1.50},"m":{"a":1}}'),
            (b'{"m":1,"x":2}', None, b'{"x":2}'),
            (b'{"m":1}', None, None),
            (b'{"x":2}', None, b'{"x":2}'),
            (None, None, None),
        ],
    )
    def test_one_member_is_set_and_the_others_stay_byte_for_byte(self, document, text, result):
        assert merged(document and b"[%b]" % document, "m", text) == result

    @pytest.mark.parametrize("document", [b"[1]", b'"text"', b"{"])
    def test_what_is_no_object_is_refused(self, document):
        with pytest.raises(msgspec.DecodeError):
            merged(b"[%b]" % document, "m", "{}")


class Documents(JsonServer):
    def command(self, *args):
        with self.client() as client:
            return client.execute_command(*args)


@pytest.fixture
def documents():
    with Documents() as running:
        yield running


@pytest.fixture
def config(documents):
    return RedisConfig(address=documents.address, cluster_mode=False, use_json_module=True)


def stored(documents, key):
    text = documents.command("JSON.GET", key, "$")
    return None if text is None else json.loads(text)[0]


def rows(ids, texts=None, ttl=0, *, persist=False):
    names = pa.array(ids, pa.string())
    given = None if texts is None else pa.array(texts, pa.string())
    return Batch(Rows(Target("w:", "m", ttl, persist), names, pa.array(["insert"] * len(ids)), given))


def send(config, *batches):
    with closing(DocumentWriter(config, timeout=5, retry_for=2)) as writer:
        settled = list(writer.deliver(batches))
    return sum(one.delivered for one in settled), [refused for one in settled for refused in one.refused]


@pytest.fixture
def spoilt(monkeypatch):
    """Let one key's JSON.SET be another command."""

    def replace(key, command):
        def ask(lane, *commands):
            return whole(lane, *(command if one[:2] == ("JSON.SET", key.encode()) else one for one in commands))

        monkeypatch.setattr(Lane, "ask", ask)

    whole = Lane.ask
    return replace


class TestWriter:
    def test_other_members_stay(self, documents, config):
        documents.command("JSON.SET", "w:a", "$", '{"x":{"b":1}}')
        assert send(config, rows("ab", ['{"n":1}', '{"n":2}'])) == (2, [])
        assert stored(documents, "w:a") == {"x": {"b": 1}, "m": {"n": 1}}
        assert stored(documents, "w:b") == {"m": {"n": 2}}

    def test_more_rows_than_go_together(self, documents, config):
        ids = [str(n) for n in range(300)]
        assert send(config, rows(ids, [f'{{"n":{n}}}' for n in ids])) == (300, [])
        assert stored(documents, "w:299") == {"m": {"n": 299}}

    def test_deletion_takes_the_member_and_the_empty_key(self, documents, config):
        documents.command("JSON.SET", "w:a", "$", '{"x":1,"m":{}}')
        documents.command("JSON.SET", "w:b", "$", '{"m":{}}')
        assert send(config, rows("abc")) == (3, [])
        assert (stored(documents, "w:a"), stored(documents, "w:b"), stored(documents, "w:c")) == ({"x": 1}, None, None)

    def test_deletion_does_not_write_a_document_that_has_no_such_member(self, documents, config, spoilt):
        documents.command("JSON.SET", "w:a", "$", '{"x":1}')
        spoilt("w:a", ("DEL", "w:a"))
        assert send(config, rows("a")) == (1, [])
        assert stored(documents, "w:a") == {"x": 1}

    def test_time_to_live(self, documents, config):
        send(config, rows("a", ["{}"], ttl=100))
        assert 90 < documents.command("TTL", "w:a") <= 100

    def test_a_time_to_live_that_is_no_longer_wanted(self, documents, config):
        send(config, rows("ab", ["{}", "{}"], ttl=100))
        send(config, rows("a", ["{}"], persist=True), rows("b", ["{}"]))
        assert documents.command("TTL", "w:a") == -1
        assert documents.command("TTL", "w:b") > 90

    def test_a_key_of_another_type_is_refused_alone(self, documents, config):
        documents.command("HSET", "w:b", "x", "1")
        delivered, (refused,) = send(config, rows("abc", ["{}"] * 3))
        assert (delivered, refused.row) == (2, 1)
        assert stored(documents, "w:c") == {"m": {}}

    def test_a_document_that_is_no_object_is_refused_alone(self, documents, config):
        documents.command("JSON.SET", "w:a", "$", "[1]")
        delivered, (refused,) = send(config, rows("ab", ["{}"] * 2))
        assert (delivered, refused) == (1, (0, "the key holds no JSON object"))

    def test_a_writer_that_comes_between_is_not_undone(self, documents, config, monkeypatch):
        """Its member is written after our reading and before our writing; ours is then written over the new reading."""
        from edgeprofile.store import documents as module

        def meanwhile(*arguments):
            monkeypatch.setattr(module, "_commit", commit)
            documents.command("JSON.SET", "w:a", "$", '{"theirs":1}')
            return commit(*arguments)

        commit = module._commit
        monkeypatch.setattr(module, "_commit", meanwhile)
        assert send(config, rows("a", ['{"n":1}'])) == (1, [])
        assert stored(documents, "w:a") == {"theirs": 1, "m": {"n": 1}}

    @pytest.fixture
    def disturbed(self, documents, monkeypatch):
        """Let another writer come in between whenever one key is to be written, and so many others at least."""
        from edgeprofile.store import documents as module

        def disturb(key, others):
            def meanwhile(node, commands):
                if len(commands) > others and any(one[1] == key for one in commands.values()):
                    documents.command("JSON.SET", key, "$", '{"theirs":1}')
                return commit(node, commands)

            monkeypatch.setattr(module, "_commit", meanwhile)

        commit = module._commit
        return disturb

    def test_a_document_that_others_are_busy_with_holds_up_no_other(self, documents, config, disturbed):
        disturbed(b"w:5", 1)
        ids = [str(n) for n in range(100)]
        assert send(config, rows(ids, ["{}"] * 100)) == (100, [])
        assert stored(documents, "w:5") == {"theirs": 1, "m": {}}

    def test_that_others_do_not_stop_writing_is_said(self, documents, config, disturbed):
        disturbed(b"w:b", 0)
        with pytest.raises(ServiceError, match="others wrote a document each time"):
            send(config, rows("abc", ["{}"] * 3))
        assert [stored(documents, f"w:{one}") for one in "abc"] == [{"m": {}}, {"theirs": 1}, {"m": {}}]

    def test_a_connection_that_breaks_is_noted(self, config):
        def batches():
            yield rows("a", ["{}"])
            assert not writer.interrupted
            for lane in writer._lanes:
                lane._socket.shutdown(socket.SHUT_RDWR)
            yield rows("b", ["{}"])

        with closing(DocumentWriter(config, timeout=5, retry_for=2)) as writer:
            assert [one.delivered for one in writer.deliver(batches())] == [1, 0, 1]
            assert writer.interrupted

    @pytest.mark.parametrize("worse", [("JSON.SET", "w:b", "$", "{no JSON"), ("JSON.SET", "w:b")])
    def test_a_document_that_the_server_refuses_fails_alone(self, documents, config, spoilt, worse):
        """When the transaction is executed, and when it is put together, which discards it."""
        spoilt("w:b", worse)
        delivered, (refused,) = send(config, rows("abc", ['{"n":1}', '{"n":2}', '{"n":3}'], ttl=100))
        assert (delivered, refused.row, "refused JSON.SET" in refused.reason) == (2, 1, True)
        assert [stored(documents, f"w:{one}") for one in "abc"] == [{"m": {"n": 1}}, None, {"m": {"n": 3}}]

    @pytest.mark.parametrize("worse", [("JSON.SET", "w:b", "$", "{no JSON"), ("JSON.SET", "w:b")])
    @pytest.mark.parametrize("options", [{"ttl": 100}, {"persist": True}])
    def test_a_key_that_refused_its_document_keeps_its_time_to_live(self, documents, config, spoilt, worse, options):
        documents.command("JSON.SET", "w:b", "$", '{"theirs":1}')
        documents.command("EXPIRE", "w:b", 1_000)
        spoilt("w:b", worse)
        delivered, (refused,) = send(config, rows("abc", ["{}"] * 3, **options))
        assert (delivered, refused.row) == (2, 1)
        assert documents.command("TTL", "w:b") > 900
        assert [0 < documents.command("TTL", f"w:{one}") <= 100 for one in "ac"] == ["ttl" in options] * 2

    def test_a_time_to_live_that_the_server_refuses_is_a_refused_row(self, config):
        delivered, (refused,) = send(config, rows("a", ["{}"], ttl=1 << 62))
        assert (delivered, "refused EXPIRE" in refused.reason) == (0, True)

    def test_a_transaction_that_is_discarded_as_a_whole_is_tried_again(self, documents, config, monkeypatch):
        """As where memory ran out after its commands were taken."""

        def ask(lane, *commands):
            if commands[-1] == ("EXEC",) and not discarded:
                discarded.append(commands)
                return [b"OK", *[b"QUEUED"] * (len(commands) - 2), ErrorReply("EXECABORT discarded because of: OOM")]
            return whole(lane, *commands)

        discarded, whole = [], Lane.ask
        monkeypatch.setattr(Lane, "ask", ask)
        assert send(config, rows("a", ['{"n":1}'])) == (1, [])
        assert stored(documents, "w:a") == {"m": {"n": 1}}

    def test_without_the_right_to_watch_nothing_is_written(self, documents, config, monkeypatch):
        def ask(lane, *commands):
            denied = ErrorReply("NOPERM User sync has no permissions to run the 'watch' command")
            return [denied if one[0] == "WATCH" else whole(lane, one)[0] for one in commands]

        whole = Lane.ask
        monkeypatch.setattr(Lane, "ask", ask)
        with pytest.raises(AccessDenied, match=r"grant \+watch"):
            send(config, rows("a", ["{}"]))
        assert stored(documents, "w:a") is None

    @pytest.mark.parametrize(("demoted_at", "interrupted"), [(0, False), (1, True)])
    def test_a_server_that_was_made_a_replica_is_noted_once_rows_are_in(
        self, config, monkeypatch, demoted_at, interrupted
    ):
        def ask(lane, *commands):
            if commands[0] == ("MULTI",) and len(transactions) == demoted_at:
                transactions.append(commands)
                return [ErrorReply("READONLY You can't write against a read only replica.")] * len(commands)
            replies = whole(lane, *commands)
            if commands[0] == ("MULTI",):
                transactions.append(commands)
            return replies

        transactions, whole = [], Lane.ask
        monkeypatch.setattr(Lane, "ask", ask)
        with closing(DocumentWriter(config, timeout=5, retry_for=2)) as writer:
            settled = list(writer.deliver([rows("a", ["{}"]), rows("b", ["{}"])]))
            assert (sum(one.delivered for one in settled), writer.interrupted) == (2, interrupted)

    def test_a_server_that_does_not_answer_is_not_left_with_the_commands(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            config = RedisConfig(address=f"127.0.0.1:{silent.getsockname()[1]}", cluster_mode=False)
            with closing(DocumentWriter(config, timeout=0.2, retry_for=0.1)) as writer, pytest.raises(RedisUnavailable):
                list(writer.deliver([rows("a", ["{}"])]))
            accepted, _ = silent.accept()
            with accepted, pytest.raises(ConnectionResetError):
                accepted.sendall(b"+OK\r\n")

    def test_a_server_without_the_module_says_so_at_once(self, valkey):
        valkey.reset()
        with pytest.raises(ServerRefused, match=r"JSON\.GET"):
            send(RedisConfig(address=valkey.address, cluster_mode=False), rows("a", ["{}"]))


@pytest.mark.limit(180)
class TestCluster:
    """Real nodes, which have no RedisJSON: their documents are strings, and all but the two commands is as it is."""

    @pytest.fixture(autouse=True)
    def _strings(self, cluster, monkeypatch):
        def plain(name, key, *rest):
            return {"JSON.GET": ("GET", key), "JSON.SET": ("SET", key, rest[-1] if rest else "")}.get(
                name, (name, key, *rest)
            )

        def ask(lane, *commands):
            replies = whole(lane, *(plain(*one) if len(one) > 1 else one for one in commands))
            return [
                b"[%b]" % reply if name == "JSON.GET" and isinstance(reply, bytes) else reply
                for (name, *_), reply in zip(commands, replies, strict=True)
            ]

        cluster.reset()
        whole = Lane.ask
        monkeypatch.setattr(Lane, "ask", ask)

    @pytest.fixture
    def config(self, cluster):
        return RedisConfig(address=cluster.address, cluster_mode=True, use_json_module=True)

    @pytest.fixture
    def slot(self, cluster):
        return cluster.slot("w:{b}1")

    @pytest.fixture
    def target(self, cluster, slot):
        return next(node for node in cluster.primaries if node is not cluster.slot_owner(slot))

    def test_each_document_goes_to_its_node(self, cluster, config):
        ids = [str(n) for n in range(300)]
        assert send(config, rows(ids, [f'{{"n":{n}}}' for n in ids], ttl=100)) == (300, [])
        assert sum(node.command("DBSIZE") for node in cluster.primaries) == 300
        assert cluster.command("GET", "w:7") == b'{"m":{"n":7}}'
        assert cluster.command("TTL", "w:7") > 90

    def test_deletion_leaves_an_empty_document(self, cluster, config):
        cluster.command("SET", "w:1", "{}")
        assert send(config, rows("1")) == (1, [])
        assert cluster.command("GET", "w:1") == b"{}"

    def test_a_slot_on_its_way_is_asked_for(self, cluster, config, slot, target):
        send(config, rows(TAGGED[:5], ["{}"] * 5))
        with cluster.migrating(slot, target):
            assert send(config, rows(TAGGED, ['{"n":2}'] * 10, ttl=100)) == (10, [])
            assert send(config, rows(TAGGED[:2])) == (2, [])
            assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 5
            assert send(config, rows(TAGGED[8:])) == (2, [])
            assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 3
        assert [cluster.command("TTL", f"w:{one}") > 90 for one in TAGGED[:5]] == [False] * 2 + [True] * 3

    def test_a_document_that_is_there_already_keeps_its_members(self, cluster, config, slot, target):
        for one in TAGGED[:3]:
            cluster.command("SET", f"w:{one}", '{"theirs":1}')
        with cluster.migrating(slot, target):
            cluster.move_key(f"w:{TAGGED[0]}", target)
            with closing(DocumentWriter(config, timeout=5, retry_for=2)) as writer:
                settled = list(writer.deliver([rows(TAGGED[:3], ["{}"] * 3)]))
                assert (sum(one.delivered for one in settled), writer.interrupted) == (3, False)
            for one in TAGGED[1:3]:
                cluster.move_key(f"w:{one}", target)
            assert send(config, rows(TAGGED[:1], ['{"n":1}'])) == (1, [])
        cluster.move(slot, target)
        assert [cluster.command("GET", f"w:{one}") for one in TAGGED[:2]] == [
            b'{"theirs":1,"m":{"n":1}}',
            b'{"theirs":1,"m":{}}',
        ]

    def test_one_that_leaves_between_the_reading_and_the_writing(self, cluster, config, slot, target, monkeypatch):
        from edgeprofile.store import documents as module

        def meanwhile(*arguments):
            monkeypatch.setattr(module, "_commit", commit)
            cluster.move_key(f"w:{TAGGED[0]}", target)
            return commit(*arguments)

        commit = module._commit
        cluster.command("SET", f"w:{TAGGED[0]}", '{"theirs":1}')
        monkeypatch.setattr(module, "_commit", meanwhile)
        with cluster.migrating(slot, target):
            assert send(config, rows(TAGGED[:1], ["{}"])) == (1, [])
            assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        cluster.move(slot, target)
        assert cluster.command("GET", f"w:{TAGGED[0]}") == b'{"theirs":1,"m":{}}'

    def test_without_the_right_to_ask_it_says_so(self, cluster, config, slot, target):
        rules = ("~w:*", "+get", "+set", "+watch", "+unwatch", "+multi", "+exec", "+cluster|slots")
        for node in cluster.primaries:
            node.command("ACL", "SETUSER", "sync", "reset", "on", ">secret", *rules)
        config = msgspec.structs.replace(config, username="sync", password="secret")
        with cluster.migrating(slot, target):
            with pytest.raises(AccessDenied, match=r"grant \+asking"):
                send(config, rows(TAGGED, ["{}"] * 10))
            for node in cluster.primaries:
                node.command("ACL", "SETUSER", "sync", "+asking")
            assert send(config, rows(TAGGED, ["{}"] * 10)) == (10, [])


def test_a_sync_writes_documents(documents, config, tmp_path):
    syncing = Syncing(DuckDB(tmp_path / "warehouse.duckdb"), config, documents)
    syncing.configure(mode="mirror")
    syncing.execute(
        "CREATE TABLE features_by_email AS SELECT 'u' || i AS email, i AS n, [i] AS l FROM range(5) AS t(i)"
    )
    documents.command("JSON.SET", f"{PREFIX}u1", "$", '{"other":{"x":1}}')
    assert syncing.sync().delivered == 5
    assert stored(documents, f"{PREFIX}u1") == {"other": {"x": 1}, VIEW: {"n": 1, "l": [1]}}
    syncing.execute("DELETE FROM features_by_email WHERE n < 2; UPDATE features_by_email SET n = 9 WHERE email = 'u2'")
    report = syncing.sync()
    assert (report.updated, report.deleted, report.unchanged) == (1, 2, 2)
    assert stored(documents, f"{PREFIX}u0") is None
    assert stored(documents, f"{PREFIX}u1") == {"other": {"x": 1}}
    assert stored(documents, f"{PREFIX}u2") == {VIEW: {"n": 9, "l": [2]}}


def test_a_refused_document_is_a_failed_row_of_its_sync(documents, config, tmp_path, spoilt):
    syncing = Syncing(DuckDB(tmp_path / "warehouse.duckdb"), config, documents)
    syncing.execute("CREATE TABLE features_by_email AS SELECT 'u' || i AS email, i AS n FROM range(300) AS t(i)")
    spoilt(f"{PREFIX}u7", ("JSON.SET", f"{PREFIX}u7", "$", "{no JSON"))
    report = syncing.sync()
    assert (report.status, report.delivered, report.failed) == ("partial", 299, 1)
    kept = syncing.execute(f'SELECT "PRIMARY_KEY" FROM {syncing.table("FAILED_KEYS", report)}')  # noqa: S608
    assert kept == [("u7",)]
    spoilt(f"{PREFIX}nobody", ())
    report = syncing.sync()
    assert (report.status, report.updated, report.unchanged) == ("succeeded", 1, 299)
    assert stored(documents, f"{PREFIX}u7") == {VIEW: {"n": 7}}
