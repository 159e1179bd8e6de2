"""The compiled part against the Python that it stands before: the same outcome, marks and counts for whatever is asked."""

import copy
import gc
import inspect
import json
import pickle
import subprocess
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import edgeprofile
from edgeprofile import hits, profile, speedups
from edgeprofile.core.coherence import Lease
from edgeprofile.core.entries import Entry
from edgeprofile.profile import Profile, decode
from edgeprofile.speedups import compiled

pytestmark = [
    pytest.mark.limit(1800),
    pytest.mark.skipif(compiled is None, reason="the compiled part was not built, or is not wanted"),
]

NEVER, AGES = 0.0, 1e12
MODELS = {"m": {"n": 1}, "null": None}
PROFILE = decode(json.dumps(MODELS).encode())


class Text(str):
    """A text of a caller's own kind."""

    __slots__ = ()


class Raising:
    """A key whose own code raises."""

    def __init__(self, error):
        self.error = error

    def __hash__(self):
        raise self.error("key")

    def __repr__(self):
        return "Raising"


data = st.sampled_from([PROFILE, PROFILE.json, None])
ends = st.sampled_from([NEVER, AGES, AGES, AGES])  # most entries are served, or all else would hardly be tried
entries = st.builds(
    lambda data, lease, expires, ready, used: Entry(
        "ada", ("d", "user", "email"), data, Lease(lease), expires, 1.0, min(ready, expires), used
    ),
    data,
    ends,
    ends,
    ends,
    st.sampled_from([None, False, True]),
)
keys = st.sampled_from([1, None, [], b"ada"]) | st.builds(Raising, st.sampled_from([KeyError, ZeroDivisionError]))
values = st.just("ada") | st.sampled_from(["ada", "bob", Text("ada")]) | keys
models = st.sampled_from([None, "m", "null", "none such", Text("m")]) | keys
destinations = st.sampled_from([None, None, None, "d", "none such", []])
kinds = st.sampled_from([None, None, None, dict])


@contextmanager
def in_python(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(hits, "compiled", None)
        yield


def outcome(call, *args, **named):
    try:
        return call(*args, **named)
    except Exception as error:  # noqa: BLE001  # whatever it is, both must raise it
        return type(error), str(error)


def both(make, entry):
    """What ``make`` makes of an entry compiled and not, each with a twin of its own."""
    compiled_entry, python_entry = entry, copy.copy(entry)
    made = make(compiled_entry)
    with pytest.MonkeyPatch.context() as patched, in_python(patched):
        return made, make(python_entry), compiled_entry, python_entry


def told(*args):
    """The slow path: it tells what it was asked."""
    return "slow", args


def hits_of(entry):
    tree = {"user": {"email": {"ada": entry}}}
    return hits.Hits(told, tree, {"d": tree})


@given(entries, values, st.booleans())
def test_a_bound_lookup_is_the_same(entry, value, named):
    here, there, used, python_used = both(lambda entry: hits.BoundHits(told, {"ada": entry}), entry)
    args, keywords = ((), {"value": value}) if named else ((value,), {})
    assert outcome(here.lookup, *args, **keywords) == outcome(there.lookup, *args, **keywords)
    assert used.used == python_used.used
    assert here.count() == there.count()


@example(
    Entry(
        "ada", ("d", "user", "email"), PROFILE.json, Lease(AGES), AGES, 1.0, AGES, None
    ),  # said to be decoded, and is not
    ("ada", None, "m", None, None),
    3,
    "user",
)
@given(
    entries,
    st.tuples(values, destinations, models, kinds, st.sampled_from([None, 0.5])),
    st.integers(1, 5),
    st.just("user") | st.just("none such") | keys,
)
def test_a_lookup_is_the_same_however_its_arguments_are_given(entry, given_args, positional, entity):
    here, there, used, python_used = both(hits_of, entry)
    names = ("value", "destination", "model", "type", "timeout")
    args = (entity, "email", *given_args[:positional])
    keywords = {name: value for name, value in zip(names, given_args, strict=True) if name in names[positional:]}
    for left_out in (keywords, {name: value for name, value in keywords.items() if value is not None}):
        assert outcome(here.get, *args, **left_out) == outcome(there.get, *args, **left_out)
        assert used.used == python_used.used
        assert here.count() == there.count()


def test_what_a_model_s_name_raises_when_it_is_compared_is_raised():
    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            raise ZeroDivisionError

    odd = Entry("ada", ("d", "user", "email"), {Name("m"): 1}, Lease(AGES), AGES, 1.0, AGES, None)
    here, there, *_ = both(hits_of, odd)
    assert outcome(here.get, "user", "email", "ada", model="m") == outcome(there.get, "user", "email", "ada", model="m")
    assert here.count() == there.count() == 1


@given(entries, st.lists(values, max_size=6), destinations, models, kinds)
def test_many_are_the_same(entry, asked, destination, model, kind):
    here, there, used, python_used = both(hits_of, entry)
    args = ("user", "email", asked, destination, model, kind)
    assert outcome(here.get_many, *args) == outcome(there.get_many, *args)
    assert used.used == python_used.used
    assert here.count() == there.count()


@pytest.mark.parametrize("args", [(), ("user",), ("user", "email"), ("user", "email", "ada", *[None] * 5)])
def test_a_wrong_number_of_arguments_is_the_same_error(args):
    here, there, *_ = both(hits_of, Entry("ada", ("d", "user", "email"), PROFILE, Lease(AGES), AGES, 1.0, AGES, None))
    assert outcome(here.get, *args) == outcome(there.get, *args)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


def anatomy(value):
    """Kinds, sizes and what the collector walks, at every depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    containers = isinstance(value, dict | list)
    return type(value), containers and sys.getsizeof(value), gc.is_tracked(value), [anatomy(each) for each in inner]


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=6))
def test_a_decoded_profile_is_the_same_down_to_its_memory(models):
    raw = json.dumps(models).encode()
    here = decode(raw)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profile, "_freeze_into", profile._freeze_here)
        there = decode(raw)
    assert here == there
    assert anatomy(here) == anatomy(there)
    assert here.footprint == there.footprint
    assert all(one is other for one, other in zip(here, there, strict=True)) or profile._KEEPS_NAMES


def deep(levels):
    return b'{"m":' + b"[" * levels + b"]" * levels + b"}"


def test_what_is_too_deep_is_an_error_and_no_crash():
    assert decode(deep(256))
    with pytest.raises(RecursionError):
        profile._freeze_into(dict.__new__(Profile), {"m": nested(100_000)})


def test_what_the_collector_calls_may_empty_what_is_being_frozen():
    code = """
import gc
from edgeprofile import profile
armed = False

def empty(phase, info):
    global armed
    if armed:
        armed = False
        for each in gc.get_objects():
            if type(each) is dict and "outer" in each:
                each.clear()

gc.callbacks.append(empty)
for number in range(1, 100):
    members = {"outer": {f"{number}-{name}": {"inner": [1]} for name in range(30)}, "last": 1}
    gc.set_threshold(number)
    armed = True
    profile._freeze_into(dict.__new__(profile.Profile), members)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_nothing_is_held_that_was_only_looked_at():
    lease, value = Lease(AGES), "some text of its own"
    entry = Entry(value, ("d", "user", "email"), PROFILE, lease, AGES, 1.0, AGES, None)
    tree = {"user": {"email": {value: entry}}}
    get = hits.Hits(told, tree, {"d": tree}).get
    lookup = hits.BoundHits(told, tree["user"]["email"]).lookup
    watched = (lease, value, entry, tree, tree["user"], tree["user"]["email"], PROFILE, PROFILE["m"], None, True)

    def use():
        for model, name in product((None, "m", "null", "none such"), (value, "nobody")):
            get("user", "email", name)
            get("user", "email", name, model=model)
            get("user", "email", name, None, model, None, 0.5)
            lookup(name)
            hits.compiled.pick(tree["user"]["email"], [name, name], False)
        entry.used = None

    use()
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(1_000):
        use()
    grown = [sys.getrefcount(each) - count for each, count in zip(watched, before, strict=True)]
    assert max(map(abs, grown)) < 50, grown  # other threads may hold a few


def test_a_shortcut_is_freed_with_all_that_it_holds():
    tree = {"user": {"email": {}}}

    class Owner:
        def __init__(self):
            self.hits = hits.Hits(self.slow, tree, {"d": tree})

        def slow(self, *args):
            return args

    owner = Owner()
    gone, rebind = weakref.ref(owner), owner.hits.rebind
    shortcut = weakref.ref(owner.hits.get)
    del owner
    gc.collect()
    assert gone() is None
    assert shortcut() is None
    rebind(tree, {"d": tree})  # which holds neither


def test_a_shortcut_looks_like_its_function():
    found = hits.Hits(told, {}, {}).get
    assert found.__name__ == "get"
    assert list(inspect.signature(found).parameters)[:3] == ["entity", "id_type", "value"]


def test_a_shortcut_is_copied_and_pickled_as_its_function_is():
    assert copy.copy(edgeprofile.get) is copy.deepcopy(edgeprofile.get) is edgeprofile.get
    assert pickle.loads(pickle.dumps(edgeprofile.get)) is edgeprofile.get  # noqa: S301 (written here)


def test_a_shortcut_in_a_class_is_bound_as_its_function_is():
    class Owner:
        get = hits.Hits(told, {}, {}).get

    owner = Owner()
    assert inspect.isroutine(Owner.get)
    assert owner.get("email", "ada") == told(owner, "email", "ada", None, None, None, None)


def test_threads_that_look_up_while_entries_come_and_go_get_what_is_served():
    lease = Lease(AGES)
    home = ("d", "user", "email")
    entries = {}
    lookup = hits.BoundHits(lambda _value: None, entries).lookup
    ended = threading.Event()
    wrong = []

    def read():
        while not ended.is_set():
            for number in range(50):
                found = lookup(f"id{number}")
                if found is not None and found != {"m": {"n": number}}:
                    wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        for number in range(50):
            made = decode(b'{"m":{"n":%d}}' % number)
            entries[f"id{number}"] = Entry(f"id{number}", home, made, lease, AGES, 1.0, AGES, None)
        for number in range(0, 50, 3):
            entries.pop(f"id{number}").data = None
    ended.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_a_variable_of_the_environment_leaves_it_out():
    code = "from edgeprofile.speedups import compiled; raise SystemExit(compiled is not None)"
    found = subprocess.run([sys.executable, "-c", code], env={"EDGEPROFILE_NO_EXTENSIONS": "1"}, check=False)
    assert found.returncode == 0


def test_what_was_built_before_it_had_all_its_parts_is_left_out():
    code = """
import sys
from types import ModuleType
sys.modules["edgeprofile._speedups"] = old = ModuleType("edgeprofile._speedups")
old.pick = old.learn = old.Shelf = old.Shortcut = print
import edgeprofile
from edgeprofile.profile import decode
from edgeprofile.speedups import compiled
assert compiled is None
assert decode(b'{"m":{"n":1}}') == {"m": {"n": 1}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_its_parts_are_asked_for():
    assert set(speedups._PARTS) == {name for name in vars(compiled) if not name.startswith("_")}


def test_a_second_copy_of_the_package_leaves_the_compiled_part_to_the_first():
    code = """
import sys
from edgeprofile import profile
for name in [name for name in sys.modules if name.startswith("edgeprofile")]:
    del sys.modules[name]
from edgeprofile import profile as other
for each in (profile, other):
    decoded = each.decode(b'{"m":{"n":1}}')
    assert type(decoded["m"]) is each._Traits, each
    assert type(decoded.copy()["m"]) is dict, each
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_short_of_memory_while_it_was_imported_can_be_imported_again():
    pytest.importorskip("_testcapi")
    code = f"""
import _testcapi
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("edgeprofile._speedups", {compiled.__file__!r})
failed = 0
for failing in range(1, 6):  # where later ones fail, CPython may tell no error, or crash
    module = module_from_spec(spec)
    try:
        _testcapi.set_nomemory(failing, failing + 1)
        spec.loader.exec_module(module)
    except MemoryError:
        failed += 1
    finally:
        _testcapi.remove_mem_hooks()
assert failed == 5
module = module_from_spec(spec)
spec.loader.exec_module(module)
assert module.cut(b"", ()) == ([], 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_short_of_memory_when_it_looks_for_slots_says_so():
    memory = pytest.importorskip("_testcapi")

    def learning(failing):
        memory.set_nomemory(failing, failing + 1)
        try:
            return compiled.learn(Entry, Lease)
        except (MemoryError, TypeError) as error:
            return type(error)
        finally:
            memory.remove_mem_hooks()

    assert {learning(failing) for failing in range(1, 6)} <= {MemoryError, None}


def test_what_is_no_slot_is_refused():
    class Other:
        pass

    class Half:
        __slots__ = ("ready_until",)

    entry = Entry("ada", ("d", "user", "email"), PROFILE, Lease(AGES), AGES, 1.0, AGES, None)
    lookup = compiled.Shortcut(told, compiled.Shelf({"ada": entry}), 1)
    for entry, lease, name in (
        (Other, Lease, "ready_until"),
        (Half, Lease, "expires"),
        (Entry, Other, "until"),
        (int, Lease, "ready_until"),
    ):
        with pytest.raises(TypeError, match=f"{name} is no slot"):
            compiled.learn(entry, lease)
        assert lookup("ada") is PROFILE
