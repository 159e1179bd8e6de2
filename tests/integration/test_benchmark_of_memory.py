"""What a cached profile weighs, measured as the benchmarks do it: those contenders that need no installation."""

import pytest

from benchmarks.bench import QUICK, Bench
from benchmarks.figures import start
from benchmarks.rows import Result

FEW = 3_000


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "WEIGHED", {"quick": FEW})
        held = {name: label for name, label in start.HELD.items() if name.startswith(("edgeprofile", "dictionary"))}
        patch.setattr(start, "HELD", held)
        result = Result(figure="memory", title="Memory")
        start.memory(Bench(QUICK, result))
    return result


def test_every_form_is_weighed(found):
    assert not found.missing
    weights = {name: stats["median"] for name, stats in found.samples.items()}
    json = weights["the profile's JSON itself, bytes"]
    assert json == pytest.approx(found.settings["encoded bytes"])
    assert json < weights["edgeprofile, never decoded, bytes"] < weights["edgeprofile, all of them read, bytes"]
    assert weights["a dict, decoded, bytes"] > 2 * json


def test_what_is_beyond_the_encoded_profile_has_a_bound(found):
    beyond, warmed = found.rows
    assert (beyond.target.bound, beyond.unit) == (300, "bytes")
    assert f"{found.settings['encoded bytes']:,.0f} of them the profile's JSON; its own count " in beyond.note
    assert warmed.name == "warming 3,000 profiles"
