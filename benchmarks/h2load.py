"""h2load, a load generator in C that keeps a rate: what it logged of each request, with what its waiting hid.

Each connection asks at an even pace, and asks later while an answer is outstanding. So an answer that took longer than
the pace hides the requests that were due meanwhile; they are put back as HdrHistogram does it, each with the time that
it would have waited.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import clients
from benchmarks.children import ContenderFailed

PROGRAM = "h2load"


def is_here() -> bool:
    return shutil.which(PROGRAM) is not None


def version() -> str:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def paced(endpoint: Mapping[str, Any], body: bytes, *, connections: int, seconds: float, rate: float) -> dict[str, Any]:
    """What a run at `rate` requests a second found; latencies in microseconds."""
    with tempfile.TemporaryDirectory() as home:
        question, log = Path(home, "body"), Path(home, "log")
        question.write_bytes(body)
        command = [PROGRAM, "--h1", "--threads=1", f"--clients={connections}", f"--duration={max(1, round(seconds))}"]
        command += [f"--rps={rate / connections:.3f}", f"--data={question}", f"--log-file={log}"]
        command += [f"--header={name}: {value}" for name, value in endpoint["headers"].items()]
        url = endpoint["url"] + endpoint["path"]
        done = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=seconds + 60)
        if done.returncode or not log.exists():
            raise ContenderFailed(f"h2load failed: {done.stderr or done.stdout}")
        return found(log.read_text().splitlines(), connections / rate * 1e6)


def found(lines: Iterable[str], pace: float) -> dict[str, Any]:
    """What the log's lines say, each of a request's start, status and duration; `pace` in microseconds."""
    starts, statuses, durations = zip(*(map(int, line.split()[:3]) for line in lines), strict=True)
    ends = [start + duration for start, duration in zip(starts, durations, strict=True)]
    failed = sum(not 200 <= status < 300 for status in statuses)
    latencies = sorted(each / 1e6 for duration in durations for each in corrected(duration, pace))
    whole = clients.summary(latencies, (max(ends) - min(starts)) / 1e6, failed)
    return {**whole, "requests": len(durations)}


def corrected(duration: float, pace: float) -> Iterator[float]:
    """A duration, and those of the requests that were due while it lasted."""
    while duration > 0:
        yield duration
        duration -= pace
