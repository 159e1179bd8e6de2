"""Write the tables of options into docs/configuration.md and README.md, from the Structs and their docstrings.

A table stands between ``<!-- options: cache, feed -->`` and ``<!-- /options -->``. With ``--check`` nothing is written,
and the exit code is 1 if something would be.
"""

from __future__ import annotations

import inspect as introspection
import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from edgeprofile.config import schema
from edgeprofile.config.effective import written

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "docs/configuration.md", ROOT / "README.md")

_BLOCK = re.compile(r"(<!-- options: ([a-z, ]+) -->\n).*?(<!-- /options -->)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)
_TYPES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.VarTupleType: "list of text",
    inspect.DictType: "table",
}


def main(arguments: list[str]) -> int:
    """Bring every page up to date, or say which are not."""
    stale = [page for page in PAGES if page.exists() and current(page.read_text("utf-8")) != page.read_text("utf-8")]
    for page in stale:
        sys.stdout.write(f"{page.relative_to(ROOT)}\n")
        if "--check" not in arguments:
            page.write_text(current(page.read_text("utf-8")), "utf-8")
    return int(bool(stale) and "--check" in arguments)


def current(page: str) -> str:
    """The page with its tables as they should be."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{tables(block[2].split(', '))}\n{block[3]}", page)


def tables(sections: Iterable[str]) -> str:
    """A table for each section, and for each list of sections in it, as Markdown."""
    wanted = set(sections)
    known = [option for option in schema.known() if option.option[0] in wanted]
    return "\n".join(_table(name, list(group)) for name, group in groupby(known, key=_header))


def described(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What the docstring says about each field."""
    text = introspection.getdoc(struct) or ""
    return {name: re.sub(r"\s+", " ", meaning) for name, meaning in _ATTRIBUTE.findall(text)}


def _table(header: str, options: list[schema.Known]) -> str:
    lines = [f"**`{header}`**", "", "| option | type | default | variable | |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(_row, options), ""])


def _row(known: schema.Known) -> str:
    meaning = described(known.struct)[known.field.name].replace("|", "\\|")
    variable = f"`{known.variable}`" if known.variable else ""
    return f"| `{known.option[-1]}` | {_type(known)} | {_default(known.field)} | {variable} | {meaning} |"


def _header(known: schema.Known) -> str:
    *section, last = known.option[:-1]
    names = ".".join(str(step) for step in (*section, last) if not isinstance(step, int))
    return f"[[{names}]]" if isinstance(last, int) else f"[{names}]"


def _type(known: schema.Known) -> str:
    plain = schema.plain(known.field.type)
    if isinstance(plain, inspect.LiteralType):
        return " or ".join(f'`"{value}"`' for value in plain.values)
    return known.kind or _TYPES[type(plain)]


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default is None:
        return ""
    return f"`{json.dumps(written(field.type, _value(field)))}`"


def _value(field: inspect.Field) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
