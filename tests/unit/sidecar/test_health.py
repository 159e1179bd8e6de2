"""When the sidecar is ready, and what it says if not."""

import pytest

from edgeprofile import DestinationStatus
from edgeprofile_sidecar.health import Health

LIVE = DestinationStatus(destination="2Live", state="live", ready=True)
UNPROVEN = DestinationStatus(destination="2Ping", state="unproven", reason="pings only", ready=True)
GONE = DestinationStatus(destination="2Gone", state="disconnected", reason="connection refused")


def health(*statuses: DestinationStatus, policy: str = "strict", serving: bool = True) -> Health:
    made = Health(lambda: {status.destination: status for status in statuses}, policy)
    if serving:
        made.begin()
    return made


def test_all_live_or_declared_unproven_is_ready():
    readiness = health(LIVE, UNPROVEN).readiness()
    assert readiness.ready
    assert readiness.reasons == ()
    assert set(readiness.destinations) == {"2Live", "2Ping"}


def test_one_that_is_not_is_named_with_its_reason():
    readiness = health(LIVE, GONE).readiness()
    assert not readiness.ready
    assert readiness.reasons == ("destination 2Gone: disconnected (connection refused)",)


def test_serve_stale_is_ready_while_redis_answers():
    for state in ("late", "notifications off"):
        status = DestinationStatus(destination="2Dest", state=state)
        assert health(status, policy="serve-stale").readiness().ready
        assert not health(status).readiness().ready


def test_serve_stale_is_ready_as_long_as_what_was_proved_may_be_served():
    now, status = 100.0, DestinationStatus(destination="2Dest", state="live", ready=True, watermark_age=0.25)
    made = Health(lambda: {"2Dest": status}, "serve-stale", lambda: 10.0, lambda: now)
    made.begin()
    made.look()
    status = DestinationStatus(destination="2Dest", state="disconnected", reason="refused")
    now = 109.75
    assert made.readiness().ready
    now = 109.76
    assert made.readiness().reasons == ("destination 2Dest: disconnected (refused)",)


def test_serve_stale_is_not_ready_before_there_is_anything_to_serve():
    assert not health(GONE, policy="serve-stale").readiness().ready


@pytest.mark.parametrize("policy", ["strict", "serve-stale"])
def test_a_sidecar_that_starts_or_stops_is_not_ready(policy):
    readiness = health(LIVE, policy=policy, serving=False).readiness()
    assert not readiness.ready
    assert readiness.reasons == ("the sidecar is starting or stopping",)
