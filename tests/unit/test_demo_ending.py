"""How the demo is told to end."""

import signal

import pytest

from edgeprofile.demo.ending import Ending, undisturbed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def ending():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Ending() as made:
        yield made
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_at_first_a_signal_interrupts(ending, number):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert ending.told


@pytest.mark.parametrize("number", SIGNALS)
def test_later_it_is_noted(ending, number):
    ending.gently()
    assert not ending.told
    signal.raise_signal(number)
    assert ending.told


def test_what_cleans_up_after_an_interrupt_is_not_interrupted(ending):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert ending.told


def test_whoever_was_told_does_not_wait(ending):
    ending.gently()
    signal.raise_signal(signal.SIGTERM)
    assert ending.wait(3_600)


def test_no_time_is_no_wait(ending):
    assert not ending.wait(0)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_must_not_be_disturbed_ends_first(ending, number):
    done = []

    @undisturbed()
    def work():
        signal.raise_signal(number)
        done.append(not ending.told)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]
    assert ending.told


def test_what_was_not_disturbed_goes_on(ending):
    with undisturbed():
        pass
    assert not ending.told
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
