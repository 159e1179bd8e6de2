"""Log lines: JSON, complete, and silent about what an error says."""

import io
import json
import logging

import pytest

from edgeprofile_sidecar.logs import Seldom, handler, origin

LOG = logging.getLogger("edgeprofile.test")


@pytest.fixture
def lines():
    """The lines logged by `LOG` since, as JSON."""
    written = io.StringIO()
    writer = handler(written)
    LOG.addHandler(writer)
    LOG.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().split("\n") if line]
    LOG.removeHandler(writer)


def test_a_record_is_a_line_with_what_it_adds(lines):
    LOG.warning("%d lookups fail", 3, extra={"destination": "2Dest", "none": None})
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "edgeprofile.test",
        "message": "3 lookups fail",
        "destination": "2Dest",
        "none": None,
    }


def test_text_of_several_lines_stays_one_line(lines):
    LOG.error("one\ntwo\u2028three\x00")
    assert [line["message"] for line in lines()] == ["one\ntwo\u2028three\x00"]


def test_what_json_cannot_hold_is_shown_as_text(lines):
    LOG.info("x", extra={"odd": object()})
    (line,) = lines()
    assert line["odd"].startswith("<object object")


def test_debug_is_off(lines):
    LOG.debug("x")
    assert lines() == []


def fail() -> None:
    raise KeyError("ada@example.com")


def test_an_error_is_logged_by_type_and_place_without_its_text(lines):
    try:
        fail()
    except KeyError:
        LOG.exception("failed")
    (line,) = lines()
    assert line["error"] == "KeyError"
    assert line["trace"][-1].endswith(" fail")
    assert "ada@example.com" not in json.dumps(line)


def test_the_origin_of_an_error_that_was_never_raised():
    assert origin(ValueError("x")) == {"error": "ValueError", "trace": []}


def test_one_of_a_kind_in_an_interval_passes_and_tells_how_many_there_were():
    seldom = Seldom(interval=10.0)
    assert [seldom.pass_through("a", now) for now in (0.0, 1.0, 9.9, 10.0, 10.1, 25.0)] == [1, 0, 0, 3, 0, 2]


def test_kinds_do_not_hide_each_other():
    seldom = Seldom(interval=10.0)
    assert [seldom.pass_through(kind, 0.0) for kind in ("a", "b", "a")] == [1, 1, 0]
