"""Which part of a profile a request wants: ``models``, ``traits`` and ``defaults``, or a ``bundle`` that names them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from edgeprofile.errors import InvalidProjection
from edgeprofile.projection import Projection
from edgeprofile_sidecar.members import FlawedMember, text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_BUNDLES", "Wanted", "named", "projection"]

NO_BUNDLES: Final[Mapping[str, Projection]] = MappingProxyType({})

_names = msgspec.json.Decoder(tuple[str, ...] | None)
_defaults = msgspec.json.Decoder(dict[str, Any] | None)


class Wanted(msgspec.Struct, rename="camel", gc=False):
    """The members of a body that say what is wanted; each may be absent or null."""

    models: msgspec.Raw = msgspec.Raw()
    traits: msgspec.Raw = msgspec.Raw()
    defaults: msgspec.Raw = msgspec.Raw()
    bundle: msgspec.Raw = msgspec.Raw()


def projection(wanted: Wanted, bundles: Mapping[str, Projection]) -> Projection | None:
    """What the members ask for; `None` for all of the profile. Raises `FlawedMember`."""
    parts = [_told(raw) for raw in (wanted.models, wanted.traits, wanted.defaults)]
    if _told(wanted.bundle):
        if any(parts):
            raise FlawedMember("bundle stands for models, traits and defaults: give it or them")
        return named(text(wanted.bundle, "bundle"), bundles)
    if not any(parts):
        return None
    return _made(
        _read(wanted.models, _names, "models", "a list of names"),
        _read(wanted.traits, _names, "traits", "a list of names"),
        _read(wanted.defaults, _defaults, "defaults", "an object of traits by model"),
    )


def named(bundle: str, bundles: Mapping[str, Projection]) -> Projection:
    """The bundle of that name. Raises `FlawedMember`."""
    try:
        return bundles[bundle]
    except KeyError:
        raise FlawedMember("bundle is none that this sidecar has") from None


def _made(models: Any, traits: Any, defaults: Any) -> Projection:
    try:
        return Projection(models, traits, defaults)
    except InvalidProjection as reason:
        raise FlawedMember(f"{reason.member}: {reason}") from None
    except RecursionError:
        raise FlawedMember("defaults are nested too deep") from None


def _read(raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any], member: str, wanted: str) -> Any:
    if not bytes(raw):
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise FlawedMember(f"{member} must be {wanted}") from None


def _told(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in {b"", b"null"}
