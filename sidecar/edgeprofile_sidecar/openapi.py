"""``openapi.json``: the API as OpenAPI 3.1, made of the types in `edgeprofile_sidecar.schemas`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edgeprofile_sidecar import schemas

__all__ = ["PATH", "document"]

PATH: Final = "/openapi.json"

_TYPES: Final = (
    schemas.Ask,
    schemas.Answered,
    schemas.AskMany,
    schemas.AskedMany,
    schemas.Delete,
    schemas.Deleted,
    schemas.Failure,
    schemas.Message,
)
_REFUSALS: Final = {
    400: "What was sent asks nothing; the text names the member.",
    401: "No token, or none that permits this; with `Retry-After` to a caller that sends many bad ones.",
    404: "No Redis destination of that id.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    417: "An expectation that cannot be met.",
    431: "A header or the target is too long.",
    500: "The sidecar failed; its log says why.",
    503: "Redis cannot be asked, or too many requests are under way; `Retry-After` says when to come back.",
    504: "The answer did not come in time.",
}
_LOOKUPS: Final = _REFUSALS | {502: "What Redis holds for the id is no profile."}
_FRESHNESS: Final = {
    "Age": ("integer", "Seconds since the profile was read from Redis."),
    "Cache-Status": ("string", "Where it came from (RFC 9211); a negative ttl is a stale profile."),
    "ETag": ("string", "A tag of the data, for `If-None-Match`."),
    "Server-Timing": ("string", "What took time."),
}
_PATH_PARTS: Final = ("entity", "idType", "value")


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EdgeProfile",
            "version": version,
            "description": "Profiles, as the Activation API serves them.",
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/activation": {"post": _activation("activateV1")},
            "/v2/activation": {"post": _activation("activate"), "delete": _deletion()},
            "/v2/activation/batch": {"post": _batch()},
            "/v2/activation/changes": {"get": _changes()},
            "/v2/profiles/{entity}/{idType}/{value}": {"get": _profile()},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _activation(name: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": "One profile",
        "parameters": [_unless()],
        "requestBody": _body("Ask"),
        "responses": _responses("Answered", _FRESHNESS, _LOOKUPS) | _unchanged(),
    }


def _batch() -> dict[str, Any]:
    return {
        "operationId": "activateMany",
        "summary": "Many profiles, in the order of their ids",
        "requestBody": _body("AskMany"),
        "responses": _responses("AskedMany", {}, _LOOKUPS),
    }


def _profile() -> dict[str, Any]:
    parts = [{"name": name, "in": "path", "required": True, "schema": _text()} for name in _PATH_PARTS]
    wanted = [
        _query("destinationId", _text(), "The destination; needed where there are several."),
        _query("models", {"type": "array", "items": {"type": "string"}}, "Names of models to keep."),
        _query("traits", {"type": "array", "items": {"type": "string"}}, "Names of traits to keep."),
        _query("bundle", _text(), "A bundle instead of models and traits."),
    ]
    return {
        "operationId": "profile",
        "summary": "One profile, by its URL",
        "parameters": [*parts, *wanted, _unless()],
        "responses": _responses("Answered", _FRESHNESS, _LOOKUPS) | _unchanged(),
    }


def _changes() -> dict[str, Any]:
    asked = [_query(name, _text(), "") | {"required": True} for name in ("entity", "idType")]
    values = {"type": "array", "items": _text(), "minItems": 1}
    responses = _responses("Answered", {}, _REFUSALS)
    responses["200"] = {
        "description": "Server-sent events: open, change (an id), resync (read everything again), closing (a reason).",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return {
        "operationId": "changes",
        "summary": "Changes of profiles, as they come",
        "parameters": [
            *asked,
            _query("value", values, "Values of the ids.") | {"required": True},
            _query("destinationId", _text(), "The destination; needed where there are several."),
        ],
        "responses": responses,
    }


def _deletion() -> dict[str, Any]:
    responses = _responses("Deleted", {}, _REFUSALS)
    for status, response in responses.items():
        if status not in {"200", "401", "404"}:
            response["content"] = _content("Message")
    return {
        "operationId": "delete",
        "summary": "Delete profiles; the token needs a permission of its own",
        "requestBody": _body("Delete"),
        "responses": responses,
    }


def _responses(name: str, headers: dict[str, tuple[str, str]], refusals: dict[int, str]) -> dict[str, Any]:
    described = {header: {"schema": {"type": kind}, "description": text} for header, (kind, text) in headers.items()}
    good = {"description": "The answer.", "headers": described, "content": _content(name)}
    bad = {str(status): {"description": text, "content": _content("Failure")} for status, text in refusals.items()}
    return {"200": good, **bad}


def _unchanged() -> dict[str, Any]:
    return {"304": {"description": "The data are those whose tag was sent."}}


def _body(name: str) -> dict[str, Any]:
    return {"required": True, "content": _content(name)}


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _unless() -> dict[str, Any]:
    text = "Tags of data that need not be sent again."
    return {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": text,
    }


def _text() -> dict[str, Any]:
    return {"type": "string", "minLength": 1}
