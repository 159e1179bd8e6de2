"""A public trace: what one of Twitter's caches was asked for in March 2020, as the source package of libCacheSim carries it.

The data is Twitter's (Yang, Yue and Vinayak, OSDI '20; licence CC-BY 4.0), cluster 52, which is recommended there for hit
ratios. It is no part of this repository: a full run fetches it once and keeps it beside the contenders' environments.
"""

import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks import data, environments
from benchmarks.children import Absent

TITLE = "Twitter's cluster 52"
CREDIT = "Requests to one of Twitter's caches, March 2020 (Yang, Yue, Vinayak, OSDI '20; CC-BY 4.0)."
SOURCE = {"libcachesim": "0.3.5"}
MEMBER = "/src/libCacheSim/data/twitter_cluster52.csv"
LENGTH = 400_000  # requests of the million that there is


def requests(*, fetch: bool, home: Path = environments.HOME) -> list[str]:
    """Ids in the order in which they were asked for; fetched if that is allowed and they are not there yet.

    Raises:
        Absent: They are not there and cannot be had; says why.
    """
    kept = home / "traces" / "twitter-cluster52.csv"
    if not kept.exists():
        if not fetch:
            raise Absent("81 MB to fetch, so in full runs only")
        _fetch(kept)
    with kept.open(encoding="ascii") as lines:
        return list(renamed(keys(lines)))


def keys(lines: Iterable[str]) -> Iterator[str]:
    """The second column of what is no comment."""
    return (line.split(",", 2)[1].strip() for line in lines if not line.startswith("#"))


def renamed(asked: Iterable[str]) -> Iterator[str]:
    """The same sequence over ids of our own, which are all of one length."""
    numbers: dict[str, int] = {}
    return (data.identity(numbers.setdefault(key, len(numbers))) for key in asked)


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    ((name, version),) = SOURCE.items()
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        where = ["--no-deps", "--no-binary", name, "--dest", folder]
        environments.pip(["download", *where, f"{name}=={version}"], f"fetch the source of {name} {version}")
        (package,) = Path(folder).glob("*.tar.gz")
        part = Path(folder, "part")
        _extract(package, part)
        part.replace(target)


def _extract(package: Path, target: Path) -> None:
    with tarfile.open(package) as archive:
        found = next((member for member in archive if member.name.endswith(MEMBER)), None)
        lines = None if found is None else archive.extractfile(found)
        if lines is None:
            raise Absent(f"{package.name} has no {MEMBER}")
        with target.open("wb") as kept:
            kept.writelines(islice(lines, LENGTH + 1))  # the first is the names of the columns
