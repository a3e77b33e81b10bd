"""Ready queues, as operators see them."""

from __future__ import annotations

from engine.admin.ready_queues import READY_STATES
from tests.fakes.admin_world import admin_world

ONE_CONNECTION = """
    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        return mta.make_egress_path(connection_limit=1, additional_connection_limits={"all": 1})
"""


async def test_states_say_which_limit_holds_a_queue_and_since_when(tmp_path):
    async with admin_world(tmp_path, ONE_CONNECTION) as world:
        world.gate.clear()
        world.submit(count=3)
        world.submit(domain="b.test", count=2)
        await world.sleep(10)

        states = (await world.act(READY_STATES)).states_by_ready_queue

        busy, waiting = (
            states["unspecified->mx.a.test@smtp_client"],
            states["unspecified->mx.b.test@smtp_client"],
        )
        assert (busy.ready_count, busy.connection_count) == (3, 1)
        assert (waiting.ready_count, waiting.connection_count) == (2, 0)
        assert waiting.connection_limited.context == "all"
        assert waiting.connection_limited.since.endswith("Z")
        assert not waiting.suspended


async def test_states_of_chosen_queues_are_theirs_alone(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        for domain in ("a.test", "b.test", "c.test"):
            world.submit(domain=domain)
        await world.settle_down()
        names = [f"unspecified->mx.{letter}.test@smtp_client" for letter in "abc"]

        one = await world.act(READY_STATES, queues=[names[0], "none"])
        two = await world.act(READY_STATES, queues=[",".join(names[1:])])

        assert list(one.states_by_ready_queue) == names[:1]
        assert list(two.states_by_ready_queue) == names[1:]


async def test_a_suspended_queue_says_so(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit()
        await world.settle_down()
        name = world.only_ready().name
        world.suspend_ready(name)

        states = await world.act(READY_STATES, queues=[name])

        assert states.states_by_ready_queue[name].suspended
