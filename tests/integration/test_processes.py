"""A client in processes that fork, exit, are interrupted, or forget to close it."""

import subprocess
import sys
import textwrap

import pytest

from tests.support.servers import Server
from tests.support.wait import until

PRELUDE = """
import logging, os, sys, time
import edgeprofile
logging.getLogger("asyncio").setLevel(logging.ERROR)  # how slow a busy machine makes a callback is no finding
edgeprofile.configure(
    address={address!r}, cluster_mode=False, workspace_id="1Wsp", destination_id="2Dest", max_staleness="20s"
)
ADA = ("user", "email", "ada@example.com")

def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("never: " + condition.__name__)
        time.sleep(0.005)

def cached():
    edgeprofile.get(*ADA)
    return edgeprofile.peek(*ADA) is not None

def live():
    return edgeprofile.stats().destinations["2Dest"].state == "live"
"""


@pytest.fixture
def run(redis_db: Server):
    """`run(body)`: a process that must end well, what it prints; `run.start(body)`: the process."""
    processes = []
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"version":1}')

    def start(body: str) -> subprocess.Popen[str]:
        program = PRELUDE.format(address=redis_db.address) + textwrap.dedent(body)
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    def finish(body: str) -> str:
        process = start(body)
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, ""), errors
        return out

    finish.start = start
    yield finish
    for process in processes:
        process.kill()
        process.communicate()


def test_exit_without_close_is_silent(run):
    assert run("until(cached); until(live); print(edgeprofile.get(*ADA)['m']['version'])") == "1\n"


def test_exit_from_a_thread_in_a_lookup_is_prompt(run):
    run(
        """
        import threading
        def read():
            while True:
                edgeprofile.get("user", "email", str(time.monotonic()))
        threading.Thread(target=read, daemon=True).start()
        until(live)
        """
    )


def test_asyncio_run_without_close_is_silent(run):
    run(
        """
        import asyncio
        async def main():
            for n in range(10):
                await edgeprofile.aget("user", "email", f"u{n}")
        asyncio.run(main())
        asyncio.run(main())
        """
    )


def test_a_forgotten_client_warns(run, redis_db):
    process = run.start(
        f"""
        import gc, warnings
        client = edgeprofile.Client({{"destinations": [{{"id": "2Dest", "workspaceId": "1Wsp",
            "config": {{"address": {redis_db.address!r}, "clusterMode": False}}}}]}})
        client.get(*ADA)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        print([str(warning.message) for warning in caught])
        """
    )
    out, errors = process.communicate(timeout=60)
    assert (out, errors) == ("['unclosed Client']\n", "")


def test_a_child_has_an_epoch_of_its_own_and_the_parent_goes_on(run, redis_db):
    out = run(
        """
        until(cached); until(live)
        child = os.fork()
        if not child:
            assert edgeprofile.peek(*ADA) is None, "the parent's entries are not the child's"
            until(cached); until(live)
            print("child", edgeprofile.get(*ADA)["m"]["version"], flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        before = edgeprofile.stats().misses
        for _ in range(200):
            edgeprofile.get(*ADA)
            time.sleep(0.001)
        assert edgeprofile.stats().misses == before, "the parent's cache was disturbed"
        assert not edgeprofile.stats().feed_losses, edgeprofile.stats().feed_losses
        print("parent", edgeprofile.get(*ADA)["m"]["version"])
        """
    )
    assert out == "child 1\nparent 1\n"
    until(lambda: not feeds(redis_db), 5, "both feeds are gone")


def feeds(server: Server) -> bytes:
    return server.command("CLIENT", "LIST", "TYPE", "pubsub")


def test_a_child_that_uses_nothing_disturbs_nobody(run):
    run(
        """
        until(cached); until(live)
        for _ in range(5):
            if not (child := os.fork()):
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        until(cached); until(live)
        assert not edgeprofile.stats().feed_losses, edgeprofile.stats().feed_losses
        """
    )


def test_multiprocessing_workers_read(run):
    run(
        """
        import multiprocessing
        until(cached)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            found = pool.starmap(edgeprofile.get, [ADA] * 30)
        assert [profile["m"]["version"] for profile in found] == [1] * 30
        """
    )


def test_interrupted_in_a_miss_it_ends_at_once(run, redis_db):
    process = run.start(
        """
        import signal, threading
        until(cached)
        print("ready", flush=True)
        sys.stdin.readline()

        def interrupt():
            until(waiting)
            os.kill(os.getpid(), signal.SIGINT)

        def waiting():
            return edgeprofile.stats().in_flight == 1

        threading.Thread(target=interrupt).start()
        begun = time.monotonic()
        try:
            edgeprofile.get("user", "email", "slow", timeout=60)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begun < 30, flush=True)
        """
    )
    assert process.stdout.readline() == "ready\n"
    with redis_db.paused():
        process.stdin.write("\n")
        process.stdin.flush()
        out, errors = process.communicate(timeout=45)
    assert (process.returncode, out, errors) == (0, "interrupted True\n", "")


def test_a_child_counts_its_own_hits(run):
    run(
        """
        until(cached); until(live)
        for _ in range(1000):
            edgeprofile.get(*ADA)
        assert edgeprofile.stats().hits >= 1000
        if not (child := os.fork()):
            assert edgeprofile.stats().hits == 0, edgeprofile.stats().hits
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_a_client_counts_no_hits_of_the_one_before_it(run):
    run(
        """
        until(cached); until(live)
        for _ in range(1000):
            edgeprofile.get(*ADA)
        edgeprofile.close()
        edgeprofile.configure(workspace_id="1Wsp", destination_id="2Dest", cluster_mode=False, address="127.0.0.1:1")
        assert edgeprofile.stats().hits == 0, edgeprofile.stats().hits
        """
    )


def test_a_child_works_though_it_was_forked_in_the_middle_of_everything(run):
    """Another thread holds every lock, and has changed a part of the cache and not yet the rest."""
    run(
        """
        from edgeprofile.default import _default
        until(cached); until(live)
        engine = _default.client._engine
        locks = [_default._lock, engine.lock, engine._starting, engine._news]
        for lock in locks:
            lock.acquire()
        tree, branch = engine.cache.tree("2Dest"), engine.cache.tree("2Dest").pop("user")
        child = os.fork()
        if not child:
            assert edgeprofile.peek(*ADA) is None, "the parent's entries are not the child's"
            until(cached); until(live)
            edgeprofile.close()
            os._exit(0)
        tree["user"] = branch
        for lock in locks:
            lock.release()
        assert os.waitpid(child, 0)[1] == 0
        """
    )
