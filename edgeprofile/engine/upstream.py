"""One Redis deployment at run time: its nodes, and which of them answers for a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Keeper
from edgeprofile.engine.node import Node
from edgeprofile.errors import ConfigurationError
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.refusals import Redirected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.config import LimitsConfig, RedisConfig
    from edgeprofile.core.cache import ProfileCache
    from edgeprofile.core.keeper import Policy
    from edgeprofile.engine.target import Target
    from edgeprofile.errors import EdgeProfileError

__all__ = ["NodeMaker", "Sessions", "Standalone", "Upstream", "same_server"]


class Sessions(Protocol):
    """Who runs the feed sessions; called on the engine's loop."""

    def open(self, upstream: Upstream, node: Node) -> None:
        """A node is there: listen to it."""

    def shut(self, node: Node) -> None:
        """A node is gone: revoke what was read from it, and forget it."""

    def tell(self) -> None:
        """There is news for who waits until all is ready."""


class Upstream(Protocol):
    """A deployment."""

    targets: Sequence[Target]
    trouble: EdgeProfileError | None
    """Why no node is known."""

    @property
    def hopeless(self) -> EdgeProfileError | None:
        """What somebody has to change before any node can be known."""

    @property
    def nodes(self) -> Sequence[Node]:
        """All nodes known now."""

    def node(self, key: bytes) -> Node:
        """The node that answers for a key. Raises `RedisUnavailable` where none is known."""

    def amend(self, error: EdgeProfileError) -> float | None:
        """Learn from a failed fetch. How many seconds to wait before another attempt; `None`: none is worth it.

        Raises what stands behind the error where that tells more.
        """

    def at(self, address: tuple[str, int]) -> Node:
        """The node at an address that a redirection named."""

    async def follow(self, sessions: Sessions) -> None:
        """Open the sessions of all nodes, and keep up with nodes that come and go, until cancelled."""


class NodeMaker:
    """Makes the nodes of one deployment: a keeper each, over the one cache."""

    def __init__(self, config: RedisConfig, cache: ProfileCache, policy: Policy, limits: LimitsConfig) -> None:
        self._cache = cache
        self._policy = policy
        self._limits = limits
        self.endpoint = Endpoint.of(config, config.seeds[0])

    def at(self, address: tuple[str, int] | str) -> Node:
        """A node at an address."""
        keeper = Keeper(self._cache, self._policy, Authority(self._policy.max_staleness))
        return Node(self.endpoint.at(address), keeper, self._limits)


class Standalone:
    """One node that has every key."""

    def __init__(self, config: RedisConfig, targets: Sequence[Target], make: NodeMaker) -> None:
        if len(config.seeds) != 1:
            raise ConfigurationError(
                "a single server has one address; several are the seeds of a cluster (clusterMode = true)",
                option="destinations.config.address",
            )
        self.targets = targets
        self.trouble: EdgeProfileError | None = None
        self.hopeless: EdgeProfileError | None = None
        self._node = make.at(config.seeds[0])

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The node."""
        return (self._node,)

    def node(self, _key: bytes) -> Node:
        """The node."""
        return self._node

    def amend(self, error: EdgeProfileError) -> float | None:
        """Nowhere else to ask. Raises `ConfigurationError` for a node that refers to others."""
        if isinstance(error, Redirected):
            self.at(error.address)
        return None

    def at(self, address: tuple[str, int]) -> Node:
        """No single server redirects. Raises `ConfigurationError`."""
        raise ConfigurationError(
            f"{self._node.name} refers to {address[0]}:{address[1]}, it is a node of a cluster: set clusterMode = true",
            option="destinations.config.clusterMode",
        )

    async def follow(self, sessions: Sessions) -> None:
        """Open the one session."""
        sessions.open(self, self._node)


def same_server(config: RedisConfig) -> RedisConfig:
    """What is left of a destination's settings when only the way to its server counts."""
    return msgspec.structs.replace(config, prefix="", use_json_module=False)
