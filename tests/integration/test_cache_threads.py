"""Readers without a lock beside a writer that puts, decodes, drops, evicts, sweeps and clears."""

import random
import sys
import threading
import time

import msgspec
import pytest

from edgeprofile import Profile
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import FOREVER
from edgeprofile.hits import MISS, Hits, JsonHits, miss
from tests.support.cache_checks import check_invariants

HOME = ("2Dest", "user", "email")
IDS = [f"user{number}" for number in range(8)]
WRITES = 15_000


@pytest.fixture(autouse=True)
def _switching_all_the_time():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class World:
    """One writer, whose writes carry rising versions; ``floor`` is the last version of an id that was taken out."""

    def __init__(self):
        self.cache = ProfileCache(6000, clock=time.monotonic)
        self.lock = threading.Lock()
        self.hits = Hits(miss, self.cache.tree("2Dest"), {})
        self.json_hits = JsonHits({"2Dest": self.cache.tree("2Dest")})
        self.floor = dict.fromkeys(IDS, 0)
        self.done = threading.Event()
        self.problems = []
        self.served = [0, 0, 0]

    def write(self, chance):
        for version in range(1, WRITES):
            value = chance.choice(IDS)
            with self.lock:
                self.change(chance.random(), value, version)
        self.done.set()

    def change(self, what, value, version):
        entry = self.cache.find(*HOME, value)
        if what < 0.45:
            raw = msgspec.json.encode({"m": {"id": value, "version": version}})
            self.cache.put(self.cache.space(*HOME), value, raw, sent=time.monotonic(), life=1e6, lease=FOREVER)
            self.floor[value] = version - 1
        elif what < 0.75 and entry is not None:
            self.cache.view(entry)
        elif what < 0.97:
            self.cache.drop_identity(*HOME, value)
            self.floor[value] = version
        elif what < 0.98:
            self.cache.clear()
            self.floor = dict.fromkeys(IDS, version)
        else:
            self.cache.sweep(time.monotonic(), 1000)

    def read(self, chance):
        while not self.done.is_set():
            value = chance.choice(IDS)
            floor = self.floor[value]
            found = self.hits.get(HOME[1], HOME[2], value)
            if found is not MISS:
                self.served[0] += 1
                self.check(type(found) is Profile and found["m"], value, floor)
            floor = self.floor[value]
            encoded = self.json_hits.peek(*HOME, value)
            if encoded is not None:
                self.served[1] += 1
                self.check(encoded.found and msgspec.json.decode(encoded.json).get("m"), value, floor)
            self.serve_again(value)

    def serve_again(self, value):
        held = self.json_hits.hold(*HOME, value)
        for _ in range(20 if held else 0):
            floor = self.floor[value]
            if not held.serves(time.monotonic()):
                return
            self.served[2] += 1
            self.check(msgspec.json.decode(held.profile.json).get("m"), value, floor)

    def check(self, traits, value, floor):
        if not traits or traits["id"] != value or traits["version"] <= floor:
            self.problems.append((value, floor, traits))

    def adopt(self, chance):
        """Another thread decodes outside the lock, as callers do on their first hit."""
        while not self.done.is_set():
            with self.lock:
                entry = self.cache.find(*HOME, chance.choice(IDS))
                raw = None if entry is None else entry.raw
            if raw is not None:
                profile = self.cache.decode(entry, raw)
                with self.lock:
                    self.cache.adopt(entry, profile)


@pytest.mark.parametrize("_again", range(2))
def test_a_hit_is_whole_of_its_id_and_never_older_than_what_was_taken_out(_again):
    seed = random.randrange(1 << 32)
    world = World()
    jobs = [world.write, world.read, world.read, world.read, world.adopt]
    threads = [
        threading.Thread(target=job, args=(random.Random(seed + number),), name=job.__name__)
        for number, job in enumerate(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.problems == [], seed
    assert min(world.served) > 100
    check_invariants(world.cache)
