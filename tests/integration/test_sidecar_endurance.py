"""The endurance benchmark in small: nothing fails under load, a sync and reloads, and idle connections cost little."""

from benchmarks.endurance import measure

IDLE = 400


def test_nothing_fails_under_load_a_sync_and_reloads():
    found = measure(seconds=2.0, connections=IDLE)
    assert found["errors"] == {}
    assert found["rate_rps"] > 0
    assert found["token_reloads"] >= 4
    assert found["idle_memory_mib"] - found["memory_mib"]["after"] < IDLE * 0.035  # 10,000 in less than 350 MiB
