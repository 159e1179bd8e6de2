"""Every option there is, read from the Structs: its type, default, environment variable and keyword."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec import inspect

from edgeprofile.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

    from edgeprofile.config.draft import Option

__all__ = ["NAME", "PREFIX", "Known", "kind_of", "known", "known_by_keyword", "known_by_variable", "plain", "shape"]

PREFIX = "EDGEPROFILE_"

NAME = "NAME"
"""Stands for the name of a section that users name themselves."""

_KEYWORD_SECTIONS = ("destinations", "cache", "feed", "limits")
_RENAMED = {"id": "destination_id", "mode": "feed_mode"}


class Known(NamedTuple):
    """One option: where it stands, what it is, and what it is called elsewhere."""

    option: Option
    field: inspect.Field
    struct: type[msgspec.Struct]
    variable: str | None
    keyword: str | None

    @property
    def kind(self) -> str | None:
        """``duration``, ``size``, ``secret``, ``path``, or ``None`` for a plain type."""
        return kind_of(self.field.type)


@functools.cache
def shape() -> inspect.StructType:
    """The type of the whole configuration."""
    return cast("inspect.StructType", inspect.type_info(Config))


@functools.cache
def known() -> tuple[Known, ...]:
    """Every option, in the order of the Structs; those of lists as of their first item, those of tables as of `NAME`."""
    return tuple(_walk(shape(), ()))


@functools.cache
def known_by_variable() -> dict[str, Known]:
    """The options that an environment variable can set."""
    return {option.variable: option for option in known() if option.variable}


@functools.cache
def known_by_keyword() -> dict[str, Known]:
    """The options that a keyword can set: those of one destination, the cache, the feed and the limits."""
    return {option.keyword: option for option in known() if option.keyword}


def kind_of(described: inspect.Type) -> str | None:
    """The kind that an alias of `edgeprofile.options` gave to a type."""
    if isinstance(described, inspect.UnionType):
        return next(filter(None, map(kind_of, described.types)), None)
    return (described.extra or {}).get("kind") if isinstance(described, inspect.Metadata) else None


def plain(described: inspect.Type) -> inspect.Type:
    """The type without its kind, and without ``None`` among its alternatives."""
    if isinstance(described, inspect.Metadata):
        return plain(described.type)
    if isinstance(described, inspect.UnionType):
        return plain(next(kind for kind in described.types if not isinstance(kind, inspect.NoneType)))
    return described


def _walk(struct: inspect.StructType, option: Option) -> Iterator[Known]:
    for field in struct.fields:
        place = (*option, field.encode_name)
        described = plain(field.type)
        if isinstance(described, inspect.StructType):
            yield from _walk(described, place)
        elif isinstance(described, inspect.VarTupleType) and isinstance(described.item_type, inspect.StructType):
            yield from _walk(described.item_type, (*place, 0))
        elif isinstance(described, inspect.DictType) and isinstance(described.value_type, inspect.StructType):
            yield from _walk(described.value_type, (*place, NAME))
        else:
            yield Known(place, field, struct.cls, _variable(place, field), _keyword(place, field))


def _variable(place: Option, field: inspect.Field) -> str | None:
    if place[-1] == "type":
        return None
    if place[0] == "destinations":
        return PREFIX + _RENAMED.get(field.name, field.name).upper()
    return None if {0, NAME} & {*place} else f"{PREFIX}{place[0]}_{field.name}".upper()


def _keyword(place: Option, field: inspect.Field) -> str | None:
    if place[-1] == "type" or place[0] not in _KEYWORD_SECTIONS:
        return None
    return _RENAMED.get(field.name, field.name)
