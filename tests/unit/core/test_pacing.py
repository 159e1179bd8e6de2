from edgeprofile.core.pacing import Pacing


def test_a_key_that_was_not_read_lately_is_read_at_once():
    pacing = Pacing(gap=1.0)
    assert pacing.ask(b"a", 5.0) == 0.0
    assert len(pacing) == 1


def test_a_key_that_waits_is_not_arranged_twice():
    pacing = Pacing(gap=1.0)
    pacing.ask(b"a", 5.0)
    assert pacing.ask(b"a", 5.5) is None
    pacing.begun(b"a", 6.0)
    assert len(pacing) == 0


def test_a_key_that_was_just_read_waits_for_the_rest_of_the_gap():
    pacing = Pacing(gap=1.0)
    pacing.begun(b"a", 5.0)
    assert pacing.ask(b"a", 5.25) == 0.75
    assert pacing.ask(b"b", 5.25) == 0.0


def test_a_gap_ends():
    pacing = Pacing(gap=1.0)
    pacing.begun(b"a", 5.0)
    assert pacing.ask(b"a", 6.0) == 0.0


def test_reading_again_begins_another_gap():
    pacing = Pacing(gap=1.0)
    pacing.begun(b"a", 5.0)
    pacing.begun(b"b", 5.5)
    pacing.begun(b"a", 5.75)
    assert pacing.ask(b"a", 6.25) == 0.5
    assert pacing.ask(b"b", 6.25) == 0.25


def test_no_more_keys_wait_than_there_is_room_for():
    pacing = Pacing(gap=1.0, room=2)
    assert pacing.ask(b"a", 0.0) == pacing.ask(b"b", 0.0) == 0.0
    assert pacing.ask(b"c", 0.0) is None


def test_no_more_keys_are_remembered_than_there_is_room_for():
    pacing = Pacing(gap=1.0, room=2)
    for key in (b"a", b"b", b"c"):
        pacing.begun(key, 0.0)
    assert pacing.ask(b"a", 0.5) == 0.0  # forgotten: read early rather than remembered without end
    assert pacing.ask(b"c", 0.5) == 0.5
