"""Where the demo writes."""

import io

import pytest
from rich.text import Text

from edgeprofile.demo.arrivals import Arrival
from edgeprofile.demo.board import Terms
from edgeprofile.demo.figures import Figures, Track
from edgeprofile.demo.screen import Screen

TERMS = Terms(bound=1, miss=1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_plain_text():
    out = io.StringIO()
    screen = Screen(out)
    with screen.step("starting") as done:
        done("started")
    assert not screen.alive
    assert out.getvalue() == "✓ started  0.0 s\n"


def test_a_pipe_gets_a_line_now_and_then():
    out = io.StringIO()
    track = Track(Figures(at=0))
    with Screen(out).live(TERMS, None) as show:
        for quarter in range(1, 21):
            track.add(Figures(at=quarter / 4))
            show(track)
    assert [line[:4] for line in out.getvalue().splitlines()] == ["0:02", "0:04"]


def test_a_pipe_gets_a_line_for_each_sync():
    out = io.StringIO()
    track = Track(Figures(at=0))
    arrived = [Arrival(number, 25, 75, 0.5, 1_000_000, 5 + number) for number in (2, 3, 4)]
    with Screen(out).live(TERMS, None) as show:
        for many in (0, 1, 1, 3, 3):
            track.add(Figures(at=0.1, arrivals=tuple(arrived[:many])))
            show(track)
    assert [line.partition(":")[0] for line in out.getvalue().splitlines()] == ["sync 2", "sync 3", "sync 4"]


def test_a_terminal_gets_figures_that_move_and_are_gone_afterwards(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    screen = Screen(out)
    track = Track(Figures(at=0))
    with screen.live(TERMS, 30) as show:
        show(track)
        assert "ends in 0:30, or with Ctrl-C" in out.getvalue()
        height = out.getvalue().count("\n")
    assert screen.alive
    assert out.getvalue().count("\x1b[1A\x1b[2K") >= height
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_is_like_a_pipe(kind, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    assert not Screen(Terminal()).alive


def test_colour_that_is_forced_does_not_make_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not Screen(io.StringIO()).alive


def test_text_is_never_wrapped():
    out = io.StringIO()
    Screen(out).say(Text("x" * 500))
    assert out.getvalue() == "x" * 500 + "\n"


def test_an_encoding_that_lacks_characters_gets_others():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Screen(out).say(Text("✓ 1.2 µs ▁▂█ …"))
    out.flush()
    assert raw.getvalue() == b"+ 1.2 us ### ...\n"
