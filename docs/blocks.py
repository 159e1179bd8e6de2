"""Parts of the pages that scripts write: a block stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def bring(page: Path, blocks: Mapping[str, str], *, check: bool) -> int:
    """Bring the page's blocks up to date, or only look whether they are: then 1 if one is not, otherwise 0.

    Raises:
        LookupError: The page lacks one of the blocks.
    """
    before = page.read_text(encoding="utf-8")
    after = before
    for name, text in blocks.items():
        after = replaced(after, name, text)
    if check:
        return int(before != after)
    page.write_text(after, encoding="utf-8")
    return 0


def replaced(page: str, name: str, text: str) -> str:
    """The page with the text between the block's marks.

    Raises:
        LookupError: The page lacks the block.
    """
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    replaced, found = block.subn(lambda marks: marks[1] + text + marks[2], page)
    if not found:
        raise LookupError(f"the page has no block {name!r}")
    return replaced
