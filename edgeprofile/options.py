"""What an option of the configuration can be, and the section that holds options.

An alias such as `Duration` is a plain ``float`` to a type checker and at run time. Its ``kind`` tells the loader how
the option is written in a file, and tells everything that prints options what must not be shown.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NoReturn, TypeVar, get_args, get_type_hints

import msgspec

__all__ = ["MASK", "Count", "Duration", "FilePath", "Fraction", "Secret", "Section", "Size", "Table", "mask"]

Duration = Annotated[float, msgspec.Meta(extra={"kind": "duration"})]
"""Seconds, written as text with a unit: ``"500ms"``."""

Size = Annotated[int, msgspec.Meta(extra={"kind": "size"})]
"""Bytes, written as text with a unit: ``"64MiB"``."""

Secret = Annotated[str, msgspec.Meta(extra={"kind": "secret"})]
"""Text that is never printed."""

FilePath = Annotated[str, msgspec.Meta(extra={"kind": "path"})]
"""A path; a relative one in a file is taken from the directory of that file."""

Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
"""A share from 0.0 to 1.0."""

Count = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number, at least 1."""

MASK: Final = "***"
_CREDENTIALS = re.compile(
    r"((?:^|(?<=://))[^/@:\s]*:)[^/\s]+(?=@)|((?<=[?&])\w*(?:password|secret|token|key)\w*=)[^&\s]+", re.IGNORECASE
)


V = TypeVar("V")


class Table(dict[str, V]):
    """A dict that does not change, so that what holds it can be hashed."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_options: object) -> NoReturn:
        raise TypeError("a configuration does not change: make another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, because it changes
        return hash(frozenset(self))

    def __reduce__(self) -> tuple[type[Table[V]], tuple[dict[str, V]]]:
        return Table, (dict(self),)


def mask(text: str) -> str:
    """Hide the password of a URL, also one given as a query parameter."""
    return _CREDENTIALS.sub(lambda match: (match[1] or match[2]) + MASK, text)


class Section(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A group of options: immutable, named in camelCase in files, with secrets left out of its ``repr``."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        hints = get_type_hints(type(self), include_extras=True)
        return [(name, _shown(getattr(self, name), hints[name])) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def _shown(value: object, hint: object) -> object:
    if value and Secret in (hint, *get_args(hint)):
        return MASK
    return mask(value) if isinstance(value, str) else value
