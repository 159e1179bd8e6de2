"""The bodies of the API as types, of which ``openapi.json`` is made.

Requests are read member by member (`edgeprofile_sidecar.members`), so that what is wrong can be named and what is right
can be echoed as it was sent; these types say the same to those who write clients.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

__all__ = ["Answered", "Ask", "AskMany", "AskedMany", "Delete", "Deleted", "Failure", "Message", "Place", "ProfileId"]

Text = Annotated[str, msgspec.Meta(min_length=1)]
Data = Annotated[dict[str, Any], msgspec.Meta(description="Traits by model; empty if there is no such profile.")]
Names = list[str]


class ProfileId(msgspec.Struct, frozen=True):
    """An id: its type and its value; a number as value is read as its text."""

    type: Text
    value: Text | int | float


class Selection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which part of a profile is wanted: names of models and traits, and defaults for what it lacks, or a bundle."""

    models: Names | None = None
    traits: Names | None = None
    defaults: dict[str, Any] | None = None
    bundle: Text | None = None


class Ask(Selection, frozen=True, kw_only=True, rename="camel"):
    """One profile of a destination."""

    entity: Text
    destination_id: Text
    id: ProfileId


class Answered(msgspec.Struct, frozen=True):
    """A profile, with what was asked as it was sent."""

    entity: str
    id: ProfileId
    data: Data


class AskMany(Selection, frozen=True, kw_only=True, rename="camel"):
    """Many profiles of a destination, at most `sidecar.maxBatch`."""

    entity: Text
    destination_id: Text
    ids: Annotated[list[ProfileId], msgspec.Meta(min_length=1)]


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one id: `found` and `data`, or the `error` and `status` that it would have had alone."""

    id: Any
    found: bool | msgspec.UnsetType = msgspec.UNSET
    data: Data | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET


class AskedMany(msgspec.Struct, frozen=True):
    """The profiles in the order of their ids."""

    entity: str
    results: list[Place]


class Delete(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Profiles to be deleted: one id, or several."""

    entity: Text
    destination_id: Text
    id: ProfileId | Annotated[list[ProfileId], msgspec.Meta(min_length=1)]


class Deleted(msgspec.Struct, frozen=True, rename="camel"):
    """Keys that were removed, and profiles that were asked for."""

    deleted_keys: int
    actual_keys: int


class Failure(msgspec.Struct, frozen=True):
    """What was wrong."""

    error: str


class Message(msgspec.Struct, frozen=True):
    """What was wrong, as DELETE says it."""

    message: str
