"""Builds the compiled part where that is possible; a wheel without it is a pure one, and does the same more slowly."""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

_MODULE = "edgeprofile._speedups"
_SOURCES = "edgeprofile/compiled"


class Speedups(BuildHookInterface):  # type: ignore[misc]  # hatchling has no annotations
    """Part of hatchling: ``initialize`` is called before the files of a wheel are collected, an editable one included."""

    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree for an editable installation, which finds it there, and else only into the wheel."""
        editable, installed = version == "editable", Path(self.root, "edgeprofile", _file())
        try:
            if editable:
                installed.unlink(missing_ok=True)
            if os.environ.get("EDGEPROFILE_NO_EXTENSIONS") or sysconfig.get_config_var("Py_GIL_DISABLED"):
                return
            self._scratch = tempfile.TemporaryDirectory()
            built = _compiled(Path(self.root), self._scratch.name)
            if editable:
                shutil.copy2(built, installed)
                return
        except Exception as error:  # noqa: BLE001 (whatever stands in the way, a pure wheel works)
            self.app.display_warning(f"built without its compiled part, hits will cost twice as much: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(built)] = f"edgeprofile/{built.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 (hatchling's)
        """Remove what is in the wheel by now."""
        if self._scratch is not None:
            self._scratch.cleanup()


def _file() -> str:
    return f"_speedups{sysconfig.get_config_var('EXT_SUFFIX')}"


def _compiled(root: Path, scratch: str) -> Path:
    flags = ["-O2"] if sys.platform != "win32" else []
    sources, headers = (sorted(map(str, Path(root, _SOURCES).glob(kind))) for kind in ("*.c", "*.h"))
    extension = Extension(_MODULE, sources, depends=headers, extra_compile_args=flags)
    command = build_ext(Distribution({"ext_modules": [extension]}))
    command.build_lib = command.build_temp = scratch
    command.ensure_finalized()
    command.run()
    return Path(command.get_ext_fullpath(_MODULE))
