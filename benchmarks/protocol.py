"""The contender's side: a JSON specification in, one JSON line for readiness, then a line for each round asked for.

A contender is a module with `TITLE`, `REQUIRES` (what pip must install for it) and tasks: context managers that set up
what the specification says and yield a function from one request to one result. Standard output belongs to the
protocol; what a library prints goes to standard error.
"""

import gc
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata
from statistics import median
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.traces import Trace

Spec = Mapping[str, Any]
Round = Callable[[Mapping[str, Any]], dict[str, Any]]
Task = Callable[[Spec], AbstractContextManager[Round]]

TRACE_LENGTH = 200_000
_POLL = 0.002  # seconds; a drain takes some hundred times as long


class CannotMeasure(Exception):
    """The contender cannot do this here; its message is the reason that the report prints."""


def serve(distributions: Iterable[str], programs: Mapping[str, str] | None = None, **tasks: Task) -> None:
    """Run the task that the first line of standard input names, until standard input ends.

    The parent is told the versions of the distributions, and those of `programs`.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(message: Mapping[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")

    try:
        _run(tasks, lambda: versions(distributions) | dict(programs or {}), say)
    except CannotMeasure as reason:
        say({"absent": str(reason)})
    except Exception as error:  # noqa: BLE001  # whatever went wrong is the parent's to report
        say({"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})


def _run(
    tasks: Mapping[str, Task], consists_of: Callable[[], dict[str, str]], say: Callable[[Mapping[str, Any]], None]
) -> None:
    spec = json.loads(sys.stdin.readline())
    if "cpu" in spec:
        os.sched_setaffinity(0, {spec["cpu"]})
    if spec["task"] not in tasks:
        raise CannotMeasure(f"has no task {spec['task']!r}")
    with tasks[spec["task"]](spec) as measure:
        say({"ready": True, "versions": consists_of()})
        for line in sys.stdin:
            say(measure(json.loads(line)))


def versions(distributions: Iterable[str]) -> dict[str, str]:
    return {"python": sys.version.split()[0]} | {name: metadata.version(name) for name in distributions}


def lookups(spec: Spec, run: Callable[[list[str]], None]) -> Round:
    """A round that times `run` over the next ids of the trace that the request names.

    With a `slice` in the request, so many lookups are timed at a time, and the round took what it would have if all
    slices were like the median one: whoever takes the processor away during a few of them is not measured.
    """
    traces = _Traces(spec)

    def timed(ids: list[str]) -> float:
        start = time.perf_counter()
        run(ids)
        return time.perf_counter() - start

    return lambda request: _sliced(request, traces.take(request), timed)


def alookups(spec: Spec, loop: Loop, run: Callable[[list[str]], Awaitable[None]]) -> Round:
    """As `lookups`, for a coroutine function; the clock runs inside the loop."""
    traces = _Traces(spec)

    async def timed(ids: list[str]) -> float:
        start = time.perf_counter()
        await run(ids)
        return time.perf_counter() - start

    return lambda request: _sliced(request, traces.take(request), lambda ids: loop.run(timed(ids)))


def _sliced(request: Mapping[str, Any], ids: list[str], timed: Callable[[list[str]], float]) -> dict[str, Any]:
    size = min(request.get("slice", len(ids)), len(ids))
    starts = range(0, len(ids) - size + 1, size)
    seconds = median(timed(ids[start : start + size]) for start in starts) * len(starts)
    return {"seconds": seconds, "operations": len(starts) * size}


class _Traces:
    """The traces of one contender, each made when it is first asked for."""

    def __init__(self, spec: Spec) -> None:
        self._ids = data.identities(spec["entries"])
        self._made: dict[str, Trace] = {}

    def take(self, request: Mapping[str, Any]) -> list[str]:
        name = request["trace"]
        if name not in self._made:
            self._made[name] = Trace(name, self._ids, length=max(TRACE_LENGTH, len(self._ids)))
        return self._made[name].take(request["operations"])


def events_taken_in(count: Callable[[], int]) -> Round:
    """A round that waits until so many events in all have been taken in, and says when that was (CLOCK_MONOTONIC)."""

    def measure(request: Mapping[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + request["timeout"]
        while (events := count()) < request["events"] and time.monotonic() < end:
            time.sleep(_POLL)
        return {"done": time.monotonic(), "events": events, "cpu": cpu_seconds()}

    return measure


def collections(holds: Callable[[], bool]) -> Round:
    """A round of full garbage collections, `rounds` of them, each timed, while what was cached is still there.

    The time is the thread's own: the collector stops all others, and what other processes take is no pause of ours.
    """

    def measure(request: Mapping[str, Any]) -> dict[str, Any]:
        gc.collect()
        seconds = []
        for _ in range(request["rounds"]):
            start = time.thread_time()
            gc.collect()
            seconds.append(time.thread_time() - start)
        if not holds():
            raise RuntimeError("nothing was cached")
        return {"seconds": seconds}

    return measure


def weighed(hold: Callable[[], object]) -> Round:
    """A round that takes profiles into memory and weighs them; `hold` returns what holds them. Asked once."""
    held: list[object] = []

    def measure(_request: Mapping[str, Any]) -> dict[str, Any]:
        gc.collect()
        before, start = resident_bytes(), time.perf_counter()
        held.append(hold())
        seconds = time.perf_counter() - start
        gc.collect()
        return {"seconds": seconds, "bytes": resident_bytes() - before}

    return measure


def cpu_seconds() -> float:
    """Processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Memory of this process that stands in RAM now (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # one syscall less to disturb the figure
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
