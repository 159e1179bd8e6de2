"""The configuration as it took effect, to be printed: defaults filled in, secrets masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from edgeprofile.config import schema
from edgeprofile.options import MASK, mask
from edgeprofile.units import format_duration, format_size

if TYPE_CHECKING:
    from edgeprofile.config.model import Config

__all__ = ["effective", "written"]


def effective(config: Config) -> dict[str, Any]:
    """Every option as a file would hold it, by section; those without a value are left out, secrets read ``***``."""
    shown: dict[str, Any] = written(schema.shape(), config)
    return shown


def written(described: inspect.Type, value: Any) -> Any:
    """A value of the configuration as plain data of a file's form."""
    kind, described = schema.kind_of(described), schema.plain(described)
    if isinstance(value, msgspec.Struct) and isinstance(described, inspect.StructType):
        return {
            field.encode_name: written(field.type, option)
            for field in described.fields
            if (option := getattr(value, field.name)) is not None
        }
    if isinstance(value, (list, tuple)) and isinstance(described, inspect.VarTupleType):
        return [written(described.item_type, item) for item in value]
    if isinstance(value, dict) and isinstance(described, inspect.DictType):
        return {name: written(described.value_type, item) for name, item in value.items()}
    return _text(kind, value)


def _text(kind: str | None, value: Any) -> Any:
    if kind == "secret":
        return MASK if value else ""
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        return format_size(value)
    return mask(value) if isinstance(value, str) else value
