"""``mta.configure_redis_throttles``: what it declares and what it refuses."""

from __future__ import annotations

import pytest

from engine.script_declarations import Declarations
from engine.script_limits import LimitDeclarations

URL = "redis://127.0.0.1:6379"


@pytest.fixture
def world():
    class World:
        declarations = Declarations()
        warned: list[str] = []

    made = World()
    made.configure = LimitDeclarations(
        lambda _name: made.declarations, made.warned.append
    ).configure_redis_throttles
    return made


def test_it_declares_where_limits_are_shared(world):
    world.configure(node=URL, nodes=3, share_directives=False, password="x")

    declared = world.declarations.shared_limits
    assert declared.redis.nodes == (URL,)
    assert declared.redis.password == "x"
    assert declared.nodes == 3
    assert not declared.share_directives
    # Mail waits for it: a second, not the five of scripts' own connections.
    assert declared.redis.response_s == 1.0


def test_what_has_no_effect_is_said(world):
    world.configure(node=URL, read_from_replicas=True, recycle_timeout="5s")

    assert len(world.warned) == 2
    assert "only masters are asked" in " ".join(world.warned)


def test_declaring_twice_is_an_error(world):
    world.configure(node=URL)
    with pytest.raises(ValueError, match="twice"):
        world.configure(node=URL)


@pytest.mark.parametrize("options", [{"nodes": 0}, {"nodes": "3"}, {"share_directives": "yes"}])
def test_a_wrong_value_is_named(world, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        world.configure(node=URL, **options)
