"""One Redis deployment at run time: its nodes, and which of them answers for a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Keeper
from edgeprofile.engine.node import Node
from edgeprofile.errors import ConfigurationError
from edgeprofile.store.endpoint import Endpoint

if TYPE_CHECKING:
    from edgeprofile.config import LimitsConfig, RedisConfig
    from edgeprofile.core.cache import ProfileCache
    from edgeprofile.core.keeper import Policy
    from edgeprofile.engine.target import Target

__all__ = ["Standalone", "same_server"]


class Standalone:
    """One node that has every key."""

    def __init__(
        self, config: RedisConfig, targets: list[Target], cache: ProfileCache, policy: Policy, limits: LimitsConfig
    ) -> None:
        if config.cluster_mode:
            raise ConfigurationError(
                "Redis Cluster is not supported by this version: set clusterMode = false for a single server",
                option="destinations.config.clusterMode",
            )
        if len(config.seeds) != 1:
            raise ConfigurationError(
                "a single server has one address; several are the seeds of a cluster (clusterMode = true)",
                option="destinations.config.address",
            )
        self.targets = targets
        keeper = Keeper(cache, policy, Authority(policy.max_staleness))
        self._node = Node(Endpoint.of(config, config.seeds[0]), keeper, limits)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes known now."""
        return (self._node,)

    def node(self, _key: bytes) -> Node:
        """The node that answers for a key."""
        return self._node


def same_server(config: RedisConfig) -> RedisConfig:
    """What is left of a destination's settings when only the way to its server counts."""
    return msgspec.structs.replace(config, prefix="", use_json_module=False)
