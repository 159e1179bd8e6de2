"""The doctor's report, as people and scripts read it."""

import msgspec
import pytest

from edgeprofile.doctor.findings import Section, exit_code, failure, fine, skipped, warning
from edgeprofile.doctor.report import as_json, section_text, summary

WELL = Section("server a:1", (fine("address", "a:1 takes connections"), skipped("eviction", "cannot be read")))
SO_SO = Section("server b:2", (warning("role", "a replica", "name the primary"),))
ILL = Section("server c:3", (failure("mode", "a node of a cluster", "set clusterMode = true"), failure("x", "y")))


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        ([], 0, "All is well."),
        ([WELL], 0, "All is well."),
        ([WELL, SO_SO], 1, "It works, with 1 warning."),
        ([WELL, SO_SO, SO_SO], 1, "It works, with 2 warnings."),
        ([ILL, WELL], 2, "It does not work: 2 failures, 0 warnings."),
        ([SO_SO, ILL], 2, "It does not work: 2 failures, 1 warning."),
    ],
)
def test_the_worst_finding_decides(sections, code, words):
    assert exit_code(sections) == code
    assert summary(sections) == f"{words}\n"


def test_a_line_for_each_check_and_one_for_what_to_do():
    assert section_text(ILL) == (
        "server c:3\n"
        "  ✗ mode               a node of a cluster\n"
        "                       → set clusterMode = true\n"
        "  ✗ x                  y\n"
        "\n"
    )
    assert section_text(WELL).splitlines()[1:3] == [
        "  ✓ address            a:1 takes connections",
        "  · eviction           cannot be read",
    ]
    assert "  ! role" in section_text(SO_SO)


def test_characters_that_every_encoding_has():
    for section in (WELL, SO_SO, ILL):
        section_text(section, plain=True).encode("ascii")


def test_long_text_is_wrapped_under_its_beginning_and_words_stay_whole():
    command = "CONFIG SET " + "x" * 90
    lines = section_text(Section("s", (warning("role", "word " * 30, command),)), width=80).splitlines()
    assert all(line.startswith(" " * 23) for line in lines[2:] if line)
    assert lines[1].startswith("  ! role               word word")
    assert max(map(len, lines[1:3])) <= 80
    assert any("x" * 90 in line for line in lines)


def test_a_finding_without_words_is_a_name():
    assert section_text(Section("s", (fine("role", ""),))).splitlines()[1] == "  ✓ role"


def test_json_for_scripts():
    told = msgspec.json.decode(as_json([WELL, ILL]))
    assert told["exitCode"] == 2
    assert told["sections"][1] == {
        "title": "server c:3",
        "findings": [
            {"name": "mode", "verdict": "failure", "what": "a node of a cluster", "do": "set clusterMode = true"},
            {"name": "x", "verdict": "failure", "what": "y", "do": ""},
        ],
    }
    assert [finding["verdict"] for finding in told["sections"][0]["findings"]] == ["ok", "skipped"]
    assert as_json([WELL]).count(b"\n") == 1
