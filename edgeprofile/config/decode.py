"""From plain data to `Config`: names checked, ``${NAME}`` replaced, units read, and errors put into words."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from edgeprofile.config import schema
from edgeprofile.config.draft import undotted
from edgeprofile.config.explain import explained, unknown
from edgeprofile.config.model import BundleConfig, Config, RedisConfig
from edgeprofile.config.suggest import nearest
from edgeprofile.errors import ConfigurationError
from edgeprofile.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprofile.config.draft import Draft, Option

__all__ = ["decode"]

_logger = logging.getLogger("edgeprofile")
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNITS: dict[str, Callable[[object], float]] = {"duration": parse_duration, "size": parse_size}


def decode(draft: Draft) -> Config:
    """Build the configuration; raises `ConfigurationError` with source, option, value and what is allowed."""
    prepared = _prepared(draft, schema.shape(), draft.data, ())
    _check_bundles(draft, prepared.get("bundles"))
    try:
        config = msgspec.convert(prepared, Config)
    except msgspec.ValidationError as error:
        raise explained(str(error), draft) from None
    except ConfigurationError as error:
        message = str(error).removeprefix(f"{error.option}: ")
        raise draft.error(undotted(error.option or ""), message) from None
    if ignored := ", ".join(_ignored(draft)):
        _logger.warning(
            "%s: ignored, because EdgeProfile has no such option: %s", draft.source() or "configuration", ignored
        )
    return config


def _check_bundles(draft: Draft, bundles: Any) -> None:
    """Refuse what fits no bundle: for msgspec the names of a table's keys are not part of the way to an option."""
    for name, bundle in bundles.items() if isinstance(bundles, Mapping) else ():
        try:
            msgspec.convert(bundle, BundleConfig)
        except msgspec.ValidationError as error:
            complaint, _, place = str(error).partition(" - at `$")
            raise explained(f"{complaint} - at `$.bundles.{name}{place or '`'}", draft) from None


def _prepared(draft: Draft, described: inspect.Type, value: Any, option: Option) -> Any:
    """The value as msgspec shall see it; what does not fit its type is left for msgspec to refuse."""
    kind, described = schema.kind_of(described), schema.plain(described)
    if isinstance(described, inspect.StructType) and isinstance(value, Mapping):
        return _prepared_struct(draft, described, value, option)
    if isinstance(described, inspect.VarTupleType) and isinstance(value, (list, tuple)):
        return [_prepared(draft, described.item_type, item, (*option, index)) for index, item in enumerate(value)]
    if isinstance(described, inspect.DictType) and isinstance(value, Mapping):
        return {name: _prepared(draft, described.value_type, item, (*option, name)) for name, item in value.items()}
    if isinstance(value, str) and not draft.is_literal(option):
        value = _expanded(draft, value, option)
    return _read(draft, kind, value, option)


def _prepared_struct(draft: Draft, struct: inspect.StructType, value: Mapping[str, Any], option: Option) -> Any:
    fields = {field.encode_name: field for field in struct.fields}
    if struct.cls is not RedisConfig:
        for name in value:
            if name not in fields:
                raise draft.error((*option, name), unknown(name, fields, option))
    return {
        name: _prepared(draft, field.type, value[name], (*option, name))
        for name, field in fields.items()
        if name in value
    }


def _read(draft: Draft, kind: str | None, value: Any, option: Option) -> Any:
    if kind in _UNITS:
        try:
            return _UNITS[kind](value)
        except ConfigurationError as error:
            raise draft.error(option, str(error)) from None
    if kind == "path" and value and isinstance(value, (str, os.PathLike)):
        path = Path(value).expanduser()
        return str(draft.directory / path) if draft.directory and not draft.is_literal(option) else str(path)
    return value


def _expanded(draft: Draft, text: str, option: Option) -> str:
    """Replace each ``${NAME}`` by the environment variable; ``$${`` stands for ``${`` itself."""

    def replacement(match: re.Match[str]) -> str:
        escaped, name, closed = match.groups()
        if escaped:
            return escaped
        if not closed or not _VARIABLE.fullmatch(name):
            raise draft.error(option, 'has a "${" that begins no ${NAME}: write "$${" where it is meant as it stands')
        if name not in draft.env:
            raise draft.error(option, f"needs the environment variable {name}, which is not set")
        return draft.env[name]

    return _REFERENCE.sub(replacement, text)


def _ignored(draft: Draft) -> Iterator[str]:
    fields = RedisConfig.__struct_encode_fields__
    for index, destination in enumerate(draft.data["destinations"]):
        for name in destination["config"]:
            if name not in fields:
                near = nearest(name, fields)
                hint = f' (did you mean "{near}"?)' if near else ""
                yield draft.name(("destinations", index, "config", name)) + hint
