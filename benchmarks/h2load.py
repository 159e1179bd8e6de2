"""h2load, a load generator in C that keeps a rate: what it logged of each request, and what its waiting hid.

Each connection asks at an even pace. What is due while an answer is outstanding is asked late, and timed from then. So an
answer that took longer than the pace hides how long others waited; they are added, each with what was left of that
answer when it was due and the time of a usual one. Many connections make the pace long beside the answers, and that rare.
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
    """What the log's lines say, each of a request's start, status and duration; `pace` in microseconds.

    Raises:
        ContenderFailed: Nothing was answered.
    """
    logged = [tuple(map(int, line.split()[:3])) for line in lines]
    if not logged:
        raise ContenderFailed("h2load had no answer")
    durations = sorted(duration for _, _, duration in logged)
    usual = durations[len(durations) // 2]
    latencies = sorted([*durations, *(wait + usual for each in durations for wait in hidden(each, pace))])
    elapsed = max(start + duration for start, _, duration in logged) - min(start for start, _, _ in logged)
    failed = sum(not 200 <= status < 300 for _, status, _ in logged)
    told = clients.summary([latency / 1e6 for latency in latencies], elapsed / 1e6, failed)
    return {**told, "requests": len(logged)}


def hidden(duration: float, pace: float) -> Iterator[float]:
    """How long those waited that were due while an answer of that duration was outstanding."""
    while duration > pace:
        duration -= pace
        yield duration
