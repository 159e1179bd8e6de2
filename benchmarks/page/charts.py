"""Charts as SVG text. Colours are classes, so that the page's style sheet decides for light and dark."""

from collections.abc import Callable, Sequence
from html import escape

import msgspec

from benchmarks.page.scales import Scale, around, count, decades, from_zero, seconds

Tell = Callable[[float], str]

WIDTH = 880
_LETTER = 7.6  # about the widest on average, bold
_ROW = 26
_TOP = 8
_AXIS = 54  # room for numbers and for what they count
TONES = 4
_VALUE = 96  # room for a number at the right end of a row


class Measure(msgspec.Struct, frozen=True):
    """One row of a chart: a middle and the range around it."""

    label: str
    low: float
    middle: float
    high: float
    ours: bool = False


class Line(msgspec.Struct, frozen=True):
    """One curve."""

    label: str
    points: list[tuple[float, float]]
    ours: bool = False


def dots(rows: Sequence[Measure], title: str, across: str) -> str:
    """Durations on a logarithmic axis: a dot at the median, a line over the range."""
    height, start = _height(rows), _start(rows)
    scale = decades([value for row in rows for value in (row.low, row.high)], start, WIDTH - _VALUE)
    parts = [_grid(scale, height, seconds, across)]
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        left, middle, right = (scale(value) for value in (row.low, row.middle, row.high))
        range_, dot = f"M{left:.1f} {y}H{right:.1f}", f'<circle cx="{middle:.1f}" cy="{y}" r="5"/>'
        tip = f"{row.label}: {seconds(row.middle)} ({seconds(row.low)} to {seconds(row.high)})"
        parts.append(
            _row(row, y, f'<path class="range" d="{range_}"/>{dot}', (start, max(middle, right)), seconds, tip)
        )
    return _svg(parts, height, title)


def bars(rows: Sequence[Measure], title: str, across: str, tell: Tell = count) -> str:
    """Quantities from zero: a bar to the median, a whisker over the range."""
    height, start = _height(rows), _start(rows)
    scale = from_zero([row.high for row in rows], start, WIDTH - _VALUE)
    parts = [_grid(scale, height, tell, across)]
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        low, middle, high = (scale(value) for value in (row.low, row.middle, row.high))
        bar = f'<rect x="{start}" y="{y - 8}" width="{middle - start:.1f}" height="16" rx="2"/>'
        ends = f"M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 4}v8M{high:.1f} {y - 4}v8"
        whisker = f'<path class="whisker" d="{ends}"/>' if row.low < row.high else ""
        tip = f"{row.label}: {tell(row.middle)} ({tell(row.low)} to {tell(row.high)})"
        parts.append(_row(row, y, bar + whisker, (start, max(middle, high)), tell, tip))
    return _svg(parts, height, title)


def histogram(values: Sequence[float], edges: Sequence[float], title: str, across: str) -> str:
    """Counts between rising edges (seconds); the first column is everything below the first edge."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    height, left, width = 240, 12, (WIDTH - 24) / len(counts)
    scale = Scale(0, max(counts), height - _AXIS, 24)
    names = [f"< {seconds(edges[0])}", *(f"≥ {seconds(edge)}" for edge in edges)]
    parts = []
    for number, (amount, name) in enumerate(zip(counts, names, strict=True)):
        x, y = left + width * number, scale(amount)
        share = f"{amount / max(1, len(values)):.2%}"
        parts.append(
            f'<g class="ours"><title>{escape(name)}: {amount:,} ({share})</title>'
            f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{width - 4:.1f}" height="{height - _AXIS - y:.1f}" rx="2"/></g>'
            f'<text class="value" x="{x + width / 2:.1f}" y="{y - 5:.1f}" text-anchor="middle">{share if amount else ""}</text>'
            f'<text class="tick" x="{x + width / 2:.1f}" y="{height - _AXIS + 18}" text-anchor="middle">{escape(name)}</text>'
        )
    parts.append(f'<path class="axis" d="M{left} {height - _AXIS}H{WIDTH - 12}"/>')
    parts.append(_tick(WIDTH / 2, height - 8, escape(across)))
    return _svg(parts, height, title)


def curves(
    lines: Sequence[Line],
    title: str,
    across: str,
    *,
    tell: Tell = seconds,
    tell_across: Callable[[float], str] = count,
    from_nothing: bool = False,
) -> str:
    """Something over a count on a logarithmic axis, itself on one as well or `from_nothing`; names stand at the ends."""
    height, left, right = 320, 64, WIDTH - 210
    horizontal = around([x for line in lines for x, _ in line.points], left, right)
    upward = from_zero if from_nothing else around
    vertical = upward([y for line in lines for _, y in line.points], height - _AXIS, 12)
    parts = [
        _vertical_grid(vertical, left, right, tell),
        *(_tick(horizontal(x), height - _AXIS + 22, tell_across(x)) for x in horizontal.ticks),
    ]
    parts.append(_tick((left + right) / 2, height - 8, escape(across)))
    named_at = _apart([vertical(line.points[-1][1]) for line in lines], height - _AXIS)
    drawn = [
        _curve(line, tone, horizontal, vertical, at, (tell, tell_across))
        for line, tone, at in zip(lines, _tones(lines), named_at, strict=True)
    ]
    ours = [curve for line, curve in zip(lines, drawn, strict=True) if line.ours]
    parts += [curve for curve in drawn if curve not in ours] + ours  # ours on top
    return _svg(parts, height, title)


def _tones(lines: Sequence[Line]) -> list[str]:
    """A class for each curve: ours alike but for their dashes, peers each in a colour."""
    counts = {True: 0, False: 0}
    tones = []
    for line in lines:
        tones.append(f"{'ours dash' if line.ours else 'peer tone'}{counts[line.ours] % TONES}")
        counts[line.ours] += 1
    return tones


def _apart(places: Sequence[float], lowest: float, least: float = 18) -> list[float]:
    """The places, moved as far as is needed for names not to overlap and to stay above the lowest place."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved, last = dict.fromkeys(range(len(places)), 0.0), float("-inf")
    for number in order:
        last = moved[number] = max(places[number], last + least)
    limit = lowest
    for number in reversed(order):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - least
    return list(moved.values())


def _curve(line: Line, tone: str, horizontal: Scale, vertical: Scale, named_at: float, tell: tuple[Tell, Tell]) -> str:
    places = [(horizontal(x), vertical(y)) for x, y in line.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(line.label)}: {tell[0](cost)} at {tell[1](size)}</title></circle>'
        for (x, y), (size, cost) in zip(places, line.points, strict=True)
    )
    x, y = places[-1]
    leader = f'<path class="leader" d="M{x:.1f} {y:.1f}L{x + 26:.1f} {named_at:.1f}"/>'
    name = f'<text class="label" x="{x + 32:.1f}" y="{named_at + 4:.1f}">{escape(line.label)}</text>'
    return f'<g class="{tone}"><path class="curve" d="{path}"/>{leader}{marks}{name}</g>'


def _vertical_grid(scale: Scale, left: float, right: float, tell: Tell) -> str:
    return "".join(
        f'<path class="grid" d="M{left} {scale(tick):.1f}H{right}"/>'
        f'<text class="tick" x="{left - 8}" y="{scale(tick) + 4:.1f}" text-anchor="end">{tell(tick)}</text>'
        for tick in scale.ticks
    )


def _row(row: Measure, y: float, shape: str, ends: tuple[float, float], tell: Tell, tip: str) -> str:
    return (
        f'<g class="{"ours" if row.ours else "peer"}"><title>{escape(tip)}</title>'
        f'<text class="label" x="{ends[0] - 12}" y="{y + 4}" text-anchor="end">{escape(row.label)}</text>{shape}'
        f'<text class="value" x="{ends[1] + 10:.1f}" y="{y + 4}">{tell(row.middle)}</text></g>'
    )


def _start(rows: Sequence[Measure]) -> float:
    """Where the axis begins: right of the longest label."""
    return 24 + round(_LETTER * max(len(row.label) for row in rows))


def _grid(scale: Scale, height: float, tell: Tell, across: str) -> str:
    bottom = height - _AXIS
    lines = "".join(f'<path class="grid" d="M{scale(tick):.1f} {_TOP}V{bottom}"/>' for tick in scale.ticks)
    numbers = "".join(_tick(scale(tick), bottom + 18, tell(tick)) for tick in scale.ticks)
    return lines + numbers + _tick((scale.start + scale.end) / 2, height - 8, escape(across))


def _tick(x: float, y: float, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _height(rows: Sequence[Measure]) -> int:
    return _TOP + _ROW * len(rows) + _AXIS


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    return head + "".join(parts) + "</svg>"
