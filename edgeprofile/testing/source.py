"""What profiles in memory are read from: a mapping ``{entity: {id type: {id value: {model: traits}}}}``, or its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from edgeprofile.errors import ConfigurationError, WrongType
from edgeprofile.profile import encode_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Name", "encode", "read", "read_file"]

Name: TypeAlias = tuple[str, str, str]
"""Entity, id type and id value."""

_FORM = "{entity: {id type: {id value: {model: traits}}}}"
_decoder = msgspec.json.Decoder(dict[str, dict[str, dict[str, msgspec.Raw]]])


def encode(models: Mapping[str, Any]) -> bytes:
    """The encoded profile of these models."""
    return msgspec.json.encode(models)


def read(profiles: Mapping[str, Any], source: str = "the profiles given") -> dict[Name, bytes]:
    """The encoded profiles of a mapping. Raises `ConfigurationError` if it has another form."""
    return _parsed(msgspec.json.encode(dict(profiles)), source)


def read_file(path: str | Path) -> dict[Name, bytes]:
    """The encoded profiles of a JSON file, each as it stands. Raises `ConfigurationError`."""
    try:
        return _parsed(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(path)) from error


def _parsed(text: bytes, source: str) -> dict[Name, bytes]:
    try:
        text.decode()
        return dict(_each(_decoder.decode(text), source))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"is not of the form {_FORM}: {error}", source=source) from None


def _each(profiles: dict[str, dict[str, dict[str, msgspec.Raw]]], source: str) -> Iterator[tuple[Name, bytes]]:
    for entity, types in profiles.items():
        for id_type, values in types.items():
            for value, models in values.items():
                try:
                    yield (entity, id_type, value), encode_document(bytes(models)).json
                except WrongType:
                    message = f'the profile of {entity} by {id_type} "{value}" is no object of models'
                    raise ConfigurationError(message, source=source) from None
