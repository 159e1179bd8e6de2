"""What the demo says: live figures on a terminal, plain lines elsewhere."""

from __future__ import annotations

import codecs
import io
import os
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgeprofile.demo import board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from edgeprofile.demo.board import Terms
    from edgeprofile.demo.figures import Track

__all__ = ["Screen"]

_LINE_EVERY = 2.0
_ALIKE = {"µ": "u", "✓": "+", "✗": "!", "…": "..."}


class _Console(Console):
    """Leaves the error of a reader that has gone to the command line, which knows what to do about it."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Screen:
    """Writes to a stream; colour and movement only where that is a terminal which can show them."""

    def __init__(self, stream: IO[str]) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACED)
        self._stream = stream
        self._console = _Console(file=stream, highlight=False, emoji=False)
        self.alive = stream.isatty() and not self._console.is_dumb_terminal

    @property
    def width(self) -> int:
        """Columns."""
        return self._console.width

    def say(self, what: RenderableType) -> None:
        """Text is never cut, so that what is to be copied stays whole."""
        self._console.print(what, soft_wrap=isinstance(what, Text))

    @contextmanager
    def step(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Something that takes a moment; call what is yielded with what came of it."""
        began = time.monotonic()

        def done(what: str) -> None:
            self.say(board.step(what, time.monotonic() - began))

        with self._console.status(Text(doing, "dim"), spinner="line") if self.alive else nullcontext():
            yield done

    def live(self, terms: Terms, seconds: float | None) -> AbstractContextManager[Callable[[Track], None]]:
        """Yields what shows the figures of a run of so many seconds; `None`: without an end of its own."""
        return self._moving(terms, seconds) if self.alive else self._lines()

    @contextmanager
    def _moving(self, terms: Terms, seconds: float | None) -> Iterator[Callable[[Track], None]]:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:

            def show(track: Track) -> None:
                if not self._stream.isatty():
                    self._give_up()
                remaining = None if seconds is None else max(0.0, seconds - track.elapsed)
                live.update(board.live(track, terms, remaining, self.width), refresh=True)

            yield show

    def _give_up(self) -> NoReturn:
        """The terminal has gone, of which rich takes no notice; what is still to be written leads nowhere."""
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
        raise BrokenPipeError

    @contextmanager
    def _lines(self) -> Iterator[Callable[[Track], None]]:
        due, told = _LINE_EVERY, 0

        def show(track: Track) -> None:
            nonlocal due, told
            for arrival in track.last.arrivals[told:]:
                told += 1
                self.say(Text(board.arrival(arrival)))
            if track.elapsed >= due:
                due += _LINE_EVERY
                self.say(Text(board.line(track)))

        yield show


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What stands for a character that the stream's encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 -- nothing is decoded with this
    lacking = error.object[error.start : error.end]
    return "".join(_ALIKE.get(character, "#") for character in lacking), error.end


_REPLACED = "edgeprofile-demo"
codecs.register_error(_REPLACED, _replaced)
