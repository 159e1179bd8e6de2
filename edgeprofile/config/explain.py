"""Complaints about plain data, put into words: what was written, and what is allowed there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import inspect

from edgeprofile.config import schema
from edgeprofile.config.draft import show, undotted
from edgeprofile.config.suggest import alike, did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprofile.config.draft import Draft, Option
    from edgeprofile.errors import ConfigurationError

__all__ = ["explained", "unknown"]

_MISSING = re.compile(r"missing required field `([^`]+)`")
_EXPECTED: dict[type[inspect.Type], str] = {
    inspect.BoolType: "write true or false, without quotes",
    inspect.StrType: "write text in quotes",
    inspect.IntType: "write a whole number, without quotes",
    inspect.FloatType: "write a number, without quotes",
    inspect.VarTupleType: 'write a list, as in ["…", "…"]',
}


def explained(complaint: str, draft: Draft) -> ConfigurationError:
    """Put a complaint of msgspec into words: ``Expected `bool`, got `str` - at `$.feed.configureServer```."""
    option = undotted(complaint.partition(" - at ")[2].strip("`"))
    if missing := _MISSING.search(complaint):
        option = (*option, missing[1])
        return draft.error(option, f"is missing{_other_ways(option)}")
    value, described, kind = _at(option, draft.data)
    wrong = show(value, secret=kind == "secret")
    return draft.error(option, f"{wrong} is not allowed: {_allowed(described, value, option)}")


def unknown(name: str, known: Iterable[str], section: Option) -> str:
    """Say that a section has no such option, and which one may have been meant."""
    names = list(known)
    if not nearest(name, names):
        for candidate in schema.known():
            if alike(str(candidate.option[-1]), name):
                return f"is unknown here; {candidate.option[-1]} belongs to {_header(candidate.option[:-1])}"
    return f"is unknown in {_header(section)}; {did_you_mean(name, names)}"


def _at(option: Option, value: Any) -> tuple[Any, inspect.Type, str | None]:
    """The value at an option, its type, and its kind; where the way ends early, those of the last step."""
    described: inspect.Type = schema.shape()
    for step in option:
        described = schema.plain(described)
        value = value[step]
        if isinstance(described, inspect.StructType):
            described = next(field.type for field in described.fields if field.encode_name == step)
        elif isinstance(described, inspect.VarTupleType):
            described = described.item_type
        elif isinstance(described, inspect.DictType):
            described = described.value_type
    return value, schema.plain(described), schema.kind_of(described)


def _allowed(described: inspect.Type, value: Any, option: Option) -> str:
    if isinstance(described, inspect.LiteralType):
        return did_you_mean(str(value), map(str, described.values))
    if isinstance(described, (inspect.IntType, inspect.FloatType)) and _is_number(value, described):
        return f"it must be {_range(described)}"
    if isinstance(described, inspect.VarTupleType) and isinstance(value, Mapping):
        return f"write {_header((*option, 0))}, in double brackets"
    return _EXPECTED.get(type(described), f"write it as the table {_header(option)}")


def _is_number(value: Any, described: inspect.IntType | inspect.FloatType) -> bool:
    return type(value) is int or (type(value) is float and isinstance(described, inspect.FloatType))


def _range(described: inspect.IntType | inspect.FloatType) -> str:
    if described.ge is not None and described.le is not None:
        return f"from {described.ge} to {described.le}"
    return f"at least {described.ge}"


def _other_ways(option: Option) -> str:
    if option == ("destinations",):
        return ": write a [[destinations]] section with id, workspaceId and config.address"
    for candidate in schema.known():
        if candidate.option == option and candidate.variable and candidate.keyword:
            return f" (as an environment variable {candidate.variable}, as a keyword {candidate.keyword})"
    return ""


def _header(section: Option) -> str:
    """How a section is opened in a file: ``[cache]``, ``[[destinations]]``, ``[destinations.config]``."""
    if not section:
        return "the file"
    names = ".".join(str(step) for step in section if not isinstance(step, int))
    return f"[[{names}]]" if isinstance(section[-1], int) else f"[{names}]"
