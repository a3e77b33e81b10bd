"""What every dispatcher is to the node."""

import asyncio

from engine.deliver.outgoing_session import OutgoingSession
from tests.fakes.dispatch import DispatchWorld


async def test_each_step_is_progress():
    world = DispatchWorld()
    session = OutgoingSession(world, world.services)
    began = session.progress_mono
    await asyncio.sleep(3)

    session._enter("Connecting")

    assert session.phase == "Connecting"
    assert 2.9 < session.progress_mono - began < 3.1


async def test_its_limits_are_those_of_its_path():
    world = DispatchWorld(system_shutdown_timeout="7s", dispatcher_progress_watchdog_timeout="9s")
    session = OutgoingSession(world, world.services)

    assert (session.shutdown_s, session.watchdog_s) == (7.0, 9.0)


async def test_sessions_are_told_apart():
    world = DispatchWorld()

    first, second = (OutgoingSession(world, world.services) for _ in range(2))

    assert first.session_id != second.session_id


async def test_a_snapshot_says_what_it_did_and_does():
    world = DispatchWorld()
    session = OutgoingSession(world, world.services)
    await asyncio.sleep(2)
    session._enter("Idle")

    shown = session.snapshot()

    assert (shown.session_id, shown.phase, shown.detail) == (session.session_id, "Idle", "")
    assert 1.9 < shown.entered_mono - shown.began_mono < 2.1
    assert (shown.delivered, shown.deferred, shown.failed) == (0, 0, 0)


async def test_what_is_in_its_hand_is_counted():
    world = DispatchWorld()
    session = OutgoingSession(world, world.services)
    assert session.held == 0

    session._hand.take(world.add())
    assert session.held == 1
