"""The page around the charts."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks import report
from benchmarks.page import sections
from benchmarks.report import Report
from benchmarks.rows import Row

_STYLE = Path(__file__).with_name("style.css")
_HEAD = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'


def document(found: Report) -> str:
    """The whole page as text."""
    style = _STYLE.read_text(encoding="utf-8")
    head = f'<!doctype html><html lang="en"><head>{_HEAD}<title>EdgeProfile benchmarks</title><style>{style}</style></head>'
    return head + "<body>" + "\n".join(_body(found)) + "</body></html>\n"


def _body(found: Report) -> Iterator[str]:
    yield "<h1>EdgeProfile, measured</h1>"
    yield f"<p>{escape(_circumstances(found))}</p>"
    yield from _table(found)
    for section in sections.of(found):
        yield f"<h2>{escape(section.title)}</h2><p>{escape(section.text)}</p><figure>{section.chart}</figure>"
    yield from _fine_print(found)


def _circumstances(found: Report) -> str:
    about = found.machine
    return (
        f"{found.finished[:10]}, EdgeProfile {about['edgeprofile']} on {about['python']}; {about['cpu']}, "
        f"{about['cores']} cores, {about['memory']}, {about['system']}; everything on loopback, one process for each "
        "contender, rounds interleaved. Ratios are medians over neighbouring rounds; only they travel to other machines."
    )


def _table(found: Report) -> Iterator[str]:
    yield '<div class="table"><table><thead><tr><th>figure</th><th>ours</th><th>peer</th><th>ratio</th>'
    yield "<th>must reach</th><th></th></tr></thead><tbody>"
    for result in found.results:
        yield from (_row(row) for row in result.rows if row.target is not None)
    yield "</tbody></table></div>"


def _row(row: Row) -> str:
    verdict = "met" if row.met else "missed"
    cells = report.cells(row)
    numbers = "".join(f'<td class="number">{escape(cell)}</td>' for cell in (cells.ratio, cells.target))
    told = f"<td>{escape(cells.name)}</td><td>{escape(cells.ours)}</td><td>{escape(cells.peer)}</td>"
    return f'<tr>{told}{numbers}<td class="{verdict}">{verdict}</td></tr>'


def _fine_print(found: Report) -> Iterator[str]:
    yield "<h2>Contenders</h2><ul>"
    for line in report.contenders(found):
        yield f"<li>{escape(line)}</li>"
    yield "</ul>"
    absent = list(report.absences(found))
    if absent:
        yield "<h2>Not measured</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in absent) + "</ul>"
