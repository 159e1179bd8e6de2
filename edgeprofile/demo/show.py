"""The demo from its first line to its summary."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

import edgeprofile
from edgeprofile.demo import board, examples, settings, sidecar, stages
from edgeprofile.demo.board import Terms
from edgeprofile.demo.ending import Ending
from edgeprofile.demo.figures import Track
from edgeprofile.demo.load import Load
from edgeprofile.demo.processes import Household
from edgeprofile.demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.demo.server import Server
    from edgeprofile.demo.sidecar import Sidecar

__all__ = ["show"]

_TICK = 0.25


def show(seconds: float | None, stream: IO[str]) -> None:
    """Show everything, for so many seconds of figures or until told to end.

    Raises errors of EdgeProfile, `DemoError` among them, and `KeyboardInterrupt` if told to end before the figures.
    """
    screen = Screen(stream)
    screen.say(board.title())
    with ExitStack() as stack:
        ending = stack.enter_context(Ending())
        house = stack.enter_context(Household())
        valkey = stages.start_server(screen, house)
        config = settings.write(house, valkey)
        starting = sidecar.start(house, config)
        syncs = stages.sync(screen, house, config)
        stack.enter_context(_quiet())
        stack.callback(edgeprofile.close)
        miss = stages.connect(screen, valkey)
        aside = stages.serve(screen, starting)
        _show_examples(screen, valkey, aside)
        ending.gently()
        terms = Terms(bound=stages.BOUND * 1_000_000_000, miss=miss)
        with Load(house, valkey, aside, syncs, stages.USERS) as load:
            track = _watch(screen, terms, load, ending, seconds)
            spent = load.mean_lookup
        screen.say(board.summary(track, terms, spent, load.costs, screen.width))


@contextmanager
def _quiet() -> Iterator[None]:
    """The library's warnings stay out of the figures, which show its troubles themselves."""
    handler = logging.NullHandler()
    logger = logging.getLogger("edgeprofile")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _show_examples(screen: Screen, valkey: Server, aside: Sidecar) -> None:
    for where, lines, answer in (
        ("In Python", examples.python(valkey), examples.in_process()),
        ("Over HTTP", examples.curl(aside), examples.over_http(aside)),
    ):
        screen.say(board.example(f"{where}, to copy while this runs", lines, answer, screen.width))


def _watch(screen: Screen, terms: Terms, load: Load, ending: Ending, seconds: float | None) -> Track:
    """Show the figures until it is time; how they went."""
    while not (load.complete or ending.wait(_TICK / 10)):
        load.check()
    track = Track(load.figures())
    with screen.live(terms, seconds) as show_track:
        while not ending.told and (seconds is None or track.elapsed < seconds):
            show_track(track)
            ending.wait(_TICK if seconds is None else min(_TICK, seconds - track.elapsed))
            load.check()
            track.add(load.figures())
    return track
