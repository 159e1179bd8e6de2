"""The imperative shell: threads, tasks, connections and clocks around the decisions of `edgeprofile.core`."""

from edgeprofile.engine.engine import Engine

__all__ = ["Engine"]
