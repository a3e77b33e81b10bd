"""Connections to NATS as scripts declare them; a real server is in the integration tests."""

from __future__ import annotations

import sys

import pytest

from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.script_world import script_world

TOP = "n = mta.nats.connect(servers='127.0.0.1:1')"


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("mta.nats.connect()", "servers is missing"),
        ("mta.nats.connect(servers=[])", "1 to 64 servers"),
        ("mta.nats.connect(servers='x', auth={'username': 'a'})", "username and password are"),
        ("mta.nats.connect(servers='x', request_timeout=0)", "above zero"),
        ("mta.nats.connect(server='x')", "did you mean 'servers'"),
        ("n.publish(subject='x')", r"nats.publish\(\) waits: await it"),
    ],
)
async def test_wrong_use_is_an_error_at_the_call(world, call, message):
    world.load_body(call, top=TOP, kind="def")

    with pytest.raises(HookFailedError, match=message):
        world.runtime.fire_nowait("ask", None)


async def test_options_of_background_reconnects_are_warnings(world):
    world.load("mta.nats.connect(servers='x', max_reconnects=5, sender_capacity=1)\n")

    assert sorted(world.warnings) == [
        "mta.nats.connect: max_reconnects is known but not yet in force",
        "mta.nats.connect: sender_capacity is known but not yet in force",
    ]


async def test_without_the_library_it_is_a_load_error_with_its_line(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "nats", None)

    with pytest.raises(PolicyLoadError, match=r"init.py:3: .*pip install 'cirrus-mta\[nats\]'"):
        world.load(TOP)


async def test_nobody_there_is_an_error(world):
    with pytest.raises(HookFailedError, match="init.py:6: ConnectionError: nats: "):
        await world.ask("await n.publish(subject='x')", top=TOP)


async def test_without_await_it_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*nats.publish\(\) without await"):
        await world.ask("n.publish(subject='x')", top=TOP)
