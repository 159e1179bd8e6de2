"""Which charts the page shows, and what it says about them."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from benchmarks import public
from benchmarks.figures.ratio import PUBLIC, TRACES
from benchmarks.page import charts
from benchmarks.page.charts import Line, Measure
from benchmarks.page.scales import percent, whole
from benchmarks.report import Report

LATENCY = "From a hit in the process to a server away"
HTTP = "Requests a second over HTTP"
STALENESS = "Staleness seen"
MEMORY = "Bytes of memory for a cached profile"
_STALENESS_EDGES = (50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3)

Samples = dict[str, dict[str, Any]]


class Section(msgspec.Struct, frozen=True):
    """A heading, a sentence or two, a chart."""

    title: str
    text: str
    chart: str


def of(found: Report) -> Iterator[Section]:
    """The sections for which the run has data."""
    samples = {result.figure: result.samples for result in found.results}
    for make in (_latency, _http, _feed, _staleness, _memory, _growth, *map(_ratios, TRACES)):
        section = make(samples)
        if section is not None:
            yield section


def _latency(samples: dict[str, Samples]) -> Section | None:
    rows = [
        *_spoken(_named(samples, "hit", "hot"), "hit", "client side"),
        *_spoken(_named(samples, "miss", "miss"), "miss", "HGETALL and PTTL"),
        *_spoken(_named(samples, "async", "amiss"), "miss, asyncio", "HGETALL and PTTL"),
        *_http_latency(samples),
    ]
    if not rows:
        return None
    title = LATENCY
    text = (
        "One lookup of a 20-trait profile, on a logarithmic axis. In the process: medians with quartiles. Over HTTP: "
        "the median, with a line to the 99th percentile, 16 connections at full load."
    )
    return Section(
        title, text, charts.dots(sorted(rows, key=lambda row: row.middle), title, "time of one lookup, logarithmic")
    )


def _spoken(rows: list[Measure], what: str, default: str) -> list[Measure]:
    """Labels that say which way of redis-py it is."""
    ways = {"redis-py": default, "redis-py, hgetall": "HGETALL alone", "redis-py, ahgetall": "HGETALL alone"}
    labels = [f"redis-py, {ways[row.label]}" if row.label in ways else row.label for row in rows]
    return [msgspec.structs.replace(row, label=f"{what}: {label}") for row, label in zip(rows, labels, strict=True)]


def _http_latency(samples: dict[str, Samples]) -> list[Measure]:
    found = samples.get("sidecar", {})
    rows = []
    for name, stats in found.items():
        server, _, rest = name.partition(", hot, ")
        if rest == "p50 ms":
            high = found[f"{server}, hot, p99 ms"]["median"]
            label = f"HTTP: {server}"
            rows.append(Measure(label, stats["median"] / 1e3, stats["median"] / 1e3, high / 1e3, _is_ours(server)))
    return rows


def _http(samples: dict[str, Samples]) -> Section | None:
    rows = _named(samples, "sidecar", "hot, requests/s") + [
        msgspec.structs.replace(row, label=f"{row.label}, cache misses only")
        for row in _named(samples, "missing", "missing, requests/s")
    ]
    if not rows:
        return None
    title = HTTP
    text = "One server process, 16 connections, answers of the same bytes. Bars are medians, whiskers quartiles."
    return Section(title, text, charts.bars(sorted(rows, key=lambda row: -row.middle), title, "requests a second"))


def _feed(samples: dict[str, Samples]) -> Section | None:
    rows = sorted(_named(samples, "feed", "backlog"), key=lambda row: -row.middle)
    title = "Change events taken in a second"
    text = "A backlog that piled up while the process stood still, drained. Bars are medians, whiskers quartiles."
    return Section(title, text, charts.bars(rows, title, "events a second")) if rows else None


def _staleness(samples: dict[str, Samples]) -> Section | None:
    found = next((stats for name, stats in samples.get("staleness", {}).items() if "pausing" in name), None)
    if found is None:
        return None
    title = STALENESS
    text = (
        f"{len(found['data']):,} writes, 1,000 a second, while another process reads all ids in turn: the time from the "
        "acknowledgement of a write to the last read that still returned the value before it. The promise is one second."
    )
    ages = [age / 1e3 for age in found["data"]]
    return Section(
        title,
        text,
        charts.histogram(
            ages,
            _STALENESS_EDGES,
            title,
            "how long after its acknowledgement a write was still not seen, and the share of such writes",
        ),
    )


def _memory(samples: dict[str, Samples]) -> Section | None:
    rows = sorted(_named(samples, "memory", "bytes"), key=lambda row: row.middle)
    title = MEMORY
    text = (
        "Profiles of 20 traits: what the process has in RAM after it cached them and had not before, divided by their number. "
        "Replies are fields of JSON text, as redis-py and coredis keep them."
    )
    return Section(title, text, charts.bars(rows, title, "bytes", whole)) if rows else None


def _growth(samples: dict[str, Samples]) -> Section | None:
    points: dict[str, list[tuple[float, float]]] = {}
    for name, stats in samples.get("growth", {}).items():
        contender, _, size = name.rpartition(", uniform, ")
        points.setdefault(contender, []).append((float(size.split()[0].replace("_", "")), stats["median"]))
    if not points:
        return None
    title = "A hit among more and more entries"
    text = "Ids asked for at random over the whole cache. What grows is the wait for memory, and the bare dict waits as well."
    lines = [Line(name, sorted(found), _is_ours(name)) for name, found in points.items()]
    return Section(title, text, charts.curves(lines, title, "entries in the cache"))


def _ratios(trace: str) -> Callable[[dict[str, Samples]], Section | None]:
    def section(samples: dict[str, Samples]) -> Section | None:
        points: dict[str, list[tuple[float, float]]] = {}
        for name, stats in samples.get("ratio", {}).items():
            policy, of, share = name.rsplit(", ", 2)
            if of == trace:
                points.setdefault(policy, []).append((float(share), stats["median"]))
        if not points:
            return None
        title = f"Hits among lookups: {TRACES[trace]}"
        text = (
            "By how many of the ids the cache has room for. Ours is the shipped cache itself, driven by the same trace. "
            + (public.CREDIT if trace == PUBLIC else "")
        ).strip()
        lines = [Line(name, sorted(found), _is_ours(name)) for name, found in points.items()]
        across = "share of the ids that fit"
        return Section(
            title, text, charts.curves(lines, title, across, tell=percent, tell_across=percent, from_nothing=True)
        )

    return section


def _named(samples: dict[str, Samples], figure: str, ending: str) -> list[Measure]:
    """One row for each contender whose samples have that ending."""
    return [
        Measure(name.removesuffix(f", {ending}"), stats["q1"], stats["median"], stats["q3"], _is_ours(name))
        for name, stats in samples.get(figure, {}).items()
        if name.endswith(f", {ending}")
    ]


def _is_ours(name: str) -> bool:
    return name.startswith("edgeprofile")
