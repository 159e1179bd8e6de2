"""The examples of docs/api.md and docs/testing.md, asked of a sidecar and run, as a reader would."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import edgeprofile
from edgeprofile.config import SidecarConfig
from edgeprofile.testing import MemoryProfiles
from edgeprofile_sidecar.answers import oversized
from tests.support import processes
from tests.support.wait import until

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = "http://127.0.0.1:8080"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Block(NamedTuple):
    """A fenced block of a page, and the line of text that stands before it."""

    language: str
    text: str
    before: str


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text()
    found = re.finditer(r"(?P<before>[^\n]*)\n+```(?P<language>\w+)\n(?P<text>.*?\n)```\n", text, re.DOTALL)
    return [Block(each["language"], each["text"], each["before"]) for each in found]


def exchanges(page: str) -> list[tuple[str, Block]]:
    """Commands, each with the answer that the page shows next."""
    return [
        (asked.text, answer)
        for asked, answer in pairwise(blocks(page))
        if asked.text.startswith("curl") and answer.language in {"json", "http"}
    ]


@contextmanager
def sidecar(home: Path, *options: str) -> Iterator[str]:
    """Where the sidecar serves that the page has its reader start."""
    log = home / "sidecar.log"
    command = [sys.executable, "-m", "edgeprofile", "sidecar", "--offline", "profiles.json", *options]
    child = processes.spawn(
        [*command, "--listen", "127.0.0.1:0", "--admin-listen", "", "--print-addresses"], cwd=home, log=log
    )

    def listening() -> str:
        assert child.poll() is None, log.read_text()
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        found = next((line["listen"][0] for line in lines if line.get("listen")), "")
        return found and f"http://{found}"

    try:
        until(listening, message=log.read_text)
        yield listening()
    finally:
        processes.reap(child)


def ask(command: str, address: str) -> str:
    assert command.count(SHOWN) == 1
    script = command.replace(SHOWN, address).replace("curl ", "curl --noproxy '*' ", 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


def check(shown: Block, answer: str) -> None:
    """Compare JSON as JSON, and of an HTTP answer the headers that are shown; `…` stands for anything."""
    if shown.language == "json":
        assert json.loads(answer) == json.loads(shown.text)
        return
    wanted_head, _, wanted = shown.text.partition("\n\n")
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    for line in wanted_head.strip().splitlines():
        pattern = re.escape(line).replace("…", ".*")
        assert re.search(f"^{pattern}$", head, re.MULTILINE), f"{line!r} is not in {head!r}"
    assert (json.loads(body) if body.strip() else None) == (json.loads(wanted) if wanted else None)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for block in blocks("api.md"):
        if name := re.fullmatch(r"`([\w.]+\.(?:json|toml))`", block.before):
            (tmp_path / name[1]).write_text(block.text)
    return tmp_path


def test_every_answer_of_the_api_page_is_the_one_given(home):
    shown = exchanges("api.md")
    assert len(shown) >= 11
    with sidecar(home, "--config", "edgeprofile.toml") as address:
        for command, answer in shown:
            check(answer, ask(command, address))


def test_what_the_page_has_saved_is_the_description(home):
    (command,) = (block.text for block in blocks("api.md") if "openapi.json -o" in block.text)
    with sidecar(home, "--config", "edgeprofile.toml") as address:
        ask(command.replace("-o openapi.json", f"-o {home}/openapi.json"), address)
    assert json.loads((home / "openapi.json").read_text())["info"]["version"] == edgeprofile.__version__


def test_the_stream_says_what_the_page_shows(home):
    ((command, shown),) = (
        (asked.text, told.text) for asked, told in pairwise(blocks("api.md")) if asked.text.startswith("curl -sN")
    )
    (delete,) = (asked for asked, answer in exchanges("api.md") if '"deletedKeys"' in answer.text)
    with sidecar(home, "--config", "edgeprofile.toml") as address:
        heard = home / "heard"
        script = command.replace(SHOWN, address).replace("curl ", "exec curl --noproxy '*' ", 1)
        listener = processes.spawn(["bash", "-c", script], cwd=home, log=heard)
        try:
            until(lambda: "event: open" in heard.read_text())
            ask(delete, address)
            until(lambda: heard.read_text().replace(":\n\n", "") == shown + "\n", message=heard.read_text)
        finally:
            processes.reap(listener)


def test_every_error_that_the_page_lists_is_one_that_is_given():
    said = (DOCS / "api.md").read_text().partition("## Errors")[2]
    texts = {cell.strip() for cell in re.findall(r"^\| \d{3} \|([^|]+)\|", said, re.MULTILINE)}
    code = "".join(file.read_text() for file in (DOCS.parent / "sidecar/edgeprofile_sidecar").glob("*.py"))
    made = {json.loads(oversized(SidecarConfig().max_body_bytes).body)["error"]}
    assert made <= texts
    general = made | {"the same", "This path takes DELETE, POST", "id.value is missing, and the like"}
    whole = {text for text in texts - general if not text.startswith("the body")}
    assert len(whole | made) > 10
    assert {text for text in whole if f'"{text}"' not in code} == set()


def test_bundles_of_the_library_are_those_of_the_file(home, monkeypatch):
    (block,) = (block for block in blocks("api.md") if block.language == "python")
    profiles = MemoryProfiles(home / "profiles.json", config=edgeprofile.config.load(home / "edgeprofile.toml"))
    monkeypatch.setattr(edgeprofile, "Client", lambda _: profiles.client)
    *code, one, many = block.text.splitlines()
    seen: dict[str, Any] = {"edgeprofile": edgeprofile}
    called = f"    one = {one.strip()}\n    many = {many.strip()}\n"
    exec(compile("\n".join(code) + "\n" + called, "api.md", "exec"), seen)  # noqa: S102
    assert seen["one"] == {"ltv": 0}
    assert seen["many"].keys() == {"ada@example.com", "nobody@example.com"}


def test_the_files_of_the_testing_page_pass_their_tests(tmp_path):
    files = [block.text for block in blocks("testing.md") if block.language == "python"]
    names = [re.match(r"# ([\w.]+)\n", text) for text in files]
    assert all(names)
    for name, text in zip(names, files, strict=True):
        (tmp_path / name[1]).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_sidecar_of_the_testing_page_answers_as_shown(tmp_path):
    profiles = {"user": {"email": {"ada@example.com": {"features_by_email": {"churn_score": 0.9}}}}}
    (tmp_path / "profiles.json").write_text(json.dumps(profiles))
    ((command, shown),) = exchanges("testing.md")
    with sidecar(tmp_path) as address:
        check(shown, ask(command, address))
