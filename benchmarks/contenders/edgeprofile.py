"""EdgeProfile in the process, through its public names."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.ours import chunks, configuration
from benchmarks.protocol import (
    CannotMeasure,
    Round,
    Spec,
    alookups,
    collections,
    events_taken_in,
    lookups,
    serve,
    weighed,
)
from benchmarks.tails import tails

TITLE = "edgeprofile"
REQUIRES = ()
DISTRIBUTIONS = ("edgeprofile", "redis", "hiredis", "msgspec", "cachetools")
_SHARE_OF_OTHERS = 0.01


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    """`edgeprofile.get` over the default client, everything cached and decoded."""
    import edgeprofile

    with _warmed(spec) as get:

        def run(ids: list[str]) -> None:
            for value in ids:
                get("user", "email", value)

        yield _hits_only(lookups(spec, run), lambda: edgeprofile.stats().misses)


@contextmanager
def _warmed(spec: Spec) -> Iterator[Callable[..., Any]]:
    """`edgeprofile.get` with every profile cached and decoded."""
    import edgeprofile
    from edgeprofile import get

    edgeprofile.configure(edgeprofile.Client(configuration(spec)).config)
    get("user", "email", "nobody")  # connects; what is read before the feed is live does not live long
    _wait_until_live(edgeprofile.stats)
    for some in chunks(data.identities(spec["entries"])):
        edgeprofile.get_many("user", "email", some)
        for value in some:
            get("user", "email", value)
    yield get
    edgeprofile.close()


@contextmanager
def tail(spec: Spec) -> Iterator[Round]:
    """Lookups of the default client, each timed."""
    import edgeprofile

    with _warmed(spec) as get:
        measure = tails(lambda value: get("user", "email", value), data.identities(spec["entries"]))
        yield _hits_only(measure, lambda: edgeprofile.stats().misses)


@contextmanager
def collected(spec: Spec) -> Iterator[Round]:
    """The collector among decoded profiles."""
    import edgeprofile

    with _warmed(spec):
        yield collections(lambda: edgeprofile.stats().entries >= spec["entries"])


@contextmanager
def synced(spec: Spec) -> Iterator[Round]:
    """Lookups of the default client, whatever they find."""
    import edgeprofile

    with _warmed(spec) as get:

        def run(ids: list[str]) -> None:
            for value in ids:
                get("user", "email", value)

        measure = lookups(spec, run)

        def counted(request: Mapping[str, Any]) -> dict[str, Any]:
            before = edgeprofile.stats().misses
            return {**measure(request), "missed": edgeprofile.stats().misses - before}

        yield counted


@contextmanager
def bound(spec: Spec) -> Iterator[Round]:
    """A lookup bound to its entity and id type."""
    from edgeprofile import Client

    with Client(configuration(spec)) as client:
        if not hasattr(client, "lookup"):
            raise CannotMeasure("this version has no bound lookup")
        client.start(timeout=10)
        lookup = client.lookup("user", "email")
        for value in data.identities(spec["entries"]):
            lookup(value)

        def run(ids: list[str]) -> None:
            for value in ids:
                lookup(value)

        yield _hits_only(lookups(spec, run), lambda: client.stats().misses)


@contextmanager
def many(spec: Spec) -> Iterator[Round]:
    """`get_many` of `batch` cached ids; one operation is one id."""
    from edgeprofile import Client

    batch = spec["batch"]
    with Client(configuration(spec)) as client:
        client.start(timeout=10)
        for value in data.identities(spec["entries"]):
            client.get("user", "email", value)

        def run(ids: list[str]) -> None:
            for start in range(0, len(ids), batch):
                client.get_many("user", "email", ids[start : start + batch])

        yield _hits_only(lookups(spec, run), lambda: client.stats().misses)


def _wait_until_live(stats: Callable[[], Any]) -> None:
    """What was fetched before the feed was up is only good for `maxStaleness`."""
    end = time.monotonic() + 10
    while any(status.state != "live" for status in stats().destinations.values()):
        if time.monotonic() > end:
            raise RuntimeError(f"the feed is not live: {stats().destinations}")
        time.sleep(0.01)


def _hits_only(measure: Round, misses: Callable[[], int]) -> Round:
    """A round that fails where it would time something else than hits.

    One miss is no failure, however few the lookups: it is what follows when the process got no processor for a second.
    """

    def checked(request: Mapping[str, Any]) -> dict[str, Any]:
        before = misses()
        answer = measure(request)
        if misses() - before > max(1, _SHARE_OF_OTHERS * answer["operations"]):
            raise RuntimeError(f"{misses() - before} of {answer['operations']} lookups were no hits")
        return answer

    return checked


def _misses_only(measure: Round, misses: Callable[[], int]) -> Round:
    """A round that fails where it would time something else than misses."""

    def checked(request: Mapping[str, Any]) -> dict[str, Any]:
        before = misses()
        answer = measure(request)
        others = answer["operations"] - (misses() - before)
        if others > _SHARE_OF_OTHERS * answer["operations"]:
            raise RuntimeError(f"{others} of {answer['operations']} lookups were no misses")
        return answer

    return checked


@contextmanager
def miss(spec: Spec) -> Iterator[Round]:
    from edgeprofile import Client

    with Client(configuration(spec)) as client:
        client.start(timeout=10)
        get = client.get

        def run(ids: list[str]) -> None:
            for value in ids:
                get("user", "email", value)

        yield _misses_only(lookups(spec, run), lambda: client.stats().misses)


@contextmanager
def amiss(spec: Spec) -> Iterator[Round]:
    from edgeprofile import AsyncClient

    with Loop() as loop:
        client = loop.hold(AsyncClient(configuration(spec)))
        loop.run(client.start(timeout=10))
        get = client.get

        async def run(ids: list[str]) -> None:
            for value in ids:
                await get("user", "email", value)

        yield _misses_only(alookups(spec, loop, run), lambda: client.stats().misses)


@contextmanager
def storm(spec: Spec) -> Iterator[Round]:
    from edgeprofile import AsyncClient

    with Loop() as loop:
        client = loop.hold(AsyncClient(configuration(spec)))
        loop.run(client.start(timeout=10))
        get, tasks = client.get, spec["tasks"]

        async def fetch(ids: list[str]) -> None:
            for value in ids:
                await get("user", "email", value)

        async def run(ids: list[str]) -> None:
            await asyncio.gather(*(fetch(ids[number::tasks]) for number in range(tasks)))

        yield _misses_only(alookups(spec, loop, run), lambda: client.stats().misses)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    """Encoded profiles only: what a sidecar holds."""
    from edgeprofile import AsyncClient

    ids = data.identities(spec["entries"])
    with Loop() as loop:
        client = loop.hold(AsyncClient(configuration(spec)))
        loop.run(client.start(timeout=10))

        async def warm(some: list[str]) -> None:
            await asyncio.gather(*(client.get_json("user", "email", value) for value in some))

        def fill() -> None:
            for some in chunks(ids):
                loop.run(warm(some))

        measure = weighed(fill)
        yield lambda request: {**measure(request), "counted": client.stats().bytes}


@contextmanager
def memory_read(spec: Spec) -> Iterator[Round]:
    """Profiles that were all looked up, and so stand decoded beside their encoded form."""
    from edgeprofile import Client

    with Client(configuration(spec)) as client:
        client.start(timeout=10)

        def fill() -> None:
            for some in chunks(data.identities(spec["entries"])):
                for profile in client.get_many("user", "email", some).values():
                    profile[data.MODEL]["churn_score"]

        measure = weighed(fill)
        yield lambda request: {**measure(request), "counted": client.stats().bytes}


@contextmanager
def feed(spec: Spec) -> Iterator[Round]:
    """The bound is set wide, so that standing still for the backlog's sake does not end the session."""
    from edgeprofile import Client

    with Client(configuration(spec, maxStaleness=spec["max_staleness"])) as client:
        client.start(timeout=10)
        for some in chunks(data.identities(spec["cached"])):
            client.get_many("user", "email", some)
        yield events_taken_in(lambda: client.stats().events)


@contextmanager
def staleness(spec: Spec) -> Iterator[Round]:
    """A reader that pauses between sweeps, as one that also does something else."""
    yield from _read(spec, pause=0.0005)


@contextmanager
def staleness_busy(spec: Spec) -> Iterator[Round]:
    """A reader that never lets go of the interpreter."""
    yield from _read(spec, pause=None)


def _read(spec: Spec, pause: float | None) -> Iterator[Round]:
    from edgeprofile import Client

    ids = data.identities(spec["entries"])
    with Client(configuration(spec, maxStaleness=f"{spec['max_staleness']:g}s")) as client:
        client.start(timeout=10)

        def measure(request: Mapping[str, Any]) -> dict[str, Any]:
            last_reads: list[dict[int, int]] = [{} for _ in ids]
            end, sweeps = time.monotonic() + request["seconds"], 0
            while time.monotonic() < end:
                _sweep(client.get, ids, last_reads)
                sweeps += 1
                if pause is not None:
                    time.sleep(pause)
            found = [sorted(reads.items()) for reads in last_reads]
            return {"last_reads": found, "reads": sweeps * len(ids), "misses": client.stats().misses}

        yield measure


def _sweep(get: Callable[..., Any], ids: list[str], last_reads: list[dict[int, int]]) -> None:
    """Note for each id the beginning of the last read of each version."""
    now, model = time.monotonic_ns, data.MODEL
    for value, reads in zip(ids, last_reads, strict=True):
        began = now()
        reads[get("user", "email", value)[model].get("version", 0)] = began


if __name__ == "__main__":
    serve(
        DISTRIBUTIONS,
        hit=hit,
        tail=tail,
        collected=collected,
        synced=synced,
        bound=bound,
        many=many,
        miss=miss,
        amiss=amiss,
        storm=storm,
        memory=memory,
        memory_read=memory_read,
        feed=feed,
        staleness=staleness,
        staleness_busy=staleness_busy,
    )
