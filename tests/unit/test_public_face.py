"""What users see: the names, their documentation, and the house limits of the source behind them."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import statistics
from pathlib import Path

import pytest

import edgeprofile
from edgeprofile import errors

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (ROOT / "edgeprofile", ROOT / "sidecar/edgeprofile_sidecar")
FUNCTIONS = {"aget", "aget_many", "close", "configure", "get", "get_many", "peek", "stats"}
CLASSES = {"AsyncClient", "Client", "Config", "DestinationStatus", "EncodedProfile", "Profile", "Projection", "Stats"}

MODULE_LINES, MEDIAN_MODULE = 500, 170
FUNCTION_LINES, MEDIAN_FUNCTION = 60, 8

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@functools.cache
def sources() -> dict[str, str]:
    """The text of every module, by its path."""
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for folder in SOURCES
        for path in sorted(folder.rglob("*.py"))
    }


def definitions(text: str) -> list[tuple[str, Definition]]:
    """Every class, function and method of a module with its qualified name; functions within functions as well."""
    found: list[tuple[str, Definition]] = []

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, Definition)
            name = f"{outer}.{child.name}".lstrip(".") if named else outer
            if named:
                found.append((name, child))
            visit(child, name)

    visit(ast.parse(text), "")
    return found


def is_overload(node: Definition) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


def undocumented(text: str) -> list[str]:
    """Public definitions without a docstring; what stands within a function is nobody's business."""
    within_functions = [
        (node.lineno, node.end_lineno) for _, node in definitions(text) if not isinstance(node, ast.ClassDef)
    ]
    return [
        name
        for name, node in definitions(text)
        if not any(part.startswith("_") for part in name.split("."))
        and not is_overload(node)
        and not any(first < node.lineno <= last for first, last in within_functions)
        and not ast.get_docstring(node)
    ]


def lengths(text: str) -> dict[str, int]:
    """The lines of each function, by its qualified name."""
    return {
        name: node.end_lineno - node.lineno + 1
        for name, node in definitions(text)
        if not isinstance(node, ast.ClassDef) and not is_overload(node)
    }


def test_the_public_names():
    assert set(edgeprofile.__all__) == FUNCTIONS | CLASSES | set(errors.__all__) | {"__version__"}
    assert len(edgeprofile.__all__) == len(set(edgeprofile.__all__))


def test_every_public_name_is_there_and_explained():
    for name in set(edgeprofile.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(edgeprofile, name)), f"edgeprofile.{name} has no docstring"


def test_public_names_say_where_they_are_imported_from():
    assert {name for name in dir(edgeprofile) if not name.startswith("_")} >= FUNCTIONS | CLASSES
    assert edgeprofile.__version__.count(".") == 2


def drawn(picture: str) -> list[tuple[str, str]]:
    """Pairs of parent and child, from a tree drawn with lines."""
    pairs, above = [], {-1: "EdgeProfileError"}
    for line in picture.splitlines():
        if branch := re.search(r"[├└]── (\w+)", line):
            above = {column: name for column, name in above.items() if column < branch.start()}
            pairs.append((above[max(above)], branch[1]))
            above[branch.start()] = branch[1]
    return pairs


def test_the_error_tree_is_the_one_that_is_drawn():
    pairs = drawn(errors.__doc__ or "")
    assert {child for _, child in pairs} | {"EdgeProfileError"} == set(errors.__all__)
    for parent, child in pairs:
        assert getattr(errors, child).__bases__[0] is getattr(errors, parent)


def test_typed():
    assert all((folder / "py.typed").is_file() for folder in SOURCES)


@pytest.mark.parametrize("path", sources())
def test_every_public_definition_is_documented(path):
    text = sources()[path]
    assert ast.get_docstring(ast.parse(text)) or path.endswith("/_version.py"), f"{path} has no docstring"
    assert not undocumented(text)


@pytest.mark.parametrize("path", sources())
def test_no_module_and_no_function_is_long(path):
    text = sources()[path]
    assert text.count("\n") <= MODULE_LINES
    assert {name: lines for name, lines in lengths(text).items() if lines > FUNCTION_LINES} == {}


def test_the_median_module_and_the_median_function_are_short(record_property):
    modules = [text.count("\n") for text in sources().values()]
    functions = [lines for text in sources().values() for lines in lengths(text).values()]
    record_property("median module", statistics.median(modules))
    record_property("median function", statistics.median(functions))
    assert statistics.median(modules) <= MEDIAN_MODULE
    assert statistics.median(functions) <= MEDIAN_FUNCTION


PLANTED = '''
class Shown:
    """Here."""

    def bare(self): ...
    def _hidden(self): ...
    @overload
    def twice(self): ...
    @property
    def size(self):
        """Here."""
        def inner(): ...
class _Hidden:
    def method(self): ...
async def late(): ...
'''


def test_planted_definitions_are_found():
    assert undocumented(PLANTED) == ["Shown.bare", "late"]
    assert lengths(PLANTED) == {
        "Shown.bare": 1,
        "Shown._hidden": 1,
        "Shown.size": 3,
        "Shown.size.inner": 1,
        "_Hidden.method": 1,
        "late": 1,
    }
