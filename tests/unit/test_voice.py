"""What the engine logs waits for no handler, and handlers get it in order, up to a bound."""

import logging
import threading

import pytest

from edgeprofile.engine.voice import Voice


class Handler(logging.Handler):
    """Keeps what it is given; the first record only once the gate is open."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.said = []

    def emit(self, record):
        self.busy.set()
        assert self.gate.wait(10)
        self.said.append(record.getMessage())


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def logger(handler):
    logger = logging.getLogger("a test's")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger
    handler.gate.set()
    logger.removeHandler(handler)


def test_a_slow_handler_holds_nobody_up_and_gets_everything_in_order(logger, handler):
    voice = Voice(logger)
    assert all(voice.say(logging.INFO, "%s", number) for number in range(100))
    handler.gate.set()
    voice.flush(10)
    assert handler.said == [str(number) for number in range(100)]


def test_what_there_is_no_room_for_is_dropped_and_said_to_be(logger, handler):
    voice = Voice(logger, room=3)
    assert voice.say(logging.INFO, "first")
    assert handler.busy.wait(10)  # it is out of the queue
    assert [voice.say(logging.INFO, "%s", number) for number in range(5)] == [True, True, True, False, False]
    handler.gate.set()
    voice.flush(10)
    assert handler.said == ["first", "0", "1", "2"]


def test_it_speaks_again_after_a_silence(logger, handler):
    voice = Voice(logger)
    handler.gate.set()
    for number in range(3):
        voice.say(logging.INFO, "%s", number)
        voice.flush(10)
        assert handler.said[-1] == str(number)
    assert not [thread for thread in threading.enumerate() if thread.name == "edgeprofile-log"]


def test_the_end_waits_for_a_slow_handler_but_not_for_long(logger, handler):
    voice = Voice(logger)
    voice.say(logging.INFO, "last")
    assert handler.busy.wait(10)
    voice.flush(0.01)
    assert handler.said == []


def test_what_nobody_wants_to_hear_costs_nothing(logger, handler):
    voice = Voice(logger)
    assert voice.say(logging.DEBUG, "whisper")
    assert not handler.busy.is_set()


def test_a_handler_that_raises_silences_nobody(logger, handler):
    class Broken(logging.Handler):
        def emit(self, record):
            raise KeyError(record.msg)

    logger.handlers.insert(0, broken := Broken())
    voice = Voice(logger)
    handler.gate.set()
    voice.say(logging.INFO, "one")
    voice.flush(10)
    logger.removeHandler(broken)
    voice.say(logging.INFO, "two")
    voice.flush(10)
    assert handler.said[-1] == "two"
