"""Write the diagram of the feed's phases into docs/coherence.md, from the machine's own table.

It stands between ``<!-- phases -->`` and ``<!-- /phases -->``. With ``--check`` nothing is written, and the exit code
is 1 if something would be.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from edgeprofile.core.coherence import TRANSITIONS, Phase

PAGE = Path(__file__).resolve().parent / "coherence.md"

_BLOCK = re.compile(r"(<!-- phases -->\n).*?(<!-- /phases -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Bring the page up to date, or look whether it is."""
    before = PAGE.read_text(encoding="utf-8")
    after = _BLOCK.sub(lambda found: f"{found[1]}{diagram()}{found[2]}", before)
    if "--check" in arguments:
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def diagram() -> str:
    """The transitions as a Mermaid state diagram."""
    arrows = [
        f"    {source.value} --> {target.value}: {signal.value}" for (source, signal), target in TRANSITIONS.items()
    ]
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.DOWN.value}", *arrows, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
