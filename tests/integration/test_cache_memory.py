"""The byte budget against what the operating system says, each time in a process of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import gc, json, random, string, sys, time
import msgspec
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import FOREVER

kind, entries, traits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(20)
makers = (
    chance.random,
    lambda: "".join(chance.choices(string.ascii_letters, k=chance.randrange(24))),
    lambda: chance.randrange(1_000_000),
    lambda: chance.choice([True, False, None]),
)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def model():
    return {f"trait_{number}_of_a_user": makers[number % 4]() for number in range(traits)}

texts = [msgspec.json.encode({"features_by_email": model()}) for _ in range(200)]
cache = ProfileCache(1 << 30, clock=time.monotonic)
space = cache.space("2Dest", "user", "email", pin=True)
life = 300.0

def put(number, text):
    # Bytes, id and send time are each entry's own, as those of a reply are.
    raw = None if kind == "absent" else text[:-2] + b',"n":%07d}}' % (1_000_000 + number)
    entry = cache.put(space, f"user{number:06d}@example.com", raw, sent=1000.0 + number / 1e4, life=life, lease=FOREVER)
    if kind == "decoded":
        cache.view(entry)
    return len(raw or b"")

put(0, texts[0])
gc.collect()
before, counted = resident(), cache.size
encoded = sum(put(number, texts[number % len(texts)]) for number in range(1, entries + 1))
gc.collect()
print(json.dumps({
    "entries": cache.count - 1, "resident": resident() - before, "counted": cache.size - counted, "encoded": encoded
}))
"""


def measure(kind, entries, traits):
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc/self/statm")
    command = [sys.executable, "-c", PROGRAM, kind, str(entries), str(traits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    found = json.loads(done.stdout)
    assert found["entries"] == entries
    return found


@pytest.mark.parametrize(
    ("kind", "entries", "traits"),
    [
        ("encoded", 100_000, 20),
        ("decoded", 100_000, 20),
        ("absent", 100_000, 0),
        ("encoded", 20_000, 5),
        ("decoded", 20_000, 5),
        ("decoded", 5_000, 200),
    ],
)
def test_the_budget_counts_what_python_really_uses(kind, entries, traits):
    measured = measure(kind, entries, traits)
    assert measured["counted"] == pytest.approx(measured["resident"], rel=0.15)


def test_a_profile_that_was_never_decoded_takes_300_bytes_beside_its_own():
    measured = measure("encoded", 100_000, 20)
    assert measured["resident"] <= measured["encoded"] + 300 * 100_000
