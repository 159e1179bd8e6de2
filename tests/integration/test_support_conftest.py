"""What `tests/conftest.py` does for each test, seen from outside in runs of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Run one test file in a directory of that name, under the project's configuration; returns code and output."""

    def pytest_on(directory, text, **environment):
        file = tmp_path / directory / "test_it.py"
        file.parent.mkdir()
        file.write_text(text)
        command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--noconftest"]
        done = subprocess.run(
            [*command, "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, file],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return pytest_on


def test_a_test_that_hangs_shows_its_stack_and_ends_the_run(run):
    code, output = run(
        "unit",
        "import pytest, threading\n"
        "@pytest.mark.limit(2)\n"
        "def test_hangs():\n"
        "    threading.Event().wait()\n"
        "def test_never_reached(): pass\n",
    )
    assert code == 1
    assert "Timeout" in output
    assert "in test_hangs" in output
    assert "passed" not in output


@pytest.mark.parametrize(("directory", "code"), [("integration", 1), ("unit", 0)])
def test_leaks_are_looked_for_where_real_things_run(run, directory, code):
    found, output = run(
        directory,
        "import threading\n"
        "def test_leaves_a_thread():\n"
        "    threading.Thread(target=threading.Event().wait, name='edgeprofile-left', daemon=True).start()\n",
    )
    assert found == code, output
    assert ("edgeprofile-left" in output) == bool(code)


@pytest.mark.parametrize(("depth", "examples"), [("", 100), ("deep", 5_000)])
def test_hypothesis_runs_at_the_depth_asked_for_and_never_repeats_itself(run, depth, examples):
    code, output = run(
        "property",
        "from hypothesis import settings\n"
        f"def test_profile():\n    now = settings()\n    assert now.max_examples == {examples}\n"
        "    assert now.print_blob and not now.derandomize and now.deadline is None\n",
        EDGEPROFILE_TEST_DEPTH=depth,
        CI="true",
    )
    assert code == 0, output


def test_a_missing_server_is_a_skip_with_its_reason(run):
    code, output = run("integration", "def test_both(server):\n    assert server.command('PING')\n", PATH="/nowhere")
    assert code == 0, output
    assert "1 passed, 1 skipped" in output
    assert "redis-server is not on the path" in output
