"""The public trace: read from its package, kept, and named where it cannot be had."""

import io
import tarfile
from pathlib import Path

import pytest

from benchmarks import environments, public
from benchmarks.bench import QUICK, Bench
from benchmarks.children import Absent
from benchmarks.figures import ratio
from benchmarks.rows import Result

LINES = b"# time, object, size, next_access_vtime\n0, 77, 737, 13\n0, 5, 248, 6\n1, 77, 737, 20\n"


def package(folder, member):
    with tarfile.open(Path(folder, "libcachesim-1.tar.gz"), "w:gz") as archive:
        info = tarfile.TarInfo("libcachesim-1" + member)
        info.size = len(LINES)
        archive.addfile(info, io.BytesIO(LINES))


@pytest.fixture
def pip(monkeypatch):
    calls = []

    def downloaded(arguments, task):
        calls.append(task)
        package(arguments[arguments.index("--dest") + 1], pip.member)

    pip = type("Pip", (), {"calls": calls, "member": public.MEMBER})
    monkeypatch.setattr(environments, "pip", downloaded)
    return pip


def test_it_is_fetched_once_and_its_ids_are_of_one_length(pip, tmp_path):
    first = public.requests(fetch=True, home=tmp_path)
    assert public.requests(fetch=False, home=tmp_path) == first
    assert len(pip.calls) == 1
    one, two, again = first
    assert one == again != two
    assert len(one) == len(two)


def test_it_is_not_fetched_unasked(pip, tmp_path):
    with pytest.raises(Absent, match="in full runs only"):
        public.requests(fetch=False, home=tmp_path)
    assert not pip.calls


def test_a_package_without_it_leaves_nothing_behind(pip, tmp_path):
    pip.member = "/README"
    with pytest.raises(Absent, match="has no"):
        public.requests(fetch=True, home=tmp_path)
    assert not list((tmp_path / "traces").iterdir())


def test_pip_tells_why_it_cannot():
    with pytest.raises(Absent, match="pip cannot ask for nothing: ERROR"):
        environments.pip(["install", "--no-index", "a-package-that-is-not-there"], "ask for nothing")


def measured(monkeypatch, requests):
    monkeypatch.setattr(public, "requests", requests)
    monkeypatch.setattr(ratio, "DRAWN", {})
    bench = Bench(QUICK, Result(figure="ratio", title="Hits"))
    ratio.measure(bench)
    return bench.result


def test_each_policy_is_driven_by_it(monkeypatch):
    asked = list(public.renamed(str(number % 40 if number % 3 else number) for number in range(2_000)))
    found = measured(monkeypatch, lambda *, fetch: fetch or asked)
    assert {row.name for row in found.rows} == {"hit ratio, Twitter's cluster 52, room for 10% of the ids"}
    assert found.samples["Belady's optimum, public, 0.5"]["median"] > 0.5
    assert found.versions[public.TITLE] == public.SOURCE


def test_its_absence_is_told(monkeypatch):
    def absent(*, fetch):
        raise Absent(f"fetch: {fetch}")

    (missing,) = measured(monkeypatch, absent).missing
    assert (missing.contender, missing.reason, missing.ours) == (public.TITLE, "fetch: False", False)
