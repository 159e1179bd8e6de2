"""Numbers as people read them."""

import pytest

from edgeprofile.demo import words


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.4, "0 ms"),
        (1, "1.00 ns"),
        (291.4, "291 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 µs"),
        (1_234, "1.23 µs"),
        (12_345, "12.3 µs"),
        (99_960, "100 µs"),
        (8_200_000, "8.20 ms"),
        (1e9, "1.00 s"),
        (123e9, "123 s"),
    ],
)
def test_durations_have_three_digits(nanoseconds, text):
    assert words.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999.6, "1,000"),
        (10_000, "10,000"),
        (999_400, "999,400"),
        (999_600, "1.00 million"),
        (1_618_000, "1.62 million"),
        (48_200_000, "48.2 million"),
        (3_120_000_000, "3.12 billion"),
    ],
)
def test_large_counts_are_said_in_words(number, text):
    assert words.count(number) == text


def test_rates_sizes_and_ages():
    assert words.rate(1_000) == "1,000 /s"
    assert words.megabytes(31 * 1024 * 1024 + 52_429) == "31.1 MiB"
    assert [words.age(seconds) for seconds in (0, 9.9, 60, 3_725)] == ["0:00", "0:09", "1:00", "62:05"]


@pytest.mark.parametrize(("part", "text"), [(0, "0.00 %"), (0.9995, "99.95 %"), (0.999999, "99.99 %"), (1, "100 %")])
def test_a_share_is_never_rounded_up_to_all(part, text):
    assert words.share(part) == text
