"""What request headers mean."""

import pytest

from edgeprofile_sidecar.headers import is_json, is_plain


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8; profile=x",
        "application/json; profile=x",
        "application/json;",
        ";",
        "application/vnd.rudder+json",
    ],
)
def test_json(content_type):
    assert is_json(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "multipart/form-data; boundary=x",
        "image/svg+json",
        "json",
        "*/*",
        "application/json, application/json",
    ],
)
def test_no_json(content_type):
    assert not is_json(content_type)


@pytest.mark.parametrize(
    ("content_encoding", "plain"),
    [("", True), ("identity", True), (" Identity ", True), ("gzip", False), ("br", False), ("identity, gzip", False)],
)
def test_compression(content_encoding, plain):
    assert is_plain(content_encoding) is plain
