"""What slows mail down on its way into a ready queue."""

import pytest

from engine.model.egress import make_egress_path
from engine.schedule.insert_throttle import FAILED_S, Asked, InsertThrottle
from tests.fakes.queue_world import policy, queue_world

HANDLER = """
@on("throttle_insert_ready_queue")
{kind} throttle(msg):
    {deed}
"""


class Ready:
    def __init__(self, **path):
        self.name = "s1->d@smtp_client"
        self.path = make_egress_path(**path)


def message_of(world):
    world.promotion.stopping = True
    (message,) = world.submit()
    world.store.remove(message)
    return message


async def test_without_a_handler_nothing_is_asked(tmp_path):
    async with queue_world(tmp_path) as world:
        message = message_of(world)

        assert InsertThrottle(world).ask(message) is None
        assert message.due_mono <= world.clock.mono()


@pytest.mark.parametrize("deed", ["1 / 0", "mta.reject(421, '4.7.0 no')", "msg.set_due(3)"])
async def test_a_handler_that_fails_moves_the_due_time(tmp_path, deed):
    async with queue_world(tmp_path, HANDLER.format(kind="def", deed=deed)) as world:
        message = message_of(world)
        assert InsertThrottle(world).ask(message) is None

        assert FAILED_S - 1 < message.due_mono - world.clock.mono() <= FAILED_S


async def test_a_handler_that_waits_is_finished_by_the_caller(tmp_path):
    deed = "await mta.pause(2); msg.set_due('2099-01-01T00:00:00Z')"
    async with queue_world(tmp_path, HANDLER.format(kind="async def", deed=deed)) as world:
        message, throttle = message_of(world), InsertThrottle(world)
        asked = throttle.ask(message)
        assert isinstance(asked, Asked)
        await throttle.finish(asked)

        assert message.due_mono - world.clock.mono() > 86400


async def test_a_handler_that_hangs_is_a_failure(tmp_path):
    deed = "await mta.pause(100000)"
    async with queue_world(tmp_path, HANDLER.format(kind="async def", deed=deed)) as world:
        message, throttle = message_of(world), InsertThrottle(world)
        await throttle.finish(throttle.ask(message))

        assert FAILED_S - 1 < message.due_mono - world.clock.mono() <= FAILED_S


async def test_a_source_without_rates_is_always_eligible(tmp_path):
    async with queue_world(tmp_path) as world:
        assert InsertThrottle(world).selection_wait_s(Ready(), world.clock.mono()) == 0


async def test_a_selection_rate_says_how_long_until_it_frees(tmp_path):
    async with queue_world(tmp_path) as world:
        throttle, ready = InsertThrottle(world), Ready(source_selection_rate="1/10s")
        now = world.clock.mono()
        assert throttle.selection_wait_s(ready, now) == 0

        assert throttle.selection_wait_s(ready, now + 4) == pytest.approx(6)


async def test_what_a_smaller_rate_granted_is_given_back_when_a_larger_refuses(tmp_path):
    async with queue_world(tmp_path) as world:
        throttle = InsertThrottle(world)
        both = Ready(
            source_selection_rate="2/h,max_burst=2",
            additional_source_selection_rates={"all": "3/h,max_burst=1"},
        )
        own = Ready(source_selection_rate="2/h,max_burst=2")
        now = world.clock.mono()
        assert throttle.selection_wait_s(both, now) == 0
        assert throttle.selection_wait_s(both, now) > 0

        assert throttle.selection_wait_s(own, now) == 0


async def test_the_rate_of_a_queue_is_shared_by_nobody(tmp_path):
    async with queue_world(tmp_path, policy('max_message_rate="1/h"')) as world:
        world.submit()
        world.submit("b.test")
        await world.settle_down()

        assert len(world.carried) == 2
