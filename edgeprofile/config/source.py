"""Where the configuration comes from: a TOML file, ``EDGEPROFILE_*`` variables, keywords.

Keywords win over variables, and variables over the file, option by option.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
from msgspec import inspect

from edgeprofile.config import schema
from edgeprofile.config.decode import decode
from edgeprofile.config.draft import Draft
from edgeprofile.config.suggest import did_you_mean, nearest
from edgeprofile.errors import ConfigurationError

if TYPE_CHECKING:
    from edgeprofile.config.keywords import Keywords
    from edgeprofile.config.model import Config

__all__ = ["from_keywords", "from_mapping", "load"]

_logger = logging.getLogger("edgeprofile")
_FILE_VARIABLE = f"{schema.PREFIX}CONFIG"

# Kubernetes gives every pod such variables for a Service whose name begins with "edgeprofile"; tests have their own.
_OF_OTHERS = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$|^EDGEPROFILE_TEST_")

_LITERALS: dict[type[inspect.Type], tuple[type, str]] = {
    inspect.BoolType: (bool, "true or false"),
    inspect.IntType: (int, "a whole number"),
    inspect.FloatType: (float, "a number"),
}

_THREE_WAYS = f"""nothing says where Redis is; there are three ways:
  a file:       {_FILE_VARIABLE}=/etc/edgeprofile.toml, with [[destinations]] in it
  variables:    EDGEPROFILE_ADDRESS=127.0.0.1:6379 EDGEPROFILE_WORKSPACE_ID=… EDGEPROFILE_DESTINATION_ID=…
  keywords:     edgeprofile.configure(address="127.0.0.1:6379", workspace_id="…", destination_id="…")
Redis that is no cluster also needs clusterMode = false, EDGEPROFILE_CLUSTER_MODE=false or cluster_mode=False."""


def load(path: str | os.PathLike[str] | None = None, *, env: Mapping[str, str] | None = None) -> Config:
    """Read the file at ``path``, or the one that ``EDGEPROFILE_CONFIG`` names, and the variables over it.

    ``env`` stands in for ``os.environ``. Raises `ConfigurationError`.
    """
    return from_keywords(path, env=env)


def from_keywords(
    path: str | os.PathLike[str] | None = None, *, env: Mapping[str, str] | None = None, **options: Unpack[Keywords]
) -> Config:
    """The same with keywords over it: ``address=``, ``cluster_mode=``, ``max_staleness="500ms"``, and so on.

    A keyword is the option's name in snake_case; ``destination_id`` and ``feed_mode`` name what is ``id`` and ``mode``
    in a file. They reach one destination, the cache, the feed and the limits. Raises `ConfigurationError`.
    """
    env = os.environ if env is None else env
    path = path or env.get(_FILE_VARIABLE)
    draft = _draft(path, env)
    _lay_variables(draft, env)
    _lay_keywords(draft, options)
    if not path and not draft.destinations:
        raise ConfigurationError(_THREE_WAYS)
    return decode(draft)


def from_mapping(data: Mapping[str, Any], source: str = "mapping") -> Config:
    """Read plain data of a file's form, and nothing else; ``source`` names it in messages.

    ``${NAME}`` in its texts is looked up in the environment. Raises `ConfigurationError`.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"is of type {type(data).__name__}, and must be a mapping", source=source)
    return decode(Draft(data, source))


def _draft(path: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Draft:
    if not path:
        return Draft({}, env=env)
    import tomllib  # noqa: PLC0415 (for those who have a file)

    file = Path(path)
    try:
        data = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(file)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"is not UTF-8 text (byte {error.start})", source=str(file)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"is not TOML: {error}", source=str(file)) from None
    return Draft(data, str(file), directory=file.absolute().parent, env=env)


def _lay_variables(draft: Draft, env: Mapping[str, str]) -> None:
    """Lay the variables over the draft; an empty one counts as not set."""
    known = schema.known_by_variable()
    for name in sorted(env):
        if not name.startswith(schema.PREFIX) or name == _FILE_VARIABLE or not env[name]:
            continue
        if name in known:
            _lay(draft, known[name], _read_variable(known[name], name, env[name]), name)
        elif not _OF_OTHERS.search(name):
            near = nearest(name, known)
            _logger.warning(
                "the environment variable %s sets nothing%s", name, f"; did you mean {near}?" if near else ""
            )


def _lay_keywords(draft: Draft, options: Mapping[str, Any]) -> None:
    known = schema.known_by_keyword()
    for name, value in options.items():
        if name not in known:
            raise ConfigurationError(f"is unknown; {did_you_mean(name, known)}", source=f"keyword {name}")
        _lay(draft, known[name], value, f"keyword {name}")


def _lay(draft: Draft, known: schema.Known, value: object, source: str) -> None:
    if draft.destinations > 1 and known.option[0] == "destinations":
        raise ConfigurationError(
            "several destinations are configured: set it in their sections of the file", source=source
        )
    draft.lay(known.option, value, source)


def _read_variable(known: schema.Known, name: str, text: str) -> object:
    """A variable's text as the value that would stand in a file."""
    described = schema.plain(known.field.type)
    if isinstance(described, inspect.VarTupleType):
        return [part.strip() for part in text.split(",")]
    if known.kind is None and type(described) in _LITERALS:
        python_type, allowed = _LITERALS[type(described)]
        try:
            return msgspec.convert(text.strip().lower(), python_type, strict=False)
        except msgspec.ValidationError:
            raise ConfigurationError(f'"{text}" is not allowed: write {allowed}', source=name) from None
    return text
