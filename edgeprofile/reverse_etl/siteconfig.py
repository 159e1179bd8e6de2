"""Where the warehouse is: an ibis URL, or a connection of Profiles' ``siteconfig.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.dialects import DIALECTS
from edgeprofile.reverse_etl.yaml_document import load

if TYPE_CHECKING:
    from edgeprofile.reverse_etl.dialects import Dialect
    from edgeprofile.reverse_etl.settings import SyncConfig
    from edgeprofile.reverse_etl.yaml_document import Spot

__all__ = ["Locator", "locate"]

_DEFAULT = Path("~/.pb/siteconfig.yaml")
_ALIASES = {"postgresql": "postgres", "md": "duckdb"}
_OPTION = "sync.warehouse"
_IGNORED = frozenset({"type", "threads", "keepalives_idle", "search_path", "query_tag", "tmp_schema"})
"""What says nothing about where the warehouse is or how to get in."""


@dataclass(frozen=True, slots=True)
class Locator:
    """A way to a warehouse: a ``url``, or ``options`` for its ibis backend. Holds secrets: never printed."""

    dialect: Dialect
    url: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Locator {self.dialect.name}>"


def locate(config: SyncConfig, connection: str | None) -> Locator:
    """Find the warehouse that the configuration names, else the project's own ``connection``.

    Raises ``ConfigurationError``, or ``ProjectError`` for a faulty ``siteconfig.yaml``.
    """
    if "://" in config.warehouse:
        return _from_url(config.warehouse)
    name = config.warehouse or connection
    if not name:
        raise ConfigurationError(
            'write an ibis URL such as "duckdb://warehouse.duckdb", or the name of a connection in siteconfig.yaml',
            option=_OPTION,
        )
    return _from_siteconfig(Path(config.siteconfig) if config.siteconfig else _DEFAULT, name)


def _from_url(url: str) -> Locator:
    scheme = urlsplit(url).scheme
    dialect = _dialect(_ALIASES.get(scheme, scheme))
    if dialect is None:
        raise ConfigurationError(f"{scheme}:// is no known warehouse; known: {', '.join(DIALECTS)}", option=_OPTION)
    return Locator(dialect, url=f"{dialect.backend}{url[len(scheme) :]}" if scheme != "md" else url)


def _dialect(name: str) -> Dialect | None:
    return DIALECTS.get(name.lower())


def _from_siteconfig(path: Path, name: str) -> Locator:
    file = path.expanduser()
    if not file.exists():
        raise ConfigurationError(
            f"{name!r} would be a connection of {path}, which does not exist; write an ibis URL instead",
            option=_OPTION,
        )
    connections = load(file, str(path)).mapping().get("connections")
    known = connections.mapping() if connections else {}
    if name not in known:
        listed = ", ".join(known) or "none"
        raise ConfigurationError(f"{path} has no connection {name!r}; it has: {listed}", option=_OPTION)
    return _locator(_output(known[name]))


def _output(connection: Spot) -> Spot:
    """The output that is the connection's target; with one output only, that one."""
    members = connection.mapping()
    outputs = members["outputs"].mapping() if "outputs" in members else {}
    if not outputs:
        raise connection.error("has no `outputs`")
    target = members["target"].text() if "target" in members else None
    if target in outputs:
        return outputs[target]
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    raise connection.error(f"has no output {target!r}, its `target`; it has: {', '.join(outputs)}")


def _locator(output: Spot) -> Locator:
    members = output.mapping()
    if "type" not in members:
        raise output.error("has no `type`")
    dialect = _dialect(members["type"].text())
    if dialect is None:
        raise members["type"].error(f"is no known warehouse; known: {', '.join(DIALECTS)}")
    given = {key: spot.text() for key, spot in members.items() if dialect.options.get(key) and not spot.is_null}
    for key, spot in members.items():
        if key not in dialect.options and key not in _IGNORED and not spot.is_null:
            raise spot.error(
                f"not supported: `{key}` of a {dialect.name} connection; known: {', '.join(dialect.options)}. "
                "Write an ibis URL as `sync.warehouse` instead"
            )
    return Locator(dialect, options={dialect.options[key]: value for key, value in given.items()})
