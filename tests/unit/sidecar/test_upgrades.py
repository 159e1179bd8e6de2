"""Whether more has come behind a request that asks for another protocol."""

import pytest

from edgeprofile_sidecar.upgrades import Upgrades

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUPGRADE: h2c\r\nContent-Length: 4\r\n\r\n"
PLAIN = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    ("parts", "followed"),
    [
        ([HEAD + b"body"], False),
        ([HEAD, b"bo", b"dy"], False),
        ([HEAD + b"body" + b"P"], True),
        ([HEAD + b"bo", b"dyP"], True),
        ([HEAD, b"body", b"P"], True),
        ([PLAIN * 3], False),
        ([PLAIN + HEAD + b"body"], True),
        ([HEAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked")], True),
        ([HEAD[:40]], False),
        ([HEAD[:60], HEAD[60:]], True),
        ([b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"], False),
        ([b"GET / HTTP/1.1\r\nUpg", b"rade: h2c\r\n\r\nGET"], True),
        ([b'POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\n{"more":\n"upgrade"}  '], False),
    ],
)
def test_what_is_followed(parts, followed):
    upgrades = Upgrades()
    assert any(upgrades.followed(part) for part in parts) == followed


def test_after_its_answer_others_may_follow():
    upgrades = Upgrades()
    assert not upgrades.followed(HEAD + b"body")
    upgrades.answered()
    assert not upgrades.followed(PLAIN * 2)
