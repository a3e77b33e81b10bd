"""Ready queues, as operators see them."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.ready_queues import ABORT_SESSION, INSPECT_READY, READY_STATES
from tests.fakes.admin_world import admin_world

ONE_CONNECTION = """
    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        return mta.make_egress_path(
            connection_limit=1, additional_connection_limits={"all": 1}, max_message_rate="1/h"
        )
"""
A, B, C = (f"unspecified->mx.{letter}.test@smtp_client" for letter in "abc")


async def test_states_say_which_limit_holds_a_queue_and_since_when(tmp_path):
    async with admin_world(tmp_path, ONE_CONNECTION) as world:
        world.gate.clear()
        world.submit(count=3)
        world.submit(domain="b.test", count=2)
        await world.sleep(10)

        everything = (await world.act(READY_STATES)).states_by_ready_queue
        chosen = (await world.act(READY_STATES, queues=[A])).states_by_ready_queue

        assert list(everything) == [B]
        waiting = everything[B]
        assert (waiting.ready_count, waiting.connection_count) == (2, 0)
        assert waiting.connection_limited.context == "all"
        assert waiting.connection_limited.since.endswith("Z")
        assert waiting.suspended is None
        assert (chosen[A].ready_count, chosen[A].connection_count) == (3, 1)
        assert chosen[A].connection_limited is None


async def test_states_say_which_rate_sessions_wait_for(tmp_path):
    async with admin_world(tmp_path, ONE_CONNECTION) as world:
        world.gate.clear()
        world.submit(count=3)
        await world.settle_down()
        (session,) = world.give_sessions(world.only_ready())
        session._enter("MessageRateThrottled")

        state = (await world.act(READY_STATES)).states_by_ready_queue[A]

        assert state.message_rate_throttled.context == "max_message_rate 1/h"
        assert state.connection_rate_throttled is None


async def test_states_of_chosen_queues_are_theirs_alone(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        for domain in ("a.test", "b.test", "c.test"):
            world.submit(domain=domain)
        await world.settle_down()

        one = await world.act(READY_STATES, queues=[A, "none"])
        two = await world.act(READY_STATES, queues=[f"{B},{C}"])

        assert list(one.states_by_ready_queue) == [A]
        assert list(two.states_by_ready_queue) == [B, C]


async def test_a_suspended_queue_says_why_and_by_whom(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit()
        await world.settle_down()
        world.suspend_ready(A)

        states = (await world.act(READY_STATES)).states_by_ready_queue

        assert states[A].suspended == "blocked (by tsa)"


async def test_a_queue_is_shown_with_its_site_path_ceilings_and_sessions(tmp_path):
    async with admin_world(tmp_path, ONE_CONNECTION) as world:
        world.gate.clear()
        world.submit(count=2)
        world.submit(tenant="t")
        await world.settle_down()
        (session,) = world.give_sessions(world.only_ready())
        await world.sleep(5)
        session._enter("DeliveringMessage")
        session._hand.delivered = 10

        shown = await world.act(INSPECT_READY, queue_name=A, include_scheduled_queues=True)

        assert (shown.egress_source, shown.egress_pool) == ("unspecified", "unspecified")
        assert (shown.protocol, shown.mx.hosts) == ("smtp_client", ["mx.a.test"])
        assert shown.scheduled_queue_names == ["a.test", "t@a.test"]
        assert shown.path_config["connection_limit"] == "1"
        assert shown.constraints.message_rates[0].value == "1/h"
        assert shown.state.ready_count == 3
        (only,) = shown.dispatchers
        assert (only.session_id, only.phase) == (session.session_id, "DeliveringMessage")
        assert (only.messages_delivered, only.detail) == (10, None)
        assert only.age == pytest.approx(5, abs=0.5)
        assert only.overall_rate_per_sec == pytest.approx(2, abs=0.3)


async def test_a_session_that_is_aborted_gives_its_message_back_uncounted(tmp_path):
    async with admin_world(tmp_path) as world:
        world.world.carry_s = 3600
        (message,) = world.submit()
        await world.settle_down()
        queue = world.only_ready()
        (session,) = world.give_sessions(queue)

        assert await world.act(ABORT_SESSION, queue_name=A, session_id=session.session_id) == "OK"
        await world.settle_down()

        assert world.stored(message).attempts == 0
        assert message.spool_id in world.queue("a.test").entries
        assert [entry.act for entry in world.audited()] == ["abort-ready-q-conn"]


async def test_what_is_not_there_is_refused(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit()
        await world.settle_down()
        for operation, arguments in (
            (INSPECT_READY, {"queue_name": "none"}),
            (ABORT_SESSION, {"queue_name": "none", "session_id": "x"}),
            (ABORT_SESSION, {"queue_name": A, "session_id": "x"}),
        ):
            with pytest.raises(OperationRefusedError) as refused:
                await world.act(operation, **arguments)
            assert refused.value.refusal is Refusal.NOT_FOUND
