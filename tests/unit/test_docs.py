"""The documents keep up with the code, and their links lead somewhere."""

import ast
import builtins
import re
from pathlib import Path

import pytest

from docs import blocks, phases, scale, timing

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "sidecar/deploy/helm/edgeprofile/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FIGURES = re.compile(
    r"(Full|Quick) run of \d{4}-\d\d-\d\d on \d+ cores \(.+, CPython [\w.]+, Valkey [\w.]+\),\n"
    r"load (?:[\d.]+|unknown) before it began; everything on loopback\. Only the ratios travel to other machines\.\n\n"
    r"(?:<picture>.+</picture>\n\n)*"
    r"(?P<table>(?:\|.*\|\n)+)\n(?:Not measured:\n\n(?:- .+\n)+)?"
)
BOUND = re.compile(r"(≤|≥) ([\d.]+) (.+)")
PYTHON = [
    (page.relative_to(ROOT).as_posix(), block)
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]
LINK = re.compile(r"(?:\]\(|\bsrc(?:set)?=\")(?!https?://)([^)#\"]*)(?:#([^)\"]+))?")


@pytest.mark.parametrize("script", [phases, timing, scale], ids=lambda script: script.__name__)
def test_what_a_script_writes_is_current(script):
    assert script.main(["--check"]) == 0


def test_a_block_is_brought_up_to_date_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- b -->\nold\n<!-- /b -->\nc\n<!-- d -->\n<!-- /d -->\n", "utf-8")
    assert blocks.bring(page, {"b": "new\n"}, check=True) == 1
    assert "old" in page.read_text("utf-8")
    assert blocks.bring(page, {"b": "new\n"}, check=False) == 0
    assert page.read_text("utf-8") == "a\n<!-- b -->\nnew\n<!-- /b -->\nc\n<!-- d -->\n<!-- /d -->\n"
    assert blocks.bring(page, {"b": "new\n"}, check=True) == 0


def test_a_block_whose_marks_are_gone_is_not_passed_over(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here\n", "utf-8")
    with pytest.raises(LookupError, match="'timing'"):
        blocks.bring(page, {"timing": "new\n"}, check=True)


def test_the_figures_of_the_readme_are_as_they_are_generated():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = FIGURES.fullmatch(readme.partition("<!-- benchmarks -->\n")[2].partition("<!-- /benchmarks -->")[0])
    assert found, "make bench-readme writes them"
    head, _, *rows = found["table"].splitlines()
    assert head == "| figure | ours | peer | ratio (quartiles) | must reach | |"
    for row in rows:
        _, ours, peer, ratio, bound, verdict = row.removeprefix("| ").removesuffix(" |").split(" | ")
        assert bound or (peer and ratio), f"nothing is compared: {row}"
        assert verdict == (judged(ratio or ours, bound) if bound.strip() else ""), row


def judged(value: str, bound: str) -> str:
    known = BOUND.fullmatch(bound)
    assert known, bound
    reached = float(value.split(maxsplit=1)[0].replace(",", ""))
    met = reached <= float(known[2]) if known[1] == "≤" else reached >= float(known[2])
    return "met" if met else "**missed**"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    dead = []
    for link, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append((link, anchor))
    assert not dead


def anchors(page):
    """Of its headings, as GitHub makes them: lower case, hyphens for blanks, no punctuation."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def parsed(block):
    return compile(block, "a page", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [block for _, block in PYTHON])
def test_python_compiles(block):
    """That the README's runs, too, is tested against a server."""
    assert parsed(block)


@pytest.mark.parametrize("block", [block for name, block in PYTHON if name == "README.md"])
def test_python_of_the_readme_imports_what_it_names(block):
    nodes = list(ast.walk(parsed(block)))
    bound = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    bound |= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    assert {name.id for name in names} - bound <= set(dir(builtins))
