"""The configuration: frozen, checked once when it is made.

The names in a file are the names here in camelCase. Durations are seconds and sizes are bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgeprofile.config import rules
from edgeprofile.config.address import parse_seeds
from edgeprofile.options import Count, Duration, FilePath, Fraction, Secret, Section, Size, Table
from edgeprofile.projection import Projection
from edgeprofile.reverse_etl.settings import SyncConfig

if TYPE_CHECKING:
    from edgeprofile.config.address import Endpoint

__all__ = [
    "BundleConfig",
    "CacheConfig",
    "Config",
    "Destination",
    "FeedConfig",
    "LimitsConfig",
    "RedisConfig",
    "SidecarConfig",
]


class RedisConfig(Section, frozen=True, kw_only=True):
    """How to reach one Redis: the keys of RudderStack's own destination settings, and a few of ours.

    Attributes:
        address: `host:port`; in cluster mode a comma-separated list of seeds; without a port 6379; `unix:/path`.
        username: ACL user; empty for the default user.
        password: Password of that user.
        password_file: File that holds the password; read at each connect, so that it can be rotated.
        cluster_mode: Whether the address is of a Redis Cluster.
        database: Number of the database, as text; not used in cluster mode.
        secure: Whether to use TLS.
        skip_verify: Whether to accept any certificate; read with `secure` only.
        ca_certificate: PEM text of the authorities to trust instead of the system's; read with `secure` only.
        client_certificate: File with the certificate that this client presents (PEM).
        client_key: File with the key of that certificate, unless it stands in the same file.
        prefix: Prefix of event-stream keys; Profiles keys have none.
        use_json_module: Whether profiles are RedisJSON documents rather than hashes.
    """

    address: str
    username: str = ""
    password: Secret = ""
    password_file: FilePath = ""
    cluster_mode: bool = True
    database: str = ""
    secure: bool = False
    skip_verify: bool = False
    ca_certificate: str = ""
    client_certificate: FilePath = ""
    client_key: FilePath = ""
    prefix: str = ""
    use_json_module: bool = msgspec.field(default=False, name="useJSONModule")

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "prefix", self.prefix.strip())
        # The ssl module takes ASCII only; what else a bundle holds stands in the comments between its certificates.
        msgspec.structs.force_setattr(self, "ca_certificate", self.ca_certificate.encode("ascii", "ignore").decode())

    @property
    def seeds(self) -> tuple[Endpoint, ...]:
        """The addresses: pairs of host and port, or the path of a Unix socket."""
        return parse_seeds(self.address)

    @property
    def db(self) -> int:
        """The number of the database; 0 in cluster mode, where there is no other."""
        return 0 if self.cluster_mode else int(self.database.strip() or "0")


class Destination(Section, frozen=True, kw_only=True):
    """One Redis destination of a RudderStack workspace.

    Attributes:
        id: Id of the destination; `get(…, destination=…)` and tokens name it.
        workspace_id: Id of the workspace; Profiles keys begin with it.
        type: `"REDIS"`; destinations of other types are left out.
        layout: `"profiles"` for what Profiles activations write, `"event-stream"` for what event streams write.
        legacy_keys: Whether very old data, whose keys lack the destination's id, is read.
        config: How to reach it.
    """

    id: str
    workspace_id: str
    type: str = "REDIS"
    layout: Literal["profiles", "event-stream"] = "profiles"
    legacy_keys: bool = False
    config: RedisConfig


class CacheConfig(Section, frozen=True, kw_only=True):
    """What is kept in this process, for how long, and how fresh it must be.

    Attributes:
        max_bytes: Memory that all cached profiles together may use.
        max_profile_bytes: Largest profile that is cached; larger ones are read from Redis each time.
        policy: What leaves when there is no room: `"lru"` what was not used for longest; `"sieve"` what was not used again, however lately it came.
        ttl: No entry lives longer, whatever the feed says.
        negative_ttl: The same for the knowledge that a profile does not exist.
        max_staleness: The promise: a hit never misses a write older than this.
        stale_if_error: How long an entry that is no longer fresh may be served while Redis is unreachable; 0s: never.
        audit_fraction: Share of hits that is read again from Redis and compared, to measure the promise.
    """

    max_bytes: Size = 64 << 20
    max_profile_bytes: Size = 1 << 20
    policy: Literal["lru", "sieve"] = "lru"
    ttl: Duration = 300.0
    negative_ttl: Duration = 30.0
    max_staleness: Duration = 1.0
    stale_if_error: Duration = 0.0
    audit_fraction: Fraction = 0.0

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two heartbeats: four of them fit into ``max_staleness``."""
        return self.max_staleness / 4


class FeedConfig(Section, frozen=True, kw_only=True):
    """How this process learns of changes in Redis.

    Attributes:
        mode: `"keyspace"` for keyspace notifications, `"tracking"` for RESP3 client tracking in broadcast mode.
        on_change: `"refresh"` reads a changed profile again if it is in use, `"invalidate"` only drops it.
        heartbeat: `"canary"` proves the feed with a small key of its own, `"ping"` where nothing may be written.
        verify_interval: With `"ping"`: how often the server's flags and flush counters are read.
        configure_server: Whether missing `notify-keyspace-events` flags may be added with `CONFIG SET`.
    """

    mode: Literal["keyspace", "tracking"] = "keyspace"
    on_change: Literal["refresh", "invalidate"] = "refresh"
    heartbeat: Literal["canary", "ping"] = "canary"
    verify_interval: Duration = 5.0
    configure_server: bool = False


class LimitsConfig(Section, frozen=True, kw_only=True):
    """What one process may ask of Redis and of its own memory.

    Attributes:
        timeout: Deadline of one lookup.
        connect_timeout: Deadline of one attempt to connect.
        max_reply_bytes: Largest reply that is read; a larger one closes its connection.
        max_in_flight: Profiles being fetched at one time.
        max_waiters: Callers that wait for a fetch at one time.
        refresh_in_flight: Changed profiles being read again at one time.
    """

    timeout: Duration = 1.0
    connect_timeout: Duration = 1.0
    max_reply_bytes: Size = 16 << 20
    max_in_flight: Count = 10_000
    max_waiters: Count = 100_000
    refresh_in_flight: Count = 64


AdminEndpoint = Literal["livez", "readyz", "startupz", "metrics", "statusz"]


class SidecarConfig(Section, frozen=True, kw_only=True):
    """The HTTP service; the library does not read this section.

    Attributes:
        listen: Where the Activation API is served: `host:port`, `tls:host:port` or `unix:/path`, any number of them.
        admin_listen: Where probes and metrics are served; empty for nowhere.
        admin_endpoints: What is served there; leave out what nobody is to see.
        workers: Processes that share the listeners, each with a cache and a feed of its own.
        traces: Whether requests are traced with OpenTelemetry, as the `OTEL_*` variables say; needs the extra `otel`.
        certificate: File with the certificate (PEM, its chain included) for listeners that begin with `tls:`.
        certificate_key: File with its key, unless it stands in the same file; both are read again when they change.
        client_authorities: File with the authorities (PEM) that must have signed the certificates of callers.
        tokens_file: File with the hashes of the access tokens, as `edgeprofile token create` writes it.
        fast_lane: Whether hot requests of the plainest kind are answered ahead of the HTTP library, to the same bytes.
        access_log: Whether each request is logged, as JSON, without ids and traits.
        max_body_bytes: Largest request body.
        max_batch: Ids that one batch or one delete may name.
        max_batch_bytes: Largest request body of a batch or a delete.
        max_answer_bytes: Largest answer to a batch; ids that find no place in it get an error in theirs.
        max_unread_bytes: Memory that answers may take until they are read, all together; a large one beyond it is a 503.
        max_header_bytes: Largest request line, and largest single header.
        max_streams: Changes streams that may be open at one time.
        stream_heartbeat: How often a changes stream says that it is alive.
        cors_origins: Origins whose pages may ask, such as `https://shop.example`; `*` for all of them.
        header_timeout: How long a request may take to arrive up to the end of its headers.
        body_timeout: How long its body may take.
        write_timeout: How long a caller may go without reading anything of its answers.
        request_timeout: How long an answer may take, from the end of its request.
        idle_timeout: How long a connection may stay open without a request.
        max_connections: Connections open at one time; who comes beyond them gets a 503.
        max_in_flight: Requests being answered at one time; the same.
        auth_failures: Requests with a bad token that one caller may make in a minute; beyond it, a 401 closes the connection.
        drain_delay: How long to go on serving after SIGTERM, unready, so that load balancers take notice.
        drain_timeout: How long requests in flight may take to end after that.
        readiness: `"strict"`: ready while the feed is live or declared unproven; `"serve-stale"`: while it can answer.
        reload_timeout: How long destinations that changed in this file may take to be ready; then the old ones stay.
        warm_file: File for the ids of the profiles in use, so that the next start can fetch them; empty for none.
        warm_profiles: Profiles that it names at most.
        warm_before_ready: Whether to be ready only once they have been fetched.
    """

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    admin_listen: str = "127.0.0.1:9090"
    admin_endpoints: tuple[AdminEndpoint, ...] = ("livez", "readyz", "startupz", "metrics", "statusz")
    workers: Count = 1
    traces: bool = False
    certificate: FilePath = ""
    certificate_key: FilePath = ""
    client_authorities: FilePath = ""
    tokens_file: FilePath = ""
    fast_lane: bool = True
    access_log: bool = False
    max_body_bytes: Size = 64 << 10
    max_batch: Count = 1_000
    max_batch_bytes: Size = 1 << 20
    max_answer_bytes: Size = 64 << 20
    max_unread_bytes: Size = 128 << 20
    max_header_bytes: Size = 16 << 10
    max_streams: Count = 1_000
    stream_heartbeat: Duration = 15.0
    cors_origins: tuple[str, ...] = ()
    header_timeout: Duration = 10.0
    body_timeout: Duration = 10.0
    write_timeout: Duration = 30.0
    request_timeout: Duration = 5.0
    idle_timeout: Duration = 75.0
    max_connections: Count = 20_000
    max_in_flight: Count = 5_000
    auth_failures: Count = 600
    drain_delay: Duration = 0.0
    drain_timeout: Duration = 20.0
    readiness: Literal["strict", "serve-stale"] = "strict"
    reload_timeout: Duration = 10.0
    warm_file: FilePath = ""
    warm_profiles: Count = 100_000
    warm_before_ready: bool = False


class BundleConfig(Section, frozen=True, kw_only=True):
    """What an application wants of a profile, under a name of its own.

    Attributes:
        models: Names of the models to keep, in this order; all of them unless given.
        traits: Names of the traits to keep of each model; all of them unless given.
        defaults: What a profile shall hold where it lacks it: a table of traits for each model.
    """

    models: tuple[str, ...] | None = None
    traits: tuple[str, ...] | None = None
    defaults: dict[str, Any] = msgspec.field(default_factory=Table)

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "defaults", Table(self.defaults))

    def projection(self) -> Projection:
        """The projection that the bundle names."""
        return Projection(self.models, self.traits, self.defaults)


class Config(Section, frozen=True, kw_only=True):
    """Everything that EdgeProfile reads from a file, the environment or keywords.

    Attributes:
        destinations: The Redis destinations to read from.
        cache: The local cache.
        feed: The feed of changes.
        limits: Deadlines and bounds.
        bundles: Projections of profiles, by name.
        sidecar: The HTTP service.
        sync: The reverse ETL; absent where there is none.

    Raises `ConfigurationError` when options contradict each other.
    """

    destinations: tuple[Destination, ...]
    cache: CacheConfig = CacheConfig()
    feed: FeedConfig = FeedConfig()
    limits: LimitsConfig = LimitsConfig()
    bundles: dict[str, BundleConfig] = msgspec.field(default_factory=Table)
    sidecar: SidecarConfig = SidecarConfig()
    sync: SyncConfig | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "bundles", Table(self.bundles))
        rules.check(self)
