"""Histories that a random walk meets too rarely, told step by step."""

from itertools import count

import pytest

from edgeprofile.core.coherence import Phase, Proof
from tests.support.walk import TOO_RARE, Broken, Rules, World
from tests.support.walk.engine import EngineRules


def calm_world(rules: type[Rules] = Rules, *, strict: bool = True) -> World:
    """One profile, two connections, a canary, and nothing that happens by itself."""
    for seed in count():
        world = World(seed, rules, strict=strict)
        if world.keeper.authority.proof is Proof.CANARY and world.keys_of == [(0,)] and len(world.wires) == 2:
            return world
    raise AssertionError


def subscribe(world: World) -> None:
    world.connect()
    for _ in range(2):
        world.serve_feed()
    world.flow_feed()
    assert world.keeper.authority.phase is Phase.PROVING


def beat(world: World) -> None:
    """A heartbeat is executed and its event comes back; its reply is on its way."""
    world.beat()
    world.flow_server()
    world.flow_feed()


def reply(world: World, wire: int) -> None:
    world.wires[wire].executed.popleft().answer(world)


def look_up(world: World) -> None:
    """A lookup, whose fetch if any goes over the second connection."""
    first, second = world.wires
    world.wires[:] = [second, second]
    world.look_up()
    world.wires[:] = [first, second]


def flush_behind_old_replies(world: World) -> None:
    world.server.write(0, 100.0)
    subscribe(world)
    beat(world)  # 1 of the first epoch
    world.end_epoch()
    subscribe(world)
    beat(world)  # 1 of the second epoch; the answer to the first epoch's comes now
    reply(world, 0)
    beat(world)  # 2 of the second epoch, if that answer was taken for its own
    world.end_epoch()
    subscribe(world)
    beat(world)  # 1 of the third epoch
    reply(world, 0)
    look_up(world)
    world.flow_server()
    reply(world, 1)
    world.flush()
    world.server.advance(1.5)
    beat(world)
    reply(world, 0)
    world.server.advance(world.keeper.policy.max_staleness - 1.0)
    look_up(world)


@pytest.mark.parametrize("rules", [Rules, EngineRules])
def test_answers_to_earlier_epochs_prove_nothing(rules: type[Rules]) -> None:
    flush_behind_old_replies(calm_world(rules))


def test_else_they_hide_a_flush() -> None:
    with pytest.raises(Broken, match="bounded staleness: hit"):
        flush_behind_old_replies(calm_world(TOO_RARE, strict=False))
