"""What is recorded is what the checker needs, in few records."""

import asyncio
import json
from itertools import count

import pytest
import redis

from tests.support.history import ABSENT, Read, Write
from tests.support.recorder import History, Reader, fields, observe


def profile(key, version):
    return {model: json.loads(text) for model, text in fields(key, version).items()}


class Marked(dict):
    stale = True


class Server:
    """Takes commands, or refuses or loses them."""

    def __init__(self, error=None):
        self.error = error
        self.commands = []

    def execute_command(self, *args):
        self.commands.append(args)
        if self.error:
            raise self.error


@pytest.fixture
def history():
    return History(clock=count().__next__)


def test_a_profile_carries_its_key_and_version_everywhere():
    assert observe("k", profile("k", 7)) == (7, None, "")


@pytest.mark.parametrize("data", [None, {}])
def test_no_profile_is_absence(data):
    assert observe("k", data) == (ABSENT, None, "")


def test_fields_that_disagree_are_torn():
    torn = profile("k", 7) | {"model_b": profile("k", 8)["model_b"]}
    assert observe("k", torn) == (8, "torn", "models ['model_a', 'model_b'] say versions [7, 8]")
    within = profile("k", 7)
    within["model_a"]["again"] = 6
    assert observe("k", within)[1] == "torn"
    del torn["model_b"]
    assert observe("k", torn)[1] == "torn"


def test_the_value_of_another_key_is_a_mix_up():
    assert observe("k", profile("other", 7)) == (7, "mixed up", "the value belongs to ['other']")
    half = profile("k", 7) | {"model_b": profile("other", 7)["model_b"]}
    assert observe("k", half)[1] == "mixed up"


def test_a_run_of_one_version_keeps_its_first_and_last_read():
    reader = Reader(clock=lambda: 0.0)
    shared = profile("k", 1)
    for step in range(9):
        reader.saw("k", shared if step % 2 else profile("k", 1), step / 1000, step / 1000 + 0.0005)
    reader.saw("k", profile("k", 2), 1.0, 1.1)
    assert reader.take() == [Read("k", 1, 0, 0.0005), Read("k", 1, 0.008, 0.0085), Read("k", 2, 1.0, 1.1)]
    assert reader.take() == [Read("k", 2, 1.0, 1.1)], "a run that goes on is given again"
    assert reader.lookups == 10


def test_runs_are_short_so_that_a_value_which_went_and_came_back_is_not_covered_by_one():
    reader = Reader(clock=lambda: 0.0)
    for begin in (0.0, 0.04, 0.06, 0.08, 0.2):
        reader.saw("k", None, begin, begin)
    assert [read.begin for read in reader.take()] == [0.0, 0.04, 0.06, 0.08, 0.2]


def test_runs_of_different_keys_are_apart():
    reader = Reader(clock=lambda: 0.0)
    for key in "abab":
        reader.saw(key, profile(key, 1), 0, 0)
    assert reader.take() == [Read("a", 1, 0, 0), Read("b", 1, 0, 0)]


def test_marked_and_defective_answers_are_recorded_one_by_one():
    reader = Reader(clock=lambda: 5.0)
    answer = Marked(profile("k", 1))
    assert reader.read("k", lambda: answer) is answer
    assert reader.read("k", lambda: profile("other", 1)) == profile("other", 1)
    marked, wrong = reader.take()
    assert (marked.stale, marked.defect, wrong.defect) == (True, None, "mixed up")


def test_failed_lookups_are_counted_and_pass():
    reader = Reader(clock=lambda: 5.0)

    async def fail():
        raise TimeoutError

    with pytest.raises(ZeroDivisionError):
        reader.read("k", lambda: 1 // 0)
    with pytest.raises(TimeoutError):
        asyncio.run(reader.aread("k", fail))
    assert reader.errors == {"ZeroDivisionError": 1, "TimeoutError": 1}
    assert (reader.lookups, reader.take()) == (0, [])


def test_asyncio_lookups_are_recorded_too():
    reader = Reader(clock=count().__next__)

    async def answer():
        return profile("k", 3)

    assert asyncio.run(reader.aread("k", answer)) == profile("k", 3)
    assert reader.take() == [Read("k", 3, 0, 1)]


def test_writes_rise_and_know_when_they_were_sent_and_acknowledged(history):
    server = Server()
    assert [history.write(server, "a"), history.write(server, "a"), history.write(server, "b")] == [1, 2, 1]
    history.delete(server, "a")
    history.flush(server)
    assert history.writes() == [
        Write("a", 1, 0, 1),
        Write("a", 2, 2, 3),
        Write("b", 1, 4, 5),
        Write("a", ABSENT, 6, 7),
        Write("a", ABSENT, 8, 9),
        Write("b", ABSENT, 8, 9),
    ]
    assert [command[0] for command in server.commands] == ["HSET", "HSET", "HSET", "DEL", "FLUSHALL"]
    pairs = server.commands[0][2:]
    assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == fields("a", 1)


def test_a_write_without_an_answer_may_have_happened_and_a_refused_one_did_not(history):
    with pytest.raises(redis.TimeoutError):
        history.write(Server(redis.TimeoutError()), "k")
    with pytest.raises(redis.ResponseError):
        history.write(Server(redis.ResponseError()), "k")
    history.write(Server(), "k")
    assert history.writes() == [Write("k", 1, 0), Write("k", 3, 2, 3)]


def test_losses_and_exceptions_are_declared(history):
    with history.becoming(ABSENT, ["a", "b"]), history.excusing():
        pass
    assert history.writes() == [Write("a", ABSENT, 0, 3), Write("b", ABSENT, 0, 3)]
    assert history._excused == [(1, 2)]


def test_a_check_covers_every_reader_and_what_was_read_since_the_last(history):
    history.write(Server(), "k")
    first, second = history.reader(), history.reader()
    first.saw("k", profile("k", 1), 5, 6)
    second.saw("k", profile("k", 9), 5, 6)
    assert [violation.kind for violation in history.check(1).violations] == ["unwritten"]
    first.saw("k", None, 50, 51)
    report = history.check(1)
    assert [violation.kind for violation in report.violations] == ["stale", "unwritten"]
    assert history.readers == [first, second]
