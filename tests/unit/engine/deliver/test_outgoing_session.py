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


async def test_it_is_counted_with_the_pool_whose_mail_it_carried_last():
    world = DispatchWorld()
    session = OutgoingSession(world, world.services)
    assert session.pool is None

    for pool in ("pool-a", "pool-b"):
        message = world.add()
        message.pool = pool
        session._hand.take(message)

    assert session.pool == "pool-b"
