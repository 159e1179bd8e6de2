"""``python -m edgeprofile`` is the command ``edgeprofile``."""

from __future__ import annotations

import sys

from edgeprofile.cli import main

if __name__ == "__main__":
    sys.exit(main())
