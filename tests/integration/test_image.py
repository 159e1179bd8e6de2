"""The image's steps, taken from the Containerfile and run here, since a container engine is not everywhere to be had."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edgeprofile_sidecar.tokens import dump
from tests.support.ports import free_port
from tests.support.servers import Flavour
from tests.support.sidecar import request, token
from tests.support.wait import until

ROOT = Path(__file__).parents[2]
SECRET = "ep_image"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


class Image(NamedTuple):
    """A Containerfile's instructions: the last of a name wins, `FROM` begins a stage."""

    build: list[tuple[str, str]]
    final: list[tuple[str, str]]

    @classmethod
    def read(cls, file: Path) -> "Image":
        text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        lines = [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
        starts = [index for index, (name, *_) in enumerate(lines) if name == "FROM"]
        return cls(lines[starts[0] : starts[1]], lines[starts[1] :])

    def vector(self, name: str) -> list[str]:
        return json.loads(next(value for word, value in self.final if word == name))

    @property
    def variables(self) -> dict[str, str]:
        pairs = [shlex.split(value) for name, value in self.final if name == "ENV"]
        return dict(pair.split("=", 1) for words in pairs for pair in words)

    @property
    def user(self) -> int:
        return int(next(value for name, value in self.final if name == "USER").partition(":")[0])


IMAGE = Image.read(ROOT / "sidecar/deploy/Containerfile")


# Root that may not even read what its mode forbids: where the interpreter lies in a home that is closed to others.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def may_become_another() -> bool:
    interpreter = Path(sys.executable).resolve()
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in interpreter.parents)


class Built(NamedTuple):
    """A folder that stands for the image's root, and how commands are run in it."""

    root: Path

    def inside(self, text: str) -> str:
        return re.sub(r"(?<![\w/])/(opt|wheels|etc)\b", rf"{self.root}/\1", text)

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: self.inside(value).replace("$PATH", "/usr/bin:/bin") for name, value in IMAGE.variables.items()}
        return ours | {"TMPDIR": "/tmp"}

    def start(self, command: list[str], log: Path = Path(os.devnull)) -> subprocess.Popen[bytes]:
        """Run a command with no rights of root's, and with the image's environment alone."""
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program is not None
        who = {"user": IMAGE.user, "group": IMAGE.user, "extra_groups": []} if may_become_another() else {}
        limits = [] if who or os.geteuid() else POWERLESS
        with log.open("ab") as output:
            return subprocess.Popen(
                [*limits, program, *command[1:]],
                env=self.environment,
                cwd="/",
                stdout=output,
                stderr=output,
                **who,
            )

    def health(self) -> int:
        _, _, command = next(value for name, value in IMAGE.final if name == "HEALTHCHECK").partition("CMD ")
        return self.start(json.loads(command)).wait(20)


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    """The first stage, done: its sources copied, its commands run, and what it leaves made read-only."""
    with tempfile.TemporaryDirectory(prefix="image.") as folder:  # pytest's own is closed to other users
        root = Path(folder)
        root.chmod(0o755)
        image, source = Built(root), root / "src"
        for name, value in IMAGE.build:
            if name == "COPY":
                *froms, to = value.split()
                for each in froms:
                    copy(ROOT / each, source / to / (Path(each).name if len(froms) > 1 else ""))
            elif name == "RUN" and not value.startswith("apt-get"):  # the machine has its own compiler, or none
                run(image, value, source)
        yield image
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, to)


def run(image: Built, commands: str, source: Path) -> None:
    extras = next(value for name, value in IMAGE.build if name == "ARG" and value.startswith("EXTRAS"))
    told = commands.replace("${EXTRAS}", extras.partition("=")[2]).replace("python -m", f"{sys.executable} -m", 1)
    told = told.replace("&& python -m", f"&& {sys.executable} -m")
    done = subprocess.run(["sh", "-ec", image.inside(told)], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(image.root / "opt")], check=True)


def test_what_is_built_holds_the_sidecar_and_no_tools(built):
    bin_folder = built.root / "opt/edgeprofile/bin"
    assert (bin_folder / "edgeprofile").exists()
    assert not list(bin_folder.glob("pip*"))
    (packages,) = (built.root / "opt/edgeprofile/lib").glob("python3*/site-packages")
    found = {path.name for path in packages.iterdir() if path.is_dir()}
    assert {"edgeprofile", "edgeprofile_sidecar", "aiohttp", "msgspec", "uvloop"} <= found
    assert not {"pip", "pytest", "ibis", "duckdb"} & found
    assert (packages / "edgeprofile_sidecar/status.html").exists()


def test_its_entry_point_serves_as_another_user_and_its_health_check_says_so(built, redis_db, tmp_path):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a":1}')
    listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = built.root / "etc/edgeprofile"
    settings.mkdir(parents=True)
    (settings / "tokens.json").write_bytes(dump([token(SECRET)]))
    (settings / "edgeprofile.toml").write_text(
        f'[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        f'[destinations.config]\naddress = "{redis_db.address}"\nclusterMode = false\n'
        f'[sidecar]\nlisten = ["{listen}"]\nadminListen = "{admin}"\ntokensFile = "{settings}/tokens.json"\n'
    )
    assert built.health() == 1
    log = tmp_path / "log"
    process = built.start(IMAGE.vector("ENTRYPOINT") + IMAGE.vector("CMD"), log)
    try:
        until(lambda: built.health() == 0, 30, message=log.read_text)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        answer = request(listen, "POST", "/v1/activation", json.dumps(ASKED).encode(), headers)
        assert answer.json["data"] == {"m": {"a": 1}}
        if may_become_another():
            assert Path(f"/proc/{process.pid}").stat().st_uid == IMAGE.user
        assert re.search(r"^CapEff:\s0+$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
