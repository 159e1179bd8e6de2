"""The command line itself: help, errors and exit codes, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata

import pytest

from edgeprofile import cli
from edgeprofile.errors import UsageError

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEPROFILE_", "PYTHONUN"))}


def run(*arguments: str, prelude: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as installed, after ``prelude`` in the same interpreter."""
    program = f"import sys\n{prelude}\nfrom edgeprofile.cli import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN | (env or {}),
    )


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeprofile: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_help_lists_every_command():
    done = run("--help")
    assert done.returncode == 0
    for command in cli.COMMANDS:
        assert f"{command.name} " in done.stdout
        assert command.summary in " ".join(done.stdout.split())


def test_version():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    version = re.escape(metadata.version("edgeprofile"))
    assert re.match(rf"edgeprofile {version}, (compiled|pure) \(Python 3\.", done.stdout)


def test_it_is_installed_as_a_script_and_runs_as_a_module():
    (script,) = metadata.entry_points(group="console_scripts", name="edgeprofile")
    assert script.load() is cli.main
    done = subprocess.run(
        [sys.executable, "-m", "edgeprofile", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("edgeprofile ")


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["--fetch"], ["get"], ["get", "user"], ["get", "--nonsense"]])
def test_wrong_arguments_exit_with_2_and_the_usage(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: edgeprofile")


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command):
    done = run(command.name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: edgeprofile {command.name}")


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_module_of_a_command_has_the_two_functions(command):
    from importlib import import_module

    module = import_module(command.module)
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize("missing", ["aiohttp", "prometheus_client"])
def test_a_missing_extra_is_named(missing):
    done = run("sidecar", prelude=f"sys.modules['{missing}'] = None")
    assert_one_clear_line(done, f"sidecar needs {missing}, which is not installed: pip install 'edgeprofile[sidecar]'")


def test_a_defect_of_ours_is_no_missing_extra():
    done = run("sidecar", prelude="sys.modules['edgeprofile_sidecar'] = None")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
    assert "pip install" not in done.stderr


def test_without_a_configuration_get_shows_the_three_ways():
    done = run("get", "user", "email", "ada@example.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeprofile: nothing says where Redis is")
    assert "EDGEPROFILE_CONFIG=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_configuration_is_one_line(tmp_path):
    file = tmp_path / "ep.toml"
    file.write_text("[cache]\nttl = 5\n")
    done = run("get", "user", "email", "ada@example.com", "--config", str(file))
    assert_one_clear_line(done, f"{file}: cache.ttl: 5 has no unit")
    done = run("get", "user", "email", "ada@example.com", env={"EDGEPROFILE_CONFIG": str(tmp_path / "absent")})
    assert_one_clear_line(done, "absent: cannot be read: No such file or directory")


def test_a_reader_that_has_left_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    program = "import sys; from edgeprofile.cli import main; sys.exit(main(['--help']))"
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False, env=CLEAN
        )
    assert (done.returncode, done.stderr) == (2, b"")


def test_the_table_names_each_command_once():
    names = [command.name for command in cli.COMMANDS]
    assert len(names) == len(set(names))
    assert issubclass(cli.MissingExtra, UsageError)
