"""The keywords of ``edgeprofile.configure`` with their types, for editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    import os

__all__ = ["Keywords"]


class Keywords(TypedDict, total=False):
    """Options of one destination, the cache, the feed and the limits, in snake_case.

    Durations and sizes are text with a unit: ``"500ms"``, ``"64MiB"``.
    """

    destination_id: str
    workspace_id: str
    layout: Literal["profiles", "event-stream"]
    legacy_keys: bool
    address: str
    username: str
    password: str
    password_file: str | os.PathLike[str]
    cluster_mode: bool
    database: str
    secure: bool
    skip_verify: bool
    ca_certificate: str
    client_certificate: str | os.PathLike[str]
    client_key: str | os.PathLike[str]
    prefix: str
    use_json_module: bool
    max_bytes: str
    max_profile_bytes: str
    policy: Literal["lru", "sieve"]
    ttl: str
    negative_ttl: str
    max_staleness: str
    stale_if_error: str
    audit_fraction: float
    feed_mode: Literal["keyspace", "tracking"]
    on_change: Literal["refresh", "invalidate"]
    heartbeat: Literal["canary", "ping"]
    verify_interval: str
    configure_server: bool
    timeout: str
    connect_timeout: str
    max_reply_bytes: str
    max_in_flight: int
    max_waiters: int
    refresh_in_flight: int
