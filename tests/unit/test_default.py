"""The default client: made once, replaced as a whole."""

import asyncio

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


def test_a_peek_takes_model_and_type_as_a_lookup_does():
    default.use(profiles(1).engine)
    assert edgeprofile.peek(*ADA, model="m") is None
    edgeprofile.get(*ADA)
    assert edgeprofile.peek(*ADA, model="m") == {"churn": 1}
    assert edgeprofile.peek(*ADA, model="m", type=dict[str, int]) == {"churn": 1}


@pytest.mark.parametrize("timeout", ["1s", float("nan"), [1]])
def test_a_timeout_that_is_no_number_of_seconds_is_said_to_be_none(timeout):
    default.use(profiles(1).engine)
    for lookup in (
        lambda: edgeprofile.get(*ADA, timeout=timeout),
        lambda: edgeprofile.get_many(*ADA[:2], ["nobody"], timeout=timeout),
        lambda: asyncio.run(edgeprofile.aget(*ADA, timeout=timeout)),
        lambda: default._default.client.delete("user", [ADA[1:]], timeout=timeout),
        lambda: default._default.client.start(timeout=timeout),
    ):
        with pytest.raises(edgeprofile.UsageError, match="timeout must be a number of seconds"):
            lookup()
