"""The page around the charts."""

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from benchmarks import report
from benchmarks.page import sections
from benchmarks.report import Report
from benchmarks.rows import Row

_STYLE = Path(__file__).with_name("style.css")
_HEAD = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'

_METHOD = (
    "Everything on loopback, one process for each contender, rounds interleaved. Ratios are medians over neighbouring "
    "rounds, with their quartiles; only they travel to other machines."
)
_NAMES = "<thead><tr><th>figure</th><th>ours</th><th>peer</th><th>ratio</th><th>must reach</th><th></th></tr></thead>"


def document(found: Report) -> str:
    """The whole page as text."""
    style = _STYLE.read_text(encoding="utf-8")
    head = f'<!doctype html><html lang="en"><head>{_HEAD}<title>EdgeProfile benchmarks</title><style>{style}</style></head>'
    return head + "<body>" + "\n".join(_body(found)) + "</body></html>\n"


def _body(found: Report) -> Iterator[str]:
    yield "<h1>EdgeProfile, measured</h1>"
    yield f"<p>{escape(circumstances(found))}. {_METHOD}</p>"
    yield from _table(found)
    for section in sections.of(found):
        yield f"<h2>{escape(section.title)}</h2><p>{escape(section.text)}</p><figure>{section.chart}</figure>"
    yield from _fine_print(found)


def circumstances(found: Report) -> str:
    """When, where and with which versions, in one line."""
    about = found.machine
    return (
        f"{found.finished[:10]}, {found.settings.mode} run: EdgeProfile {about['edgeprofile']}, {about['python']}, "
        f"Valkey {about['valkey']}; {about['cpu']}, {about['cores']} cores, {about['memory']}, {about['system']}, "
        f"load {about.get('load', 'unknown')} before it began"
    )


def _table(found: Report) -> Iterator[str]:
    rows = [row for result in found.results for row in result.rows]
    yield _rows(row for row in rows if row.target is not None)
    yield f"<details><summary>All {len(rows)} figures, also those without a bound</summary>{_rows(rows)}</details>"


def _rows(rows: Iterable[Row]) -> str:
    return f'<div class="table"><table>{_NAMES}<tbody>{"".join(map(_row, rows))}</tbody></table></div>'


def _row(row: Row) -> str:
    verdict = {None: "", True: "met", False: "missed"}[row.met]
    cells = report.cells(row)
    numbers = "".join(f'<td class="number">{escape(cell)}</td>' for cell in (cells.ratio, cells.target))
    ours = f'<td class="number">{escape(cells.ours)}</td>'
    told = f"<td>{escape(cells.name)}</td>{ours}<td>{escape(cells.peer)}</td>"
    return f'<tr>{told}{numbers}<td class="{verdict}">{verdict}</td></tr>'


def _fine_print(found: Report) -> Iterator[str]:
    yield from _list("Contenders", report.contenders(found))
    yield from _list("Not measured", report.absences(found))
    yield from _list("Settings", report.settings(found))


def _list(heading: str, lines: Iterable[str]) -> Iterator[str]:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if items:
        yield f"<h2>{heading}</h2><ul>{items}</ul>"
