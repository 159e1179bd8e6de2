"""What building leaves in the source tree and puts into a wheel; the build's own requirements are stood in for."""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock

import pytest

HOOK = Path(__file__).parents[2] / "hatch_build.py"


class Interface:
    def __init__(self, root):
        self.root = str(root)
        self.app = Mock()


@pytest.fixture
def hook(monkeypatch, tmp_path):
    interface = ModuleType("interface")
    interface.BuildHookInterface = Interface
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    tools = SimpleNamespace(Distribution=None, Extension=None, build_ext=None)
    for name in ("setuptools", "setuptools.command", "setuptools.command.build_ext"):
        monkeypatch.setitem(sys.modules, name, tools)
    monkeypatch.delenv("EDGEPROFILE_NO_EXTENSIONS", raising=False)
    (tmp_path / "edgeprofile").mkdir()
    return runpy.run_path(str(HOOK))["Speedups"](tmp_path)


@pytest.fixture
def name(hook):
    return hook.initialize.__globals__["_file"]()


@pytest.fixture
def compiles(hook, monkeypatch, name):
    def compiled(_root, scratch):
        built = Path(scratch, name)
        built.write_text("new")
        return built

    monkeypatch.setitem(hook.initialize.__globals__, "_compiled", compiled)


def prepared():
    return {"force_include": {}, "pure_python": True}


@pytest.mark.usefixtures("compiles")
def test_a_wheel_gets_what_was_compiled_and_the_source_tree_keeps_what_it_had(hook, name, tmp_path):
    old = tmp_path / "edgeprofile" / name
    old.write_text("old")
    data = prepared()
    hook.initialize("standard", data)
    [(built, place)] = data.pop("force_include").items()
    assert Path(built).read_text() == "new"
    assert place == f"edgeprofile/{name}"
    assert data == {"pure_python": False, "infer_tag": True}
    hook.finalize("standard", data, "a.whl")
    assert not Path(built).exists()
    assert old.read_text() == "old"


@pytest.mark.usefixtures("compiles")
def test_an_editable_installation_finds_it_in_the_source_tree_alone(hook, name, tmp_path):
    data = prepared()
    hook.initialize("editable", data)
    hook.finalize("editable", data, "a.whl")
    assert (tmp_path / "edgeprofile" / name).read_text() == "new"
    assert data == prepared()


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_what_stands_in_the_way_is_told_and_leaves_a_pure_wheel(hook, name, tmp_path, version, monkeypatch):
    def failing(*_args):
        raise OSError("no compiler")

    monkeypatch.setitem(hook.initialize.__globals__, "_compiled", failing)
    (tmp_path / "edgeprofile" / name).mkdir()  # which no unlink removes
    data = prepared()
    hook.initialize(version, data)
    hook.finalize(version, data, "a.whl")
    assert data == prepared()
    assert hook.app.display_warning.called


@pytest.mark.usefixtures("compiles")
def test_who_wants_none_of_it_gets_none(hook, name, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEPROFILE_NO_EXTENSIONS", "1")
    old = tmp_path / "edgeprofile" / name
    old.write_text("old")
    data = prepared()
    hook.initialize("standard", data)
    assert old.exists()
    hook.initialize("editable", data)
    assert not old.exists()
    assert data == prepared()
