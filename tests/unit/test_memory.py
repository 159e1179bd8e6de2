import gc
import json
import sys
from types import SimpleNamespace

import pytest

from edgeprofile.memory import _find_untrack, allocated, bytes_size, text_size, tree_size, untrack


@pytest.mark.parametrize(
    ("size", "taken"), [(1, 16), (16, 16), (17, 32), (512, 512), (513, 528), (520, 528), (521, 544), (1 << 20, (1 << 20) + 16)]
)  # fmt: skip
def test_allocations_are_rounded_up(size, taken):
    assert allocated(size) == taken


@pytest.mark.parametrize("text", ["", "a", "ada@example.com", "x" * 1000, "é", "Ω" * 40, "\U0001f600", "\ud800"])
def test_texts_and_bytes_take_what_python_says(text):
    assert text_size(text) == allocated(sys.getsizeof(text))
    data = text.encode("utf-8", "surrogatepass")
    assert bytes_size(data) == allocated(sys.getsizeof(data))


def test_what_the_interpreter_shares_costs_nothing():
    bare = tree_size([])
    shared = [None, True, False, -5, 256]
    assert tree_size(shared) == allocated(sys.getsizeof(shared))
    assert tree_size([257]) - bare >= 32
    assert tree_size([0.0]) - bare >= 24


def test_every_level_is_counted():
    flat, nested = json.loads('{"aa":"xyz"}'), json.loads('{"aa":[{"aa":"xyz"}]}')
    assert tree_size(nested) > tree_size(flat) + allocated(sys.getsizeof([0]))
    assert tree_size(json.loads('["' + "x" * 10_000 + '"]')) > 10_000


def test_a_name_is_counted_by_who_holds_it_alone():
    name = b"a name of its own!".decode()
    holders = [{name: None} for _ in range(8)]
    del name
    shared = tree_size(holders[0])
    del holders[1:]
    assert tree_size(holders[0]) - shared == allocated(sys.getsizeof("a name of its own!"))


class Subclass(dict):
    __slots__ = ()


def test_an_untracked_dict_is_not_walked_until_it_could_close_a_cycle():
    value = Subclass(a=1)
    assert gc.is_tracked(value)
    untrack(value)
    untrack(value)
    assert not gc.is_tracked(value)
    value["self"] = value
    assert gc.is_tracked(value)
    del value["self"]


def test_another_interpreter_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="pypy"))
    value = Subclass()
    _find_untrack()(value)
    assert gc.is_tracked(value)


def test_untracked_values_are_freed_as_others_are():
    for _ in range(1000):
        value = Subclass(a=[Subclass(b=1)])
        untrack(value["a"][0])
        untrack(value["a"])
        untrack(value)
        del value
    gc.collect()
