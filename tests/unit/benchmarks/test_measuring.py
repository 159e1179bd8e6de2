"""The arithmetic of the benchmarks: what a wrong line there would make us believe."""

import json
from collections import Counter
from itertools import chain, repeat

import pytest

from benchmarks import baseline, data, load, protocol, serving
from benchmarks.bench import FULL, QUICK, Bench, title
from benchmarks.children import Child, ContenderFailed
from benchmarks.contenders import edgeprofile, redis_py, webdis
from benchmarks.figures import http, sidecar, staleness
from benchmarks.load import Load
from benchmarks.page.scales import around, decades, seconds
from benchmarks.report import cells
from benchmarks.rounds import ratio, rotated
from benchmarks.rows import Result, at_least, at_most, times_faster, times_the_cost
from benchmarks.traces import TRACES, Trace
from edgeprofile.profile import encode_hash

SECOND = 1_000_000_000
IDS = data.identities(1_000)


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_the_same_each_time_and_starts_over_when_it_is_used_up(name):
    first, second = (Trace(name, IDS, length=500) for _ in range(2))
    draws = first.take(500)
    assert draws == second.take(500)
    assert first.take(700) == draws + draws[:200]


def test_zipf_asks_for_few_ids_often_and_loop_for_each_once():
    popular = Counter(Trace("zipf", IDS, length=20_000).take(20_000))
    assert popular.most_common(1)[0][1] > 20 * 20_000 / len(IDS)
    assert set(Counter(Trace("loop", IDS, length=1_000).take(1_000)).values()) == {1}


def test_hot_ids_are_neighbours():
    first, *others = Trace("hot", IDS, length=100).take(100)
    assert [first, *others] == IDS[IDS.index(first) :][:100]


def timed_lookups(monkeypatch, **request):
    """A round of 5,500 lookups of a microsecond each, of which the 2,500th stands still for a second."""
    now, done = 0.0, 0

    def run(ids):
        nonlocal now, done
        now += len(ids) * 1e-6 + (1.0 if done <= 2_500 < done + len(ids) else 0.0)
        done += len(ids)

    monkeypatch.setattr(protocol.time, "perf_counter", lambda: now)
    return protocol.lookups({"entries": 10}, run)({"trace": "loop", "operations": 5_500, **request})


def test_the_encoded_profile_that_memory_is_held_against_is_the_one_that_is_cached():
    text = data.text(7).encode()
    assert data.document(7).encode() == encode_hash([data.MODEL.encode(), text]).json


def test_an_interruption_is_not_taken_for_the_lookups_that_it_met(monkeypatch):
    found = timed_lookups(monkeypatch, slice=1_000)
    assert (found["operations"], found["seconds"]) == (5_000, pytest.approx(5e-3))


def test_a_round_that_is_not_sliced_counts_all_that_happened(monkeypatch):
    found = timed_lookups(monkeypatch)
    assert (found["operations"], found["seconds"]) == (5_500, pytest.approx(1.0055))


def test_a_ratio_compares_neighbouring_rounds_whatever_the_machine_did_in_between():
    assert ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]).median == 2.0


def test_every_contender_starts_a_round_in_turn():
    assert [rotated("abc", number)[0] for number in range(4)] == ["a", "b", "c", "a"]


def test_costs_and_speed_are_turned_the_right_way():
    cost = times_the_cost("hit", [2.0], [1.0], at_most(3), "dict")
    speed = times_faster("hit", [2.0], [300.0], at_least(100), "peer")
    assert (cost.value.median, cost.met, cost.score) == (2.0, True, 0.5)
    assert (speed.value.median, speed.met, speed.score) == (150.0, True, 150.0)
    assert times_the_cost("hit", [4.0], [1.0], at_most(3), "dict").met is False


@pytest.mark.parametrize(
    ("lookups", "misses", "void"), [(50, 1, False), (50, 2, True), (5_000, 50, False), (5_000, 51, True)]
)
def test_a_round_of_hits_is_void_when_more_than_one_in_a_hundred_was_none(lookups, misses, void):
    told = chain([7], repeat(7 + misses))
    measure = edgeprofile._hits_only(lambda _: {"operations": lookups}, lambda: next(told))
    if void:
        with pytest.raises(RuntimeError, match=f"{misses} of {lookups} lookups were no hits"):
            measure({})
    else:
        assert measure({}) == {"operations": lookups}


def test_what_is_held_is_weighed():
    weight = protocol.weighed(lambda: bytearray(b"x") * 50_000_000)({})
    assert weight["bytes"] == pytest.approx(50_000_000, rel=0.1)
    assert weight["seconds"] > 0


@pytest.mark.parametrize(("settings", "absent"), [(FULL, []), (QUICK, ["feast"])])
def test_a_peer_too_large_for_a_quick_run_is_named_as_absent(settings, absent):
    bench = Bench(settings, Result(figure="sidecar", title=""))
    assert sidecar._peers(bench) == [name for name in sidecar.PEERS if name not in absent]
    assert [each.contender for each in bench.result.missing] == [title(name) for name in absent]
    assert not baseline.gaps([bench.result])


def loaded(failing):
    """Two servers under load, of which one fails in its second round."""
    bench, asked = Bench(QUICK, Result(figure="sidecar", title="")), []

    def run(name):
        asked.append(name)
        if name == failing and asked.count(name) == 2:
            raise ContenderFailed("2 of 302 requests failed")
        return Load(rate=1000.0, p50=0.001, p90=0.001, p99=0.002, p999=0.002, worst=0.002)

    return bench, asked, lambda: http.interleaved(bench, ["feast", "sidecar"], run, "hot")


def test_a_peer_that_fails_under_load_is_named_and_the_others_go_on():
    bench, asked, measure = loaded("feast")
    found = measure()
    assert {name: len(loads) for name, loads in found.items()} == {"sidecar": QUICK.http_rounds}
    assert asked.count("feast") == 2
    assert [(each.contender, each.reason, each.ours) for each in bench.result.missing] == [
        (title("feast"), "2 of 302 requests failed", False)
    ]
    assert {name.partition(",")[0] for name in bench.result.samples} == {title("sidecar")}


def test_a_server_of_ours_that_fails_under_load_fails_the_figure():
    bench, _, measure = loaded("sidecar")
    with pytest.raises(ContenderFailed, match="2 of 302"):
        measure()
    assert not bench.result.missing


@pytest.fixture
def path(monkeypatch, tmp_path):
    """A path on which stands what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, says):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)

    return put


def test_programs_are_told_with_their_versions(path):
    path("wrk", "wrk debian/4.1.0 [epoll] Copyright (C) somebody")
    path("h2load", "h2load nghttp2/1.52.0")
    path("dpkg-query", "0.1.9-1.1")
    assert load.generator() == "wrk debian/4.1.0"
    assert load.pacer() == "h2load nghttp2/1.52.0"
    assert webdis.version().strip() == "0.1.9-1.1"


@pytest.mark.usefixtures("path")
def test_without_them_that_is_told():
    assert "wrk is not on the path" in load.generator()
    assert "h2load is not on the path" in load.pacer()
    assert webdis.version() == webdis.UNKNOWN


def test_a_contender_tells_the_versions_of_its_programs():
    with Child("tests.support.contender", {"task": "echo"}) as child:
        assert child.wait_ready().versions["program"] == "1.2"
        assert child.ask({"a": 1}) == {"a": 1}


def test_a_peer_that_cannot_do_it_says_so():
    with pytest.raises(protocol.CannotMeasure, match=r"redis\.asyncio has"), redis_py.ahit({}):
        pass


def test_staleness_is_the_time_from_the_acknowledgement_to_the_last_older_read():
    acknowledged = [1 * SECOND, 2 * SECOND]  # version 1 of the first id, version 1 of the second
    last_reads = [[[0, SECOND + 3_000_000], [1, 9 * SECOND]], [[0, SECOND], [1, 9 * SECOND]]]
    assert staleness._ages(acknowledged, last_reads) == [0.003, 0.0]


def test_a_value_that_comes_back_after_a_newer_one_counts_as_stale():
    acknowledged = [1 * SECOND, 2 * SECOND, 3 * SECOND]  # three versions of one id
    last_reads = [[[1, 7 * SECOND], [2, 4 * SECOND], [3, 9 * SECOND]]]
    assert staleness._ages(acknowledged, last_reads) == [0.0, 5.0, 4.0]


def test_a_version_that_no_reader_ever_saw_is_judged_by_the_older_ones():
    acknowledged = [1 * SECOND, 2 * SECOND]
    assert staleness._ages(acknowledged, [[[0, SECOND + 5_000_000]]]) == [0.005, 0.0]


def test_profiles_have_the_traits_asked_for_and_every_json_type():
    traits = data.traits(7, 200)
    assert len(traits) == 200
    assert {type(value) for index in range(20) for value in data.traits(index).values()} >= {
        float,
        int,
        str,
        bool,
        type(None),
        list,
        dict,
    }
    assert json.loads(serving.answer(7))["data"] == {data.MODEL: json.loads(data.text(7))}


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2 s"), (0.0125, "12.5 ms"), (41.2e-6, "41.2 µs"), (248e-9, "248 ns"), (1e-3, "1 ms")]
)
def test_durations_are_told_in_the_unit_that_suits_them(value, text):
    assert seconds(value) == text
    row = times_the_cost("hit", [value], [value], None, "peer")
    assert cells(row).ours == text


def test_a_logarithmic_axis_holds_its_values_between_powers_of_ten():
    scale = decades([2e-7, 3e-3], 100, 500)
    assert (scale.low, scale.high) == (1e-7, 1e-2)
    assert scale(1e-7) == 100
    assert scale(1e-2) == pytest.approx(500)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.01, 0.5], [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]),
        ([300e-9, 1e-6], [200e-9, 500e-9, 1e-6]),
        ([1_000, 1_000_000], [1_000, 10_000, 100_000, 1_000_000]),
        ([3.0], [2, 5]),
    ],
)
def test_an_axis_around_its_values_begins_and_ends_near_them(values, ticks):
    scale = around(values, 0, 100)
    assert scale.ticks == pytest.approx(ticks)
    assert scale(scale.low) == 0
    assert scale(scale.high) == pytest.approx(100)
