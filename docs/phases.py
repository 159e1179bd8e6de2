"""Write the diagram of the feed's phases into docs/coherence.md, from the machine's own table.

``python -m docs.phases``; with ``--check`` nothing is written, and the exit code is 1 if something would be.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.blocks import bring
from edgeprofile.core.coherence import TRANSITIONS, Phase

PAGE = Path(__file__).resolve().parent / "coherence.md"


def main(arguments: list[str]) -> int:
    """Bring the page up to date, or look whether it is."""
    return bring(PAGE, {"phases": diagram()}, check="--check" in arguments)


def diagram() -> str:
    """The transitions as a Mermaid state diagram."""
    arrows = [
        f"    {source.value} --> {target.value}: {signal.value}" for (source, signal), target in TRANSITIONS.items()
    ]
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.DOWN.value}", *arrows, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
