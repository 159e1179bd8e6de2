"""The status page: what it is given, and what a browser makes of it."""

import base64
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from edgeprofile_sidecar.counters import BOUNDS
from edgeprofile_sidecar.history import quantile
from tests.support.servers import Flavour
from tests.support.sidecar import configuration, running, token
from tests.support.wait import until

TOKEN = "ep_status"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture
def sidecar(redis_db, tmp_path):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "features", "{}")
    with running(configuration(tmp_path, redis_db.address, token(TOKEN))) as started:
        started.settle(ASKED, TOKEN)
        yield started


def test_the_figures_are_those_of_the_process(sidecar):
    for _ in range(5):
        sidecar.ask(ASKED, TOKEN)
    until(lambda: sidecar.admin("/statusz/data").json["points"], message="a point")
    said = sidecar.admin("/statusz/data").json
    assert said["readiness"]["ready"]
    assert said["totals"]["hits"] >= 5
    assert said["bound"] == 1.0
    assert said["bytes"] < said["maxBytes"]
    (place,) = said["places"]
    assert (place["status"]["state"], place["models"].keys()) == ("live", {"features"})
    assert [file["name"] for file in said["files"]] == ["tokens"]
    assert all(point["staleness"] < 5 for point in said["points"] if point["staleness"] is not None)


def test_nothing_on_it_says_who_was_asked_for(sidecar):
    sidecar.ask(ASKED, TOKEN)
    assert b"ada@example.com" not in sidecar.admin("/statusz/data").body
    assert b"ada@example.com" not in sidecar.admin("/metrics").body


def test_it_loads_nothing_from_elsewhere_and_runs_only_its_own(sidecar):
    answer = sidecar.admin("/statusz")
    html, policy = answer.body, answer.header("Content-Security-Policy") or ""
    assert not re.findall(rb'(?:src|href)="(?!data:)[^"]*"', html)
    assert b"@import" not in html
    assert set(re.findall(rb"https?://[^\"]*", html)) == {b"http://www.w3.org/2000/svg"}
    for tag in (b"style", b"script"):
        (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), html, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(text).digest()).decode() in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("left", [("livez",), ("readyz", "metrics"), ("statusz",)])
def test_endpoints_can_be_left_out(redis_db, tmp_path, left):
    config = configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"adminEndpoints": list(left)})
    with running(config) as sidecar:
        found = {
            name
            for name in ("livez", "readyz", "startupz", "metrics", "statusz", "statusz/data")
            if sidecar.admin(f"/{name}").status != 404
        }
    assert found == {*left, *(("statusz/data",) if "statusz" in left else ())}


@pytest.mark.parametrize(
    ("counts", "share", "found"),
    [
        ([0] * 17, 0.5, None),
        ([10, *[0] * 16], 0.5, BOUNDS[0] / 2),
        ([0, 10, *[0] * 15], 1.0, BOUNDS[1]),
        ([50, 50, *[0] * 15], 0.5, BOUNDS[0]),
        ([*[0] * 16, 3], 0.99, BOUNDS[-1]),
    ],
)
def test_quantiles_of_a_histogram(counts, share, found):
    assert quantile(BOUNDS, counts, share) == pytest.approx(found)


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(address: str, *more: str) -> bytes:
    assert BROWSER is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # of its own: others may browse as well
        command = [BROWSER, *options, *more, f"--user-data-dir={profile}", f"http://{address}/statusz"]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_draws_it(sidecar):
    until(lambda: sidecar.admin("/statusz/data").json["points"], message="a point")
    drawn = browse(sidecar.sidecar.addresses.admin, "--dump-dom").decode()
    assert re.search(r'id="state"[^>]*>ready<', drawn)
    assert "2Dest" in drawn
    assert "promised 1.00 s" in drawn
    assert re.search(r"features</span><span[^>]*>in 100.0%<", drawn)
    assert drawn.count('class="curve"') == 5


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_proof_that_is_too_old_is_no_broken_promise(redis_db, tmp_path):
    config = configuration(tmp_path, redis_db.address, token(TOKEN), cache={"maxStaleness": "200ms"})
    with running(config) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        with redis_db.paused():
            until(lambda: any((p["staleness"] or 0) > 0.5 for p in sidecar.admin("/statusz/data").json["points"][-1:]))
            drawn = browse(sidecar.sidecar.addresses.admin, "--dump-dom").decode()
    assert "past 200 ms: lookups wait for Redis" in drawn
    assert re.search(r'id="state"[^>]*>not ready<', drawn)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("size", ["1200,900", "500,1200"])
@pytest.mark.parametrize("scheme", ["0", "1"])  # Blink: dark, light
def test_it_can_be_photographed(sidecar, tmp_path: Path, size, scheme):
    file = tmp_path / "page.png"
    browse(
        sidecar.sidecar.addresses.admin,
        f"--window-size={size}",
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={file}",
    )
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size > 20_000  # an empty page has a tenth of that
