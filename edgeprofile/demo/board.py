"""How figures are drawn: renderables of rich from numbers, nothing else."""

from __future__ import annotations

import os
import platform
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.text import Text

import edgeprofile
from edgeprofile.demo import words
from edgeprofile.demo.arrivals import ORDERING
from edgeprofile.demo.readers import BATCH, PAUSE, THREADS
from edgeprofile.demo.stages import MISSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from edgeprofile.demo.arrivals import Arrival
    from edgeprofile.demo.figures import Figures, Pace, Track
    from edgeprofile.demo.load import Costs
    from edgeprofile.demo.measure import Distribution

__all__ = ["Terms", "arrival", "example", "line", "live", "step", "summary", "title"]

_BARS = "▁▂▃▄▅▆▇█"
_INDENT, _LABEL, _VALUE = 2, 14, 18
_WIDEST_CURVE = 60
_WIDEST_TEXT = 100
_READING = THREADS + 2  # two more watch for changes
_NOTES = """\
Hit latency: single hits, less the {clock} of the clock. In loops of {batch} lookups, misses included, one takes {mean} \
on average, less the {loop} of the loop. Threads pause for {pause} between loops. A miss: \
the median of {misses} before anything else ran. Seen after: from the server's \
acknowledgement of a change to the end of the first lookup that returns it. Oldest value: from there to the begin of the \
last lookup that did not. Arrived: from the acknowledgement of a sync's last row by \
email to the end of the first lookup that returns the last of its users."""


class Terms(NamedTuple):
    """What figures are shown beside: durations in nanoseconds."""

    bound: int
    """The staleness that is promised not to be exceeded."""
    miss: float
    """What a lookup costs that has to ask the server."""


class _Row(NamedTuple):
    label: str = ""
    value: str = ""
    detail: str = ""
    style: str = ""


def title() -> Text:
    """What this is."""
    return Text.assemble(
        ("EdgeProfile ", "bold"),
        (edgeprofile.__version__, "bold"),
        "  customer traits in the process that needs them\n",
    )


def step(what: str, seconds: float) -> Text:
    """A step of the preparations that is done."""
    return Text.assemble(("✓ ", "green"), what, (f"  {seconds:.1f} s", "dim"))


def example(heading: str, lines: Iterable[str], answer: str, width: int) -> Text:
    """Lines to copy, which are never cut and not indented, for Python minds that; and their answer."""
    text = Text.assemble("\n", (heading, "bold"), "\n")
    for one in lines:
        text.append(f"{one}\n", "cyan")
    short = Text(answer, "dim")
    short.truncate(width, overflow="ellipsis")
    return text.append(short)


def live(track: Track, terms: Terms, remaining: float | None, width: int) -> RenderableType:
    """The figures of the last seconds."""
    room = min(_WIDEST_CURVE, width - 2 * _INDENT - _LABEL - _VALUE)
    lookups = _Row("lookups", words.rate(track.now.lookups), _curve(track.lookups, room), "cyan")
    ends = "Ctrl-C ends it" if remaining is None else f"ends in {words.age(remaining)}, or with Ctrl-C"
    # The last line leaves room for the ^C that the terminal writes behind it.
    foot = Text.assemble("  ", (words.age(track.elapsed), "bold"), (f"   {ends}", "dim"))
    return Group(Text(), *map(_drawn, (lookups, *_rows(track.now, track.last, terms, _last_sync))), Text(), foot)


def summary(track: Track, terms: Terms, mean: float, costs: Costs, width: int) -> RenderableType:
    """The figures of the whole run; ``mean`` of a lookup, in nanoseconds."""
    pace, last = track.whole, track.last
    machine = f" on {os.cpu_count()} CPUs, Python {platform.python_version()}\n"
    heading = Text.assemble("\n", (f"{track.elapsed:.1f} s", "bold"), machine)
    total = f"{words.count(last.hits + last.misses)} in {_READING} threads"
    return Group(
        heading,
        *map(_drawn, (_Row("lookups", words.rate(pace.lookups), total), *_rows(pace, last, terms, _all_syncs))),
        _notes(mean, costs, width),
    )


def _notes(mean: float, costs: Costs, width: int) -> Text:
    text = _NOTES.format(
        batch=f"{BATCH:,}",
        pause=f"{PAUSE * 1e3:g} ms",
        mean=words.duration(mean),
        misses=MISSES,
        clock=words.duration(costs.clock),
        loop=words.duration(costs.loop),
    )
    indent = " " * _INDENT
    lines = textwrap.wrap(text, min(width, _WIDEST_TEXT) - _INDENT, initial_indent=indent, subsequent_indent=indent)
    return Text("\n".join(["", *lines]), "dim")


def line(track: Track) -> str:
    """The figures of the last seconds where nothing can move."""
    pace = track.now
    return "  ".join(
        (
            words.age(track.elapsed),
            f"{words.count(pace.lookups)} lookups/s",
            f"hits {words.share(pace.hit_ratio)}",
            " ".join(_latency(pace.hit_latencies)),
            f"{words.count(pace.events)} events/s",
            f"seen after {' '.join(_latency(pace.delays))}",
            f"oldest {words.duration(track.last.oldest)}",
        )
    )


def arrival(one: Arrival) -> str:
    """The whole way of a change, where nothing can move."""
    return (
        f"sync {one.number}: {one.users} users changed in the warehouse, {one.rows} rows sent, {one.seconds:.1f} s in all; "
        f"seen in this process {words.duration(one.delay)} after Redis had them: {_orders(one)}"
    )


def _orders(last: Arrival) -> str:
    return f"ada has {last.orders} orders, had {last.orders - 1}"


def _last_sync(arrivals: Sequence[Arrival]) -> Iterator[_Row]:
    if not arrivals:
        yield _Row("sync", "under way", f"{ORDERING} users have ordered")
        yield _Row("arrived", words.duration(None))
        return
    last = arrivals[-1]
    yield _Row(f"sync {last.number}", f"{last.users} users changed", f"{last.rows} rows, {last.seconds:.1f} s in all")
    yield _Row("arrived", f"after {words.duration(last.delay)}", _orders(last))


def _all_syncs(arrivals: Sequence[Arrival]) -> Iterator[_Row]:
    users, rows = sum(one.users for one in arrivals), sum(one.rows for one in arrivals)
    yield _Row("syncs", f"{len(arrivals)}", f"{users:,} users, {rows:,} rows")
    if arrivals:
        slowest = max(one.delay for one in arrivals)
        yield _Row("arrived", f"after {words.duration(slowest)}", "at most")


def _rows(
    pace: Pace, last: Figures, terms: Terms, syncs: Callable[[Sequence[Arrival]], Iterator[_Row]]
) -> Iterator[_Row]:
    kept = f"{last.entries:,} users in {words.megabytes(last.bytes)}"
    yield _Row("hit latency", *_latency(pace.hit_latencies), "bold")
    yield _Row("a miss costs", words.duration(terms.miss), _in_hits(terms.miss, pace.hit_latencies))
    yield _Row("hit ratio", words.share(pace.hit_ratio), kept)
    yield _Row()
    yield _Row("changes", words.rate(pace.changes), f"{words.count(pace.events)} events /s")
    yield _Row("seen after", *_latency(pace.delays))
    yield _oldest(last.oldest, terms.bound)
    yield _Row()
    yield from syncs(last.arrivals)
    yield _Row("over HTTP", words.rate(pace.requests), " ".join(_latency(pace.call_latencies)))
    if last.trouble:
        yield _Row("the feed", "not proved", last.trouble, "bold red")
    if last.failed:
        yield _Row("errors", words.count(last.failed), "lookups or requests failed", "bold red")


def _oldest(oldest: int, bound: int) -> _Row:
    kept = oldest <= bound
    verdict = f"{'✓' if kept else '✗ but'} promised: at most {bound / 1e9:g} s"
    return _Row("oldest value", words.duration(oldest), verdict, "green" if kept else "bold red")


def _in_hits(miss: float, hits: Distribution) -> str:
    hit = hits.quantile(0.5)
    return f"as much as {miss / hit:,.0f} hits" if hit else ""


def _latency(distribution: Distribution) -> tuple[str, str]:
    return f"p50 {_quantile(distribution, 0.5)}", f"p99 {_quantile(distribution, 0.99)}"


def _quantile(distribution: Distribution, share: float) -> str:
    return words.duration(distribution.quantile(share))


def _drawn(row: _Row) -> Text:
    label, value = f"  {row.label:<{_LABEL}}", f"{row.value:<{_VALUE}}"
    text = Text.assemble((label, "dim"), (value, "bold"), (row.detail, row.style), no_wrap=True, overflow="ellipsis")
    text.rstrip()
    return text


def _curve(values: Sequence[float], width: int) -> str:
    """The latest values as bars that stand on zero."""
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0.0)
    return "".join(_BARS[min(7, int(8 * value / top))] for value in shown) if top else ""
