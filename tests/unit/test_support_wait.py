"""Waiting ends at the first truthy answer, or fails with a message that says for what."""

import asyncio
from itertools import count
from types import SimpleNamespace

import pytest

from tests.support import wait
from tests.support.wait import auntil, until


def test_the_first_truthy_answer_is_returned():
    answers = iter([0, "", None, "ready", "late"])
    assert until(lambda: next(answers)) == "ready"


def test_a_false_condition_fails_and_names_itself_and_the_last_answer():
    with pytest.raises(AssertionError, match=r"the moon is full: not within 0 s; last answer \[\]"):
        until(list, 0, "the moon is full")


def test_the_predicate_is_asked_at_least_once():
    assert until(lambda: True, 0)


class Clock:
    """Time that passes while the predicate is asked, and in no other way."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(wait, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=bool))

    def is_noon(self):
        noon = self.now >= 105.0
        self.now += 4.0
        return noon


def test_the_last_question_is_asked_when_the_time_is_over(monkeypatch):
    assert until(Clock(monkeypatch).is_noon, 5)


def test_the_asyncio_twin_asks_last_when_the_time_is_over(monkeypatch):
    clock = Clock(monkeypatch)
    assert asyncio.run(auntil(clock.is_noon, 5))


def test_the_message_may_be_made_at_the_time_of_the_failure():
    asked = count(1)
    seen = []
    with pytest.raises(AssertionError, match="asked"):
        until(lambda: seen.append(next(asked)), 0.01, lambda: f"asked {len(seen)} times")
    assert len(seen) > 1


def test_exceptions_pass_unless_they_mean_not_yet():
    with pytest.raises(KeyError):
        until(lambda: {}["absent"], 5)
    with pytest.raises(AssertionError, match=r"KeyError\('absent'\)"):
        until(lambda: {}["absent"], 0.01, ignoring=(KeyError,))


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_the_asyncio_twin_takes_both_kinds_of_predicate(kind):
    answers = iter([None, 7])

    def plain():
        return next(answers)

    async def coroutine():
        return next(answers)

    assert asyncio.run(auntil(plain if kind == "function" else coroutine)) == 7


def test_the_asyncio_twin_fails_with_the_message():
    with pytest.raises(AssertionError, match="never"):
        asyncio.run(auntil(lambda: False, 0, "never"))
