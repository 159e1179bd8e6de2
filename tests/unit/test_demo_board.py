"""What the figures look like."""

import io

import pytest
from rich.console import Console

from edgeprofile.demo import board
from edgeprofile.demo.arrivals import Arrival
from edgeprofile.demo.board import Terms
from edgeprofile.demo.figures import Figures, Track
from edgeprofile.demo.load import Costs
from edgeprofile.demo.measure import Distribution

SECOND = 1_000_000_000
TERMS = Terms(bound=SECOND, miss=92_000)
ARRIVALS = (
    Arrival(number=2, users=25, rows=75, seconds=1.52, delay=4_100_000, orders=7),
    Arrival(number=3, users=25, rows=75, seconds=0.4, delay=3_000_000, orders=8),
)


def distribution(*values):
    made = Distribution()
    for value in values:
        made.add(value)
    return made


def track(**others):
    made = Track(Figures(at=0))
    made.add(
        Figures(
            at=2,
            **{
                "hits": 3_000_000,
                "misses": 1_500,
                "events": 2_010,
                "changes": 2_000,
                "requests": 1_000,
                "hit_latencies": distribution(*[291] * 98, *[1_210] * 2),
                "delays": distribution(*[940_000] * 90, *[2_100_000] * 10),
                "oldest": 8_200_000,
                "arrivals": ARRIVALS,
                "call_latencies": distribution(150_000),
                "entries": 10_000,
                "bytes": 31 << 20,
                **others,
            },
        )
    )
    return made


def drawn(renderable, width=80, **options):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, **options).print(renderable)
    return out.getvalue()


def test_the_live_figures():
    text = drawn(board.live(track(), TERMS, None, 80))
    for expected in (
        "lookups       1.50 million /s   █",
        "hit latency   p50 292 ns        p99 1.21 µs",
        "a miss costs  92.0 µs           as much as 315 hits",
        "hit ratio     99.95 %           10,000 users in 31.0 MiB",
        "changes       1,000 /s          1,005 events /s",
        "seen after    p50 943 µs        p99 2.11 ms",
        "oldest value  8.20 ms           ✓ promised: at most 1 s",
        "sync 3        25 users changed  75 rows, 0.4 s in all",
        "arrived       after 3.00 ms     ada has 8 orders, had 7",
        "over HTTP     500 /s            p50 150 µs p99 150 µs",
        "0:02   Ctrl-C ends it",
    ):
        assert expected in text
    assert "errors" not in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    for text in (
        drawn(board.live(track(failed=3), TERMS, 75.0, width), width),
        drawn(board.summary(track(), TERMS, 300.0, Costs(40.0, 9.0), width), width),
    ):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    assert "1:15" in drawn(board.live(track(), TERMS, 75.0, width), width)


@pytest.mark.parametrize("width", [60, 80])
def test_the_live_figures_fit_below_what_is_to_be_copied(width):
    """Of 24 lines, 8 are for the request over HTTP."""
    assert len(drawn(board.live(track(failed=1), TERMS, None, width), width).splitlines()) <= 16


def test_colour_carries_no_meaning_of_its_own():
    figures = board.live(track(), TERMS, None, 80)
    assert "\x1b" not in drawn(figures)
    assert "\x1b[32m✓" in drawn(figures, force_terminal=True, color_system="standard")


def test_the_first_sync_is_under_way():
    text = drawn(board.live(track(arrivals=()), TERMS, None, 80))
    assert "sync          under way" in text
    assert "arrived       -" in text


def test_a_broken_promise_is_said():
    assert "✗ but promised: at most 1 s" in drawn(board.live(track(oldest=2 * SECOND), TERMS, None, 80))


def test_errors_are_shown():
    assert "errors        7" in drawn(board.live(track(failed=7), TERMS, None, 80))


def test_trouble_is_shown():
    assert "the feed      not proved        disconnected (why)" in drawn(
        board.live(track(trouble="disconnected (why)"), TERMS, None, 80)
    )


def test_figures_without_anything_to_show():
    empty = Track(Figures(at=0))
    text = drawn(board.live(empty, TERMS, None, 80))
    assert "hit latency   p50 -" in text
    assert "lookups       0 /s" in text
    summary = drawn(board.summary(empty, TERMS, 0.0, Costs(0.0, 0.0), 80))
    assert "0 in 4 threads" in summary
    assert "syncs         0" in summary
    assert "arrived " not in summary


def test_the_curve_stands_on_zero_and_fits():
    rising = Track(Figures(at=0))
    for step in range(1, 101):
        rising.add(Figures(at=step, hits=rising.last.hits + step))
    curve = drawn(board.live(rising, TERMS, None, 60), 60).splitlines()[1].split()[-1]
    assert len(curve) == 24
    assert curve[-1] == "█"
    assert curve == "".join(sorted(curve))


def test_the_summary_is_of_the_whole_run_and_says_how_it_was_measured():
    made = track()
    made.add(Figures(at=4, hits=6_000_000, changes=2_000, arrivals=ARRIVALS))
    text = " ".join(drawn(board.summary(made, TERMS, 300.0, Costs(clock=40.0, loop=9.0), 200), 200).split())
    assert "4.0 s on" in text
    assert "lookups 1.50 million /s 6.00 million in 4 threads" in text
    assert "changes 500 /s" in text
    assert "syncs 2 50 users, 150 rows" in text
    assert "arrived after 4.10 ms at most" in text
    assert "less the 40.0 ns of the clock" in text
    assert "one takes 300 ns on average, less the 9.00 ns of the loop" in text


def test_no_trailing_spaces():
    for renderable in (
        board.live(track(), TERMS, None, 80),
        board.summary(track(), TERMS, 300.0, Costs(40.0, 9.0), 80),
    ):
        assert not [line for line in drawn(renderable).splitlines() if line != line.rstrip()]


def test_one_line_where_nothing_can_move():
    assert board.line(track()) == (
        "0:02  1.50 million lookups/s  hits 99.95 %  p50 292 ns p99 1.21 µs  1,005 events/s  "
        "seen after p50 943 µs p99 2.11 ms  oldest 8.20 ms"
    )


def test_one_line_for_a_sync_where_nothing_can_move():
    assert board.arrival(ARRIVALS[1]) == (
        "sync 3: 25 users changed in the warehouse, 75 rows sent, 0.4 s in all; "
        "seen in this process 3.00 ms after Redis had them: ada has 8 orders, had 7"
    )


def test_lines_to_copy_are_whole_and_answers_are_cut():
    text = board.example("Try it", ["x" * 100, "y"], "z" * 100, 60).plain
    assert text == f"\nTry it\n{'x' * 100}\ny\n{'z' * 59}…"
