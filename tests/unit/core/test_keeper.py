"""What may be kept, joined and served: each rule of the keeper by itself. The walk tries them together."""

import pytest

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import FOREVER, Authority, Phase
from edgeprofile.core.keeper import Found, Identity, Keeper, Policy, wanted
from edgeprofile.core.slots import slot
from edgeprofile.keys import Layout

BOUND, TTL, NEGATIVE_TTL = 4.0, 100.0, 20.0
LAYOUT = Layout("w", "d", legacy=True)
RAW = b'{"m":{"x":1}}'


class Source:
    id = "d"
    layout = LAYOUT

    def identities(self, key):
        for names in LAYOUT.identities(key):
            yield self.id, *names


def who(value, entity="user", id_type="id"):
    return Identity("d", entity, id_type, value, LAYOUT.keys(entity, id_type, value))


ADA, BOB = who("ada"), who("bob")


@pytest.fixture
def keeper():
    cache = ProfileCache(1 << 20, clock=lambda: 0.0)
    return Keeper(cache, Policy(TTL, NEGATIVE_TTL, BOUND), Authority(BOUND))


@pytest.fixture
def live(keeper):
    """A keeper whose lease ends at 14."""
    prove(keeper, 10.0)
    return keeper


def prove(keeper, now):
    authority = keeper.authority
    if authority.phase is Phase.DOWN:
        authority.connected()
        authority.subscribed()
    assert authority.beat_answered(authority.beat(now))
    assert authority.beat_seen()


def kept(keeper, identity=ADA, now=11.0, raw=RAW, lives=1e9, chance=0.0, *, refresh=False):
    return keeper.store(keeper.begin(identity, now, refresh=refresh), Found(raw, lives), now, chance)


def test_what_is_read_under_a_live_lease_lives_as_long_as_it_is_extended(live):
    entry = kept(live)
    assert entry.lease is live.authority.lease
    assert live.find(ADA, 13.9) is entry
    assert live.find(ADA, 14.0) is None
    prove(live, 20.0)
    assert live.find(ADA, 23.9) is entry


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_ttl_is_shortened_by_up_to_a_tenth(live, chance):
    entry = kept(live, chance=chance)
    assert TTL * 0.9 < entry.life <= TTL
    assert entry.sent == 11.0


def test_absence_has_a_ttl_of_its_own(live):
    entry = kept(live, raw=None)
    assert entry.data is None
    assert entry.expires == 11.0 + NEGATIVE_TTL


def test_the_servers_ttl_counts_from_the_send_time(live):
    fill = live.begin(ADA, 11.0)
    entry = live.store(fill, Found(RAW, 2.0), 12.5)
    assert entry.expires == 13.0
    assert live.find(ADA, 12.9) is entry
    assert live.find(ADA, 13.0) is None


def test_what_has_expired_on_the_way_is_not_kept(live):
    fill = live.begin(ADA, 11.0)
    assert live.store(fill, Found(RAW, 2.0), 13.0) is None
    assert live.find(ADA, 11.5) is None
    assert live.refused == 0


def test_without_a_lease_a_fetch_is_its_own_proof_for_the_bound(keeper):
    entry = kept(keeper, now=5.0)
    assert entry.lease is FOREVER
    assert keeper.find(ADA, 8.9) is entry
    assert keeper.find(ADA, 9.0) is None


def test_without_a_lease_a_shorter_ttl_still_counts():
    keeper = Keeper(ProfileCache(1 << 20, clock=lambda: 0.0), Policy(TTL, 1.0, BOUND), Authority(BOUND))
    assert kept(keeper, now=5.0, raw=None).expires == 6.0


def test_a_fetch_begun_before_the_lease_was_live_is_not_kept_under_it(keeper):
    keeper.authority.connected()
    keeper.authority.subscribed()
    fill = keeper.begin(ADA, 9.0)
    prove(keeper, 10.0)
    assert keeper.store(fill, Found(RAW), 11.0).lease is FOREVER


def test_a_lookup_joins_a_fetch_that_is_younger_than_the_bound(live):
    assert live.join(ADA, 11.0) is None
    fill = live.begin(ADA, 11.0)
    assert live.join(ADA, 14.9) is fill
    assert live.join(ADA, 15.0) is None
    assert live.join(BOB, 11.0) is None


def test_a_fetch_that_failed_leaves_nothing(live):
    fill = live.begin(ADA, 11.0)
    live.fail(fill)
    assert live.join(ADA, 11.0) is None
    assert live.store(fill, Found(RAW), 11.0) is None
    assert live.refused == 1


@pytest.mark.parametrize("key", ADA.keys)
def test_an_event_drops_the_entry_and_spoils_the_fetch(live, key):
    entry = kept(live)
    fill = live.begin(ADA, 12.0)
    assert live.touched(Source(), [b"w:d:user:id:eve", key]) == [entry]
    assert live.find(ADA, 12.0) is None
    assert live.join(ADA, 12.0) is None
    assert live.store(fill, Found(RAW), 12.0) is None
    assert (live.poisoned, live.refused) == (1, 1)


def test_a_key_that_a_run_names_again_is_changed_once(live, monkeypatch):
    names = [who(f"{n}") for n in range(3)]
    entries = [kept(live, name) for name in names]
    live.begin(names[1], 11.0)
    changed = []
    before = live.changed
    monkeypatch.setattr(live, "changed", lambda ids, key: changed.append(key) or before(ids, key))
    run = [names[n].keys[0] for n in (2, 1, 2, 0, 1, 2)]
    assert live.touched(Source(), run) == [entries[1], entries[2], entries[0]]
    assert changed == [names[n].keys[0] for n in (1, 2, 0)]
    assert live.poisoned == 1


def test_events_of_others_touch_nothing(live):
    entry = kept(live)
    assert live.touched(Source(), [*BOB.keys, b"w:d:user:id:ada:x", b"w:d:user:id:\xff", b""]) == []
    assert live.find(ADA, 12.0) is entry


@pytest.mark.parametrize("other", [b"x\0y", b"w:d:user:id:x\0w:d:user:id:y", b"\0", b"w:d:user:id:x\0"])
def test_a_key_with_a_nul_hides_no_other_of_its_run(live, other):
    entries = [kept(live), kept(live, who("x\0"))]
    assert live.touched(Source(), [*ADA.keys, b"elsewhere", other, b"w:d:user:id:x\0"]) == entries


def test_the_keys_of_a_run_are_not_one_key(live):
    name = who("v", entity="user\0w:d:z")
    entry = kept(live, name)
    assert live.touched(Source(), [b"w:d:user", b"w:d:z:id:v"]) == []
    assert live.touched(Source(), list(name.keys)) == [entry]


def test_runs_of_several_id_types_reach_the_entries_of_each(live):
    names = [who(f"{n}", id_type=kind) for n in range(3) for kind in ("id", "email", "phone")]
    entries = [kept(live, name) for name in names if name.id_type != "phone"]
    run = [key for name in names for key in name.keys[:1]]
    touched = live.touched(Source(), [b"w:d:", *run, b"w:d:user:id:\xff", *run])
    assert len(touched) == len(entries)
    assert set(touched) == set(entries)


def test_an_event_reaches_every_name_of_its_key(live):
    names = [who("z", "a:b", "c"), who("z", "a", "b:c"), who("c:z", "a", "b")]
    entries = [kept(live, name) for name in names]
    assert len({name.keys for name in names}) == 1
    assert set(live.touched(Source(), [names[0].keys[0]])) == set(entries)


def test_a_write_of_our_own_drops_the_entry_and_spoils_the_fetch(live):
    kept(live)
    fill = live.begin(ADA, 12.0)
    live.overwrite(ADA)
    assert live.find(ADA, 12.0) is None
    assert live.store(fill, Found(RAW), 12.0) is None


def test_a_loss_ends_all_entries_of_the_epoch_and_spoils_all_fetches(live):
    kept(live)
    fill = live.begin(BOB, 11.0)
    live.lost()
    live.lost()
    assert live.find(ADA, 11.0) is None
    assert live.store(fill, Found(RAW), 11.0) is None
    assert (live.poisoned, live.refused) == (1, 1)


def test_a_reply_of_another_epoch_is_refused_though_nobody_spoiled_it(live):
    fill = live.begin(ADA, 11.0)
    live.authority.lost()
    prove(live, 12.0)
    assert live.store(fill, Found(RAW), 13.0) is None


def test_only_what_was_used_since_it_was_read_is_wanted_again(live):
    assert wanted(kept(live))
    entry = kept(live, refresh=True)
    assert not wanted(entry)
    entry.used = True
    assert wanted(entry)


def test_what_is_too_large_is_not_kept():
    cache = ProfileCache(1 << 20, clock=lambda: 0.0, max_profile_bytes=4)
    assert kept(Keeper(cache, Policy(TTL, NEGATIVE_TTL, BOUND), Authority(BOUND))) is None


def test_a_slot_that_moved_spoils_its_fetches_and_no_others(live):
    ours, others = live.begin(ADA, 11.0), live.begin(BOB, 11.0)
    live.moved({slot(ADA.keys[0])})
    assert live.store(ours, Found(RAW), 11.0) is None
    assert live.store(others, Found(RAW), 11.0) is not None
    assert live.poisoned == 1


def test_what_is_read_of_a_slot_that_is_leaving_is_its_own_proof(live):
    live.leaving = {slot(ADA.keys[0])}
    assert kept(live, ADA).lease is FOREVER
    assert kept(live, ADA).expires == 11.0 + BOUND
    assert kept(live, BOB).lease is live.authority.lease
    live.leaving = ()
    assert kept(live, ADA).lease is live.authority.lease


def test_what_is_renounced_is_served_and_stored_no_more_and_the_epoch_goes_on(live):
    entry, under_way = kept(live, ADA), live.begin(BOB, 11.0)
    live.renounce()
    assert live.find(ADA, 11.0) is None
    assert entry.lease.until == 0.0
    assert live.store(under_way, Found(RAW), 11.0) is None
    assert live.authority.phase is Phase.LIVE
    assert kept(live, ADA).lease is FOREVER, "until the next heartbeat"
    prove(live, 12.0)
    assert kept(live, ADA, 12.0).lease.until == 12.0 + BOUND
