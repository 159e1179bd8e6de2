"""A configuration on its way: plain data from several sources, and which source each option came from."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgeprofile.errors import ConfigurationError
from edgeprofile.options import MASK, mask

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Draft", "Option", "dotted", "show", "undotted"]

Option = tuple[str | int, ...]
"""The way to an option: ``("destinations", 0, "config", "address")``."""

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]$]+)")
_SHOWN_CHARACTERS = 80


class Draft:
    """Options as plain data, named as in a file; later sources are laid over earlier ones.

    ``directory`` is where relative paths start, and ``env`` where ``${NAME}`` in a text is looked up. Destinations of
    other types than Redis are left out; messages count them all the same.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        source: str | None = None,
        *,
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data: dict[str, Any] = copy.deepcopy(dict(data))
        self.directory = directory
        self.env = os.environ if env is None else env
        self._source = source
        self._laid: dict[Option, str] = {}
        self._places = self._leave_other_types_out()

    def lay(self, option: Option, value: object, source: str) -> None:
        """Set one option, making the sections on the way to it."""
        place: Any = self.data
        for step, following in pairwise(option):
            if not isinstance(place, list if isinstance(step, int) else dict):
                return  # the file has something else here, which is refused for itself
            place = _enter(place, step, [] if isinstance(following, int) else {})
        if isinstance(place, dict):
            place[option[-1]] = value
            self._laid[option] = source

    @property
    def destinations(self) -> int:
        """How many destinations there are so far."""
        listed = self.data.get("destinations")
        return len(listed) if isinstance(listed, list) else 0

    def is_literal(self, option: Option) -> bool:
        """Whether the option came from a variable or a keyword, whose text is meant as it stands."""
        return any(option[: len(laid)] == laid for laid in self._laid)

    def source(self, option: Option = ()) -> str | None:
        """Where the option came from, or the section that lacks it."""
        laid = (source for place, source in self._laid.items() if option[: len(place)] == place)
        return next(laid, self._source)

    def error(self, option: Option, message: str) -> ConfigurationError:
        """An error that names source and option."""
        return ConfigurationError(message, option=self.name(option) or None, source=self.source(option))

    def name(self, option: Option) -> str:
        """The option's dotted path, with destinations counted as in the source."""
        if option[:1] == ("destinations",) and len(option) > 1 and isinstance(option[1], int):
            option = ("destinations", self._places.get(option[1], option[1]), *option[2:])
        return dotted(option)

    def _leave_other_types_out(self) -> dict[int, int]:
        listed = self.data.get("destinations")
        if not isinstance(listed, list):
            return {}
        kept = [(place, destination) for place, destination in enumerate(listed) if not _of_other_type(destination)]
        self.data["destinations"] = [destination for _, destination in kept]
        return {index: place for index, (place, _) in enumerate(kept)}


def dotted(option: Option) -> str:
    """Write the way to an option as in ``destinations[0].config.address``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in option).removeprefix(".")


def undotted(path: str) -> Option:
    """Read what `dotted` wrote, or msgspec's ``$.destinations[0].id``."""
    return tuple(int(index) if index else name for index, name in _STEP.findall(path))


def show(value: object, *, secret: bool = False) -> str:
    """Write a value for a message: as in a file, shortened, without secrets."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if secret:
        return MASK
    text = json.dumps(mask(value) if isinstance(value, str) else value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _of_other_type(destination: object) -> bool:
    kind = destination.get("type", "REDIS") if isinstance(destination, Mapping) else "REDIS"
    return isinstance(kind, str) and kind.upper() != "REDIS"


def _enter(place: Any, step: str | int, empty: Any) -> Any:
    if isinstance(step, str):
        return place.setdefault(step, empty)
    if len(place) == step:
        place.append({})
    return place[step]
