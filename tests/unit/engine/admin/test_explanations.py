"""``why`` over real queues: each thing that can hold mail, made true, is named first."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.explanations import WHY
from engine.admin.single_messages import HOLD
from engine.model.reply import make_reply
from tests.fakes.admin_world import admin_world
from tests.fakes.queue_world import policy

A = "s1->mx.a.test@smtp_client"


async def why(world, message):
    await world.settle_down()
    return await world.act(WHY, id=message.id)


async def test_a_message_for_later_says_when_it_is_due(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)

        shown = await why(world, message)

        assert (shown.place, shown.queue_name) == ("waiting", "a.test")
        assert [one.code for one in shown.reasons] == ["ScheduledForLater"]
        assert shown.reasons[0].until > "1970-01-01"


async def test_a_deferred_message_says_what_the_host_said_and_when_it_is_tried_again(tmp_path):
    async with admin_world(tmp_path, policy('retry_interval="20m"')) as world:
        world.world.reply_of = lambda message: make_reply(451, "4.7.1 greylisted")
        (message,) = world.submit()

        shown = await why(world, message)

        (reason,) = shown.reasons
        assert shown.summary == "attempt 1 failed: 451 4.7.1 greylisted"
        assert (reason.code, reason.where, reason.knob) == (
            "LoggedTransientFailure",
            A,
            "retry_interval",
        )
        assert reason.value == "1200s" and reason.until > reason.since


async def test_a_suspended_queue_says_who_did_it_and_until_when(tmp_path):
    async with admin_world(tmp_path) as world:
        world.suspend(domain="a.test", reason="spam run", duration_s=600)
        (message,) = world.submit()

        shown = await why(world, message)
        queue = await world.act(WHY, queue_name="a.test")

        assert [one.code for one in shown.reasons] == ["QueueSuspended"]
        assert (shown.reasons[0].author, queue.reasons[0].author) == ("ann", "ann")
        assert "spam run" in shown.summary and shown.reasons[0].until is not None


async def test_a_held_message_says_who_holds_it(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=5)
        await world.act(HOLD, id=message.id, reason="evidence")
        await world.sleep(10)

        shown = await why(world, message)

        assert [one.code for one in shown.reasons][0] == "HeldByOperator"
        assert (shown.reasons[0].author, shown.reasons[0].until) == ("ann", None)


async def test_a_suspended_ready_queue_is_named_where_no_other_source_is_left(tmp_path):
    async with admin_world(tmp_path, policy()) as world:
        world.suspend_ready(A)
        (message,) = world.submit()

        shown = await why(world, message)

        assert [one.code for one in shown.reasons] == [
            "NoEligibleSource",
            "ReadyQueueWasSuspended",
        ]
        assert (shown.reasons[1].where, shown.reasons[1].author) == (A, "tsa")


async def test_a_source_that_was_taken_out_is_named(tmp_path):
    async with admin_world(tmp_path, policy()) as world:
        world.suspensions.add_source("s1", "address is gone", "source health", 300)
        (message,) = world.submit()

        shown = await why(world, message)

        reason = shown.reasons[1]
        assert (reason.code, reason.where) == ("SourceIsUnhealthyAndSuspended", "s1")
        assert reason.author == "source health"


async def test_a_queue_at_its_rate_says_when_that_frees(tmp_path):
    async with admin_world(tmp_path, policy('max_message_rate="1/h"')) as world:
        _, message = world.submit(count=2)

        shown = await why(world, message)

        (reason,) = shown.reasons
        assert (reason.code, reason.knob, reason.value) == (
            "MessageRateThrottle",
            "max_message_rate",
            "1/h",
        )
        assert reason.until is not None


async def test_a_full_ready_queue_says_who_has_the_connections(tmp_path):
    script = policy(path="max_ready=2, connection_limit=1")
    async with admin_world(tmp_path, script) as world:
        world.gate.clear()
        messages = world.submit(count=4)
        await world.settle_down()
        world.give_sessions(world.only_ready())

        shown = await why(world, messages[-1])

        codes = [one.code for one in shown.reasons]
        assert codes[:2] == ["ReadyQueueWasFull", "ConnectionLimit"]
        assert shown.reasons[0].value == "2"
        assert shown.reasons[1].held_by == [f"{A} (1)"]


async def test_a_throttle_of_the_script_is_named_with_its_end(tmp_path):
    more = """
        @on("throttle_insert_ready_queue")
        def throttle_insert_ready_queue(msg):
            mta.make_throttle("t", "1/h").delay_message_if_throttled(msg)
    """
    async with admin_world(tmp_path, policy(more=more)) as world:
        _, message = world.submit(count=2)

        shown = await why(world, message)

        (reason,) = shown.reasons
        assert reason.code == "ThrottledByThrottleInsertReadyQueue"
        assert reason.until is not None


async def test_a_selection_rate_is_named(tmp_path):
    script = policy(path='source_selection_rate="1/h"')
    async with admin_world(tmp_path, script) as world:
        _, message = world.submit(count=2)

        shown = await why(world, message)

        assert [one.code for one in shown.reasons] == ["SourceSelectionThrottle"]


async def test_a_handler_that_fails_is_named(tmp_path):
    script = """
        @on("get_queue_config")
        def get_queue_config(domain, tenant, campaign, routing_domain):
            return 1 / 0
    """
    async with admin_world(tmp_path, script) as world:
        (message,) = world.submit()

        shown = await why(world, message)

        (reason,) = shown.reasons
        assert reason.code == "PolicyError"
        assert "get_queue_config" in reason.text and "division by zero" in reason.text
        assert reason.until is not None


async def test_a_message_that_is_being_sent_says_by_whom(tmp_path):
    async with admin_world(tmp_path, policy()) as world:
        world.world.carry_s = 60
        (message,) = world.submit()
        await world.settle_down()
        (session,) = world.give_sessions(world.only_ready())
        session._hand.take(message)
        session._enter("DeliveringMessage")

        shown = await why(world, message)

        assert (shown.place, [one.code for one in shown.reasons]) == ("sending", ["BeingSent"])


async def test_a_ready_queue_is_asked_about_by_its_name(tmp_path):
    async with admin_world(tmp_path, policy(path="connection_limit=1")) as world:
        world.gate.clear()
        world.submit(count=3)
        await world.settle_down()
        world.give_sessions(world.only_ready())

        shown = await world.act(WHY, ready_queue=A)

        assert shown.reasons[0].code == "ConnectionLimit"
        assert shown.reasons[-1].code == "BeingSent"


async def test_what_nothing_holds_says_so(tmp_path):
    async with admin_world(tmp_path) as world:
        world.queues.get("a.test", 0.0)

        shown = await world.act(WHY, queue_name="a.test")

        assert (shown.summary, shown.reasons) == ("nothing holds it", [])


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({}, Refusal.WRONG),
        ({"id": "00" * 16, "queue_name": "a.test"}, Refusal.WRONG),
        ({"id": "00" * 16}, Refusal.NOT_FOUND),
        ({"queue_name": "none"}, Refusal.NOT_FOUND),
        ({"ready_queue": "none"}, Refusal.NOT_FOUND),
    ],
)
async def test_what_is_not_there_is_refused(tmp_path, arguments, refusal):
    async with admin_world(tmp_path) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(WHY, **arguments)

        assert refused.value.refusal is refusal
