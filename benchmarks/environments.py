"""A virtual environment for each contender, made when it is first needed, so that peers disturb neither us nor each other."""

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.children import ROOT, Absent

HOME = ROOT / ".venv-bench"
_PIP_SECONDS = 900


def python_for(contender: str, requirements: Sequence[str]) -> str:
    """The interpreter to run the contender with: this one where nothing has to be installed.

    Raises:
        Absent: pip cannot install it; carries pip's last words.
    """
    if not requirements:
        return sys.executable
    home = HOME / contender
    python, stamp = home / "bin" / "python", home / f"installed-{_digest(requirements)}"
    if not stamp.exists():
        venv.create(home, clear=True)
        _install(contender, python, requirements)
        stamp.touch()
    return str(python)


def _digest(requirements: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]


def _install(contender: str, python: Path, requirements: Sequence[str]) -> None:
    print(f"installing {contender}: {' '.join(requirements)}", file=sys.stderr, flush=True)
    pip(["--python", str(python), "install", *requirements], f"install {' '.join(requirements)}")


def pip(arguments: Sequence[str], task: str) -> None:
    """Run pip; `task` is what the reason calls it.

    Raises:
        Absent: It failed or took too long; carries its last words.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"pip took longer than {_PIP_SECONDS} s to {task}") from None
    if done.returncode:
        raise Absent(f"pip cannot {task}: {_last_line(done.stderr)}")


def _last_line(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines()
    return errors[-1][:200] if errors else "no reason given"
