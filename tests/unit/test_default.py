"""The default client: made once, replaced as a whole."""

import pytest

import edgeprofile
from edgeprofile import default
from edgeprofile.testing import MemoryProfiles

ADA = ("user", "email", "ada@example.com")


def profiles(churn):
    return MemoryProfiles({"user": {"email": {ADA[2]: {"m": {"churn": churn}}}}})


@pytest.fixture(autouse=True)
def _afterwards():
    yield
    edgeprofile.close()


def test_who_looks_up_while_the_client_is_replaced_finds_the_new_one(monkeypatch):
    first, second = profiles(1), profiles(2)
    default.use(first.engine)
    assert edgeprofile.get(*ADA) == {"m": {"churn": 1}}
    seen = []
    close = first.engine.close

    def look_and_close():
        seen.append((edgeprofile.get(*ADA), default._default.client._engine))
        close()

    monkeypatch.setattr(first.engine, "close", look_and_close)
    default.use(second.engine)
    assert seen == [({"m": {"churn": 2}}, second.engine)]
    assert default._default.client._engine is second.engine
    assert first.engine.closed
    assert not second.engine.closed


def test_who_looks_up_after_the_client_is_closed_gets_a_new_one(monkeypatch):
    monkeypatch.setattr(default, "make_engine", lambda _: profiles(2).engine)
    monkeypatch.setattr(default, "from_keywords", lambda: None)
    default.use(profiles(1).engine)
    edgeprofile.close()
    assert edgeprofile.get(*ADA) == {"m": {"churn": 2}}
