"""The configuration of library, sidecar and sync: one TOML file, ``EDGEPROFILE_*`` variables, or keywords.

`load` reads file and environment, `from_keywords` lays keywords over them, `from_mapping` takes plain data, and
`effective` shows the outcome with secrets masked. All of them end in a frozen `Config`, or in a `ConfigurationError`
that names source, option, value and what is allowed.
"""

from __future__ import annotations

from edgeprofile.config.address import TLS, Endpoint, parse_listener, parse_seeds
from edgeprofile.config.effective import effective
from edgeprofile.config.keywords import Keywords
from edgeprofile.config.model import (
    BundleConfig,
    CacheConfig,
    Config,
    Destination,
    FeedConfig,
    LimitsConfig,
    RedisConfig,
    SidecarConfig,
)
from edgeprofile.config.source import from_keywords, from_mapping, load
from edgeprofile.units import format_size, parse_duration, parse_size

__all__ = [
    "TLS",
    "BundleConfig",
    "CacheConfig",
    "Config",
    "Destination",
    "Endpoint",
    "FeedConfig",
    "Keywords",
    "LimitsConfig",
    "RedisConfig",
    "SidecarConfig",
    "effective",
    "format_size",
    "from_keywords",
    "from_mapping",
    "load",
    "parse_duration",
    "parse_listener",
    "parse_seeds",
    "parse_size",
]
