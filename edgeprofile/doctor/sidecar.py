"""The sidecar's tokens file, where one is configured and the sidecar is installed."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprofile.doctor.findings import failure, fine, skipped, warning
from edgeprofile.errors import EdgeProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.config import Config
    from edgeprofile.doctor.findings import Finding

__all__ = ["tokens"]

NAME = "tokens file"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def tokens(config: Config) -> Iterator[Finding]:
    """Whether it can be read, by whom, and what it grants."""
    path = Path(config.sidecar.tokens_file)
    try:
        from edgeprofile_sidecar.token_file import load  # noqa: PLC0415 (the sidecar may not be installed)
    except ModuleNotFoundError as error:
        yield skipped(NAME, f"{error.name} is not installed here", "pip install 'edgeprofile[sidecar]'")
        return
    try:
        found = load(path)
        mode = path.stat().st_mode
    except (EdgeProfileError, OSError) as error:
        yield failure(NAME, str(error), "edgeprofile token create writes one")
        return
    now = datetime.now(UTC)
    valid = [token for token in found if token.expires is None or token.expires > now]
    known = {destination.id for destination in config.destinations}
    named = {each for token in valid if token.destinations != "all" for each in token.destinations}
    yield _counted(len(found), len(valid))
    if mode & _OTHERS:
        yield warning(NAME, f"others than its owner may use it (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}")
    if named - known:
        unknown = ", ".join(sorted(named - known))
        yield warning(NAME, f"tokens name destinations that are not configured: {unknown}", "edgeprofile token list")


def _counted(found: int, valid: int) -> Finding:
    if not valid:
        what = f"none of its {found} tokens is valid any more" if found else "it has no tokens"
        return warning(NAME, f"{what}: every request is refused", "edgeprofile token create")
    return fine(NAME, f"{valid} of {found} tokens are valid")
