"""What options must mean together; the types of single options are msgspec's to check.

Each rule yields complaints: the dotted path of an option and what is wrong with it.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from edgeprofile.config.address import TLS, parse_listener, parse_seeds
from edgeprofile.errors import ConfigurationError, InvalidProjection
from edgeprofile.options import mask
from edgeprofile.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.config.address import Endpoint
    from edgeprofile.config.model import Config, Destination, RedisConfig, SidecarConfig
    from edgeprofile.options import Section

__all__ = ["LEAST_STALENESS", "check"]

LEAST_STALENESS = 0.01
"""Seconds: the heartbeat runs four times within ``maxStaleness``, and must leave the loop time for other work."""

Complaint = tuple[str, str]

_POSITIVE = {
    "cache": ("max_bytes", "ttl"),
    "feed": ("verify_interval",),
    "limits": ("timeout", "connect_timeout", "max_reply_bytes"),
    "sidecar": (
        "max_body_bytes",
        "max_batch_bytes",
        "max_answer_bytes",
        "max_header_bytes",
        "header_timeout",
        "body_timeout",
        "idle_timeout",
        "write_timeout",
        "request_timeout",
    ),
}


def check(config: Config) -> None:
    """Raise `ConfigurationError` for the first complaint about ``config``."""
    parts = (
        _destinations(config),
        _positive(config),
        _freshness(config),
        _bundles(config),
        _listeners(config.sidecar),
        _origins(config.sidecar),
        _answers(config),
        _sync(config),
    )
    for option, message in chain.from_iterable(parts):
        raise ConfigurationError(message, option=option)


def _destinations(config: Config) -> Iterator[Complaint]:
    if not config.destinations:
        yield "destinations", 'there is none of type "REDIS": nothing can be read'
    counted = Counter(destination.id for destination in config.destinations)
    for index, destination in enumerate(config.destinations):
        path = f"destinations[{index}]"
        yield from _identity(path, destination)
        if counted[destination.id] > 1:
            yield f"{path}.id", f'"{destination.id}" names {counted[destination.id]} destinations; an id names one'
        for option, message in chain(
            _address(destination.config), _secrets(destination.config), _tls(destination.config)
        ):
            yield f"{path}.config.{option}", message


def _identity(path: str, destination: Destination) -> Iterator[Complaint]:
    for option, value in (("id", destination.id), ("workspaceId", destination.workspace_id)):
        if not value:
            yield f"{path}.{option}", "is empty: RudderStack shows it in the address bar of the destination's page"
        elif re.search(r"[\s:]", value):
            yield f"{path}.{option}", f'"{value}" holds a space or colon, which no id of RudderStack does'
    if destination.type != "REDIS":
        yield f"{path}.type", f'"{destination.type}" cannot be read: write "REDIS", in capitals'
    if destination.legacy_keys and destination.layout != "profiles":
        yield f"{path}.legacyKeys", 'true needs layout = "profiles": event-stream keys have one form only'


def _address(redis: RedisConfig) -> Iterator[Complaint]:
    try:
        seeds = parse_seeds(redis.address)
    except ValueError as error:
        yield "address", f'"{mask(redis.address)}" {error}'
        return
    if redis.cluster_mode and any(isinstance(seed, str) for seed in seeds):
        yield (
            "address",
            f'"{mask(redis.address)}" is a Unix socket, which needs clusterMode = false (true is the default)',
        )
    if not redis.cluster_mode and len(seeds) > 1:
        yield "address", f'"{mask(redis.address)}" lists {len(seeds)} servers, which needs clusterMode = true'
    if not redis.cluster_mode and not re.fullmatch(r"\s*[0-9]{0,9}\s*", redis.database, re.ASCII):
        yield "database", f'"{redis.database}" is no number: write text such as "0" or "3"'


def _secrets(redis: RedisConfig) -> Iterator[Complaint]:
    if redis.password and redis.password_file:
        yield "passwordFile", "is given beside password: remove one of the two"
    if redis.client_key and not redis.client_certificate:
        yield "clientKey", "needs clientCertificate, the certificate that it belongs to"


def _tls(redis: RedisConfig) -> Iterator[Complaint]:
    if redis.client_certificate and not redis.secure:
        yield "clientCertificate", "needs secure = true: without TLS nobody reads it"
    if not redis.secure or not redis.ca_certificate.strip():
        return
    import ssl  # noqa: PLC0415 (costs more to import than the rest of the configuration; few need it)

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=redis.ca_certificate)
    except ssl.SSLError as error:
        reason = str(error).partition(" (_ssl.c")[0]
        yield "caCertificate", f'cannot be read ({reason}): paste the PEM text, from "-----BEGIN CERTIFICATE-----" on'


def _positive(config: Config) -> Iterator[Complaint]:
    for name, options in _POSITIVE.items():
        section: Section = getattr(config, name)
        fields = dict(zip(section.__struct_fields__, section.__struct_encode_fields__, strict=True))
        for option in options:
            value = getattr(section, option)
            if not value > 0:
                text = format_size(value) if option.endswith("_bytes") else format_duration(value)
                yield f"{name}.{fields[option]}", f'"{text}" is not allowed: it must be more than zero'


def _freshness(config: Config) -> Iterator[Complaint]:
    cache = config.cache
    staleness = format_duration(cache.max_staleness)
    if not cache.max_staleness >= LEAST_STALENESS:
        least = format_duration(LEAST_STALENESS)
        yield "cache.maxStaleness", f'"{staleness}" is not allowed: it must be at least "{least}"'
    if cache.ttl < cache.max_staleness:
        ttl = format_duration(cache.ttl)
        yield "cache.ttl", f'"{ttl}" is shorter than maxStaleness ("{staleness}"): no entry would live that long'


def _bundles(config: Config) -> Iterator[Complaint]:
    for name, bundle in config.bundles.items():
        try:
            bundle.projection()
        except InvalidProjection as error:
            yield f"bundles.{name}.{error.member}", str(error)


def _origins(sidecar: SidecarConfig) -> Iterator[Complaint]:
    for index, origin in enumerate(sidecar.cors_origins):
        if not re.fullmatch(r"\*|https?://[^\s/?#]+", origin):
            message = f'"{origin}" is no origin: write "https://host", without a path, or "*"'
            yield f"sidecar.corsOrigins[{index}]", message


def _listeners(sidecar: SidecarConfig) -> Iterator[Complaint]:
    named = [(f"sidecar.listen[{index}]", address) for index, address in enumerate(sidecar.listen)]
    if sidecar.admin_listen:
        named.append(("sidecar.adminListen", sidecar.admin_listen))
    if not sidecar.listen:
        yield "sidecar.listen", 'is empty: write at least one address, such as "127.0.0.1:8080"'
    taken: dict[Endpoint, str] = {}
    for option, address in named:
        try:
            endpoint = parse_listener(address)
        except ValueError as error:
            yield option, f'"{address}" {error}'
            return
        if endpoint in taken and (isinstance(endpoint, str) or endpoint[1]):  # port 0 is a free one each time
            yield option, f'"{address}" is {taken[endpoint]} already: each listener needs an address of its own'
        taken[endpoint] = option
    encrypted = any(address.strip().startswith(TLS) for address in sidecar.listen)
    if encrypted and not sidecar.certificate:
        yield "sidecar.certificate", f'is not set, and a listener begins with "{TLS}": name the file'
    for option, path in (
        ("certificateKey", sidecar.certificate_key),
        ("clientAuthorities", sidecar.client_authorities),
    ):
        if path and not sidecar.certificate:
            yield f"sidecar.{option}", "needs certificate, the certificate of this sidecar"
    if sidecar.warm_before_ready and not sidecar.warm_file:
        yield "sidecar.warmBeforeReady", "needs warmFile: without it nobody knows what to fetch"


def _answers(config: Config) -> Iterator[Complaint]:
    sidecar = config.sidecar
    most = max(sidecar.max_answer_bytes, config.limits.max_reply_bytes)
    if sidecar.max_unread_bytes < most:
        message = f'"{format_size(sidecar.max_unread_bytes)}" has no room for one answer: maxAnswerBytes and'
        yield "sidecar.maxUnreadBytes", f'{message} limits.maxReplyBytes allow "{format_size(most)}"'


def _sync(config: Config) -> Iterator[Complaint]:
    ids = [destination.id for destination in config.destinations]
    if config.sync and config.sync.destination and config.sync.destination not in ids:
        yield "sync.destination", f'"{config.sync.destination}" is not configured; there are: {", ".join(ids)}'
