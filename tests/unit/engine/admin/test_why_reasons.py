"""Each thing that can hold a message, made true by itself with the parts of a real node: ``why``
names it, who ordered it, and when it ends.

``TOLD_BY`` is the table: which test makes an insert reason true. A reason that is added without a
line there fails ``test_no_reason_is_left_out``; what holds mail and is no insert reason follows in
the second half. Low memory and full disks are not among it: they close reception, and hold nothing
that is queued (tests/e2e/test_memory_limit.py).
"""

from __future__ import annotations

import ast
import asyncio
from datetime import datetime
from pathlib import Path

import pytest

import engine
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.explanations import WHY
from engine.admin.node_transfers import DRAIN, XFER
from engine.admin.ready_queues import ABORT_SESSION
from engine.admin.single_messages import HOLD, RELEASE
from engine.admin.source_suspensions import SUSPEND_SOURCE
from engine.model.errors import SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.schedule_window import Schedule
from engine.model.suspension import Criteria
from tests.fakes.queue_world import policy
from tests.fakes.scripted_peer import SILENCE, scripted_peer
from tests.fakes.transferring_node import QUEUE, TARGET, transferring_node
from tests.fakes.why_world import NOBODY, sending_to, why_world

#: It says how a message came into its queue, and holds nothing: another reason does.
PASSING = "passing"
#: Mail is given up for it at once: there is nothing left that could be asked about.
FINAL = "final"
#: The name is in records of other systems; nothing in this one makes it.
NEVER = "never"

TOLD_BY = {
    InsertReason.RECEIVED: PASSING,
    InsertReason.ENUMERATED: PASSING,
    InsertReason.ADMIN_REBIND: PASSING,
    InsertReason.DUE_TIME_WAS_REACHED: PASSING,
    InsertReason.SCHEDULED_FOR_LATER: "test_scheduled_for_later",
    InsertReason.READY_QUEUE_WAS_SUSPENDED: "test_ready_queue_suspended",
    InsertReason.MESSAGE_RATE_THROTTLE: "test_message_rate_of_the_path_too_slow_for_a_session",
    InsertReason.THROTTLED_BY_THROTTLE_INSERT_READY_QUEUE: "test_throttle_of_the_script",
    InsertReason.READY_QUEUE_WAS_FULL: "test_ready_queue_full",
    InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE: "test_no_route_because_the_dns_fails",
    InsertReason.MAX_READY_WAS_REDUCED_BY_CONFIG_UPDATE: "test_max_ready_lowered",
    InsertReason.MX_RESOLVED_TO_ZERO_HOSTS: "test_hosts_without_addresses",
    InsertReason.MX_WAS_SKIPPED: "test_hosts_that_are_skipped",
    InsertReason.TOO_MANY_CONNECTION_FAILURES: "test_too_many_connection_failures",
    InsertReason.CONNECTION_RATE_THROTTLE: "test_connection_rate_too_slow_for_a_session",
    InsertReason.LOGGED_TRANSIENT_FAILURE: "test_failed_attempt",
    InsertReason.DISPATCHER_DROP: "test_session_thrown_out_by_an_operator",
    InsertReason.SPOOL_UNHEALTHY: "test_spool_that_cannot_be_read",
    InsertReason.SOURCE_IS_UNHEALTHY_AND_SUSPENDED: "test_source_taken_out_for_its_health",
    InsertReason.SOURCE_SELECTION_THROTTLE: "test_selection_rate",
    InsertReason.THROTTLE_HANDLER_FAILED: "test_throttle_handler_that_fails",
    InsertReason.FAILED_DUE_TO_NULL_MX: FINAL,
    InsertReason.MX_WAS_PROHIBITED: FINAL,
    InsertReason.MESSAGE_GET_QUEUE_NAME_FAILED: NEVER,
    InsertReason.READY_QUEUE_WAS_DELAYED_DUE_TO_LOW_MEMORY: NEVER,
    InsertReason.TOO_MANY_RECIPIENTS: NEVER,
    InsertReason.READY_QUEUE_WAS_REAPED: NEVER,
    InsertReason.PEER_CLOSED_CONNECTION: NEVER,
    InsertReason.PROTOCOL_CHANGED: NEVER,
}
A = "s1->mx.a.test@smtp_client"


# -- the table ----------------------------------------------------------------------------------


def test_no_reason_is_left_out():
    assert set(TOLD_BY) == set(InsertReason)
    named = {name for name in TOLD_BY.values() if name not in (PASSING, FINAL, NEVER)}
    assert named <= set(globals()), "the table names tests that are not there"


def test_what_is_said_to_be_never_made_is_made_nowhere():
    made = set()
    for path in Path(engine.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "InsertReason":
                    made.add(node.attr)

    assert made == {reason.name for reason, told in TOLD_BY.items() if told != NEVER}


# -- helpers ------------------------------------------------------------------------------------


def peer_of(peer):
    return f"127.0.0.1:{peer.port}"


def codes(shown):
    return [one.code for one in shown.reasons]


def ends_in(world, instant):
    """Return in how many seconds an instant of an answer is."""
    return datetime.fromisoformat(instant).timestamp() - world.clock.wall()


def knob(reason):
    return reason.knob, reason.value


# -- insert reasons -----------------------------------------------------------------------------


async def test_scheduled_for_later(tmp_path):
    async with why_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)

        shown = await world.why(message)

        assert codes(shown) == ["ScheduledForLater"]
        assert 3590 < ends_in(world, shown.reasons[0].until) <= 3600


async def test_scheduled_by_a_schedule_of_its_own(tmp_path):
    async with why_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        world.queue("a.test").discard(world.queue("a.test").entries[message.spool_id])
        at = world.clock.wall() + 3600
        message.schedule = Schedule(first_attempt_at=at, expires_at=at - 60)
        world.store.update(message)
        world.promotion.add_waiting(message.spool_id, "a.test", message.due_mono)

        shown = await world.why(message)

        first, second = shown.reasons
        assert (first.code, first.knob, second.code) == (
            "ScheduledForLater",
            "schedule",
            "Expiration",
        )
        assert "first_attempt" in first.value
        assert 3530 < ends_in(world, second.until) <= 3540


async def test_ready_queue_suspended(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        script = sending_to(peer_of(peer), path="connection_limit=1")
        async with why_world(tmp_path, script) as world:
            first, message = world.submit(count=2)
            await world.sleep(1)
            way = world.only_ready().name
            world.suspend_ready(way, duration_s=600)

            shown = await world.why(message)

            held, suspended = shown.reasons
            assert (held.code, suspended.code) == ("NoEligibleSource", "ReadyQueueWasSuspended")
            assert (suspended.where, suspended.author) == (way, "tsa")
            assert "blocked" in suspended.text
            assert 590 < ends_in(world, suspended.until) <= 600
            assert codes(await world.why(first)) == ["BeingSent"]


async def test_message_rate_of_the_path_too_slow_for_a_session(tmp_path):
    async with scripted_peer() as peer:
        script = sending_to(peer_of(peer), path='max_message_rate="1/h", idle_timeout="1m"')
        async with why_world(tmp_path, script) as world:
            _, message = world.submit(count=2)

            shown = await world.why(message)

            (reason,) = shown.reasons
            assert reason.code == "MessageRateThrottle"
            assert knob(reason) == ("max_message_rate", "1/h")
            assert 3500 < ends_in(world, reason.until) <= 3600


async def test_message_rate_that_a_session_waits_for(tmp_path):
    async with scripted_peer() as peer:
        rates = (
            'additional_message_rate_throttles={"all": "1/m"}, idle_timeout="5m",'
            " connection_limit=1"
        )
        async with why_world(tmp_path, sending_to(peer_of(peer), path=rates)) as world:
            _, sending, ready = world.submit(count=3)

            first, second = await world.why(sending), await world.why(ready)

            assert (first.place, second.place) == ("sending", "ready")
            for shown, code in ((first, "BeingSent"), (second, "ConnectionLimit")):
                assert set(codes(shown)) == {"MessageRateThrottle", code}
                (rate,) = [one for one in shown.reasons if one.code != code]
                assert knob(rate) == ("additional_message_rate_throttles", "all: 1/m")
                assert 50 < ends_in(world, rate.until) <= 60
            assert "may not send yet" in first.summary


async def test_message_rate_of_the_queue(tmp_path):
    async with scripted_peer() as peer:
        async with why_world(
            tmp_path, sending_to(peer_of(peer), 'max_message_rate="1/h"')
        ) as world:
            _, message = world.submit(count=2)

            shown = await world.why(message)

            (reason,) = shown.reasons
            assert (reason.code, reason.where) == ("MessageRateThrottle", "a.test")
            assert knob(reason) == ("max_message_rate", "1/h")
            assert 3590 < ends_in(world, reason.until) <= 3600


async def test_throttle_of_the_script(tmp_path):
    more = """
        @on("throttle_insert_ready_queue")
        def throttle_insert_ready_queue(msg):
            mta.make_throttle("t", "1/h").delay_message_if_throttled(msg)
    """
    async with scripted_peer() as peer:
        async with why_world(tmp_path, sending_to(peer_of(peer), more=more)) as world:
            _, message = world.submit(count=2)

            shown = await world.why(message)

            (reason,) = shown.reasons
            assert reason.code == "ThrottledByThrottleInsertReadyQueue"
            assert reason.knob == "throttle_insert_ready_queue"
            assert 3500 < ends_in(world, reason.until) <= 3700


async def test_throttle_handler_that_fails(tmp_path):
    more = """
        @on("throttle_insert_ready_queue")
        def throttle_insert_ready_queue(msg):
            1 / 0
    """
    async with why_world(tmp_path, sending_to(NOBODY, more=more)) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        (reason,) = shown.reasons
        assert (reason.code, reason.knob) == (
            "ThrottleHandlerFailed",
            "throttle_insert_ready_queue",
        )
        assert 0 < ends_in(world, reason.until) <= 30


async def test_ready_queue_full(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        script = sending_to(peer_of(peer), path="max_ready=2, connection_limit=1")
        async with why_world(tmp_path, script) as world:
            messages = world.submit(count=5)

            shown = await world.why(messages[-1])

            way = world.only_ready().name
            assert codes(shown) == ["ReadyQueueWasFull", "ConnectionLimit", "BeingSent"]
            full, limit, session = shown.reasons
            assert (full.where, *knob(full)) == (way, "max_ready", "2")
            assert (limit.knob, limit.held_by) == ("connection_limit", [f"{way} (1)"])
            assert "127.0.0.1" in session.text


async def test_max_ready_lowered(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        script = sending_to(peer_of(peer), path="max_ready=9, connection_limit=1")
        async with why_world(tmp_path, script) as world:
            messages = world.submit(count=5)
            await world.sleep(1)
            world.load(script.replace("max_ready=9", "max_ready=2"))
            await world.ready.refresh_path(world.only_ready())

            shown = await world.why(messages[-1])

            entry = world.queue("a.test").entries[messages[-1].spool_id]
            assert entry.context & InsertReason.MAX_READY_WAS_REDUCED_BY_CONFIG_UPDATE
            assert codes(shown)[:2] == ["ReadyQueueWasFull", "ConnectionLimit"]
            assert knob(shown.reasons[0]) == ("max_ready", "2")


async def test_no_route_because_the_dns_fails(tmp_path):
    async with why_world(tmp_path, policy('retry_interval="20m"'), servfail=("a.test",)) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        route, attempt = shown.reasons
        assert (route.code, attempt.code) == (
            "FailedToInsertIntoReadyQueue",
            "LoggedTransientFailure",
        )
        assert "no route to a.test" in attempt.text
        assert knob(attempt) == ("retry_interval", "1200s")
        assert 900 < ends_in(world, attempt.until) < 1500


async def test_an_error_of_ours_on_the_way(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        (message,) = world.submit(due_in_s=5)
        world.admin.world.promotion._ways.find = None

        shown = await world.why(message, after_s=7)

        (reason,) = shown.reasons
        assert (reason.code, reason.where) == ("InternalError", "a.test")
        assert 0 < ends_in(world, reason.until) <= 60


async def test_hosts_without_addresses(tmp_path):
    async with why_world(tmp_path, policy('retry_interval="20m"')) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        assert codes(shown) == ["MxResolvedToZeroHosts", "LoggedTransientFailure"]
        assert "no usable address" in shown.reasons[1].text
        assert shown.reasons[1].where == A
        assert 900 < ends_in(world, shown.reasons[0].until) < 1500


async def test_hosts_that_are_skipped(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY, path='skip_hosts=["127.0.0.1"]')) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        assert codes(shown) == ["MxWasSkipped", "LoggedTransientFailure"]
        assert shown.reasons[0].knob == "skip_hosts"
        assert ends_in(world, shown.reasons[0].until) > 0


async def test_too_many_connection_failures(tmp_path):
    path = "consecutive_connection_failures_before_delay=0, connection_limit=1"
    async with why_world(tmp_path, sending_to(NOBODY, path=path)) as world:
        messages = world.submit(count=5)

        shown = await world.why(messages[-1])

        first, attempt = shown.reasons
        assert first.code == "TooManyConnectionFailures"
        assert first.knob == "consecutive_connection_failures_before_delay"
        assert attempt.code == "LoggedTransientFailure"
        assert "too many consecutive connection failures" in attempt.text
        assert ends_in(world, attempt.until) > 0


async def test_connection_rate_too_slow_for_a_session(tmp_path):
    async with scripted_peer() as peer:
        path = 'max_connection_rate="1/h", max_deliveries_per_connection=1, idle_timeout="1m"'
        async with why_world(tmp_path, sending_to(peer_of(peer), path=path)) as world:
            messages = world.submit(count=2)

            shown = await world.why(messages[-1])

            (reason,) = shown.reasons
            assert reason.code == "ConnectionRateThrottle"
            assert knob(reason) == ("max_connection_rate", "1/h")
            assert 3500 < ends_in(world, reason.until) <= 3600


async def test_connection_rate_that_a_session_waits_for(tmp_path):
    async with scripted_peer() as peer:
        path = (
            'max_connection_rate="1/min", max_deliveries_per_connection=1, connection_limit=1,'
            ' idle_timeout="5m"'
        )
        async with why_world(tmp_path, sending_to(peer_of(peer), path=path)) as world:
            messages = world.submit(count=4)

            shown = await world.why(messages[-1])

            assert codes(shown) == ["ConnectionLimit", "ConnectionRateThrottle"]
            assert knob(shown.reasons[1]) == ("max_connection_rate", "1/m")
            assert 50 < ends_in(world, shown.reasons[1].until) <= 60


async def test_failed_attempt(tmp_path):
    async with scripted_peer({"dot": "451 4.7.1 greylisted"}) as peer:
        script = sending_to(peer_of(peer), 'retry_interval="20m"')
        async with why_world(tmp_path, script) as world:
            (message,) = world.submit()

            shown = await world.why(message)

            (reason,) = shown.reasons
            assert shown.summary == "attempt 1 failed: 451 4.7.1 greylisted"
            assert (reason.code, reason.where) == (
                "LoggedTransientFailure",
                world.only_ready().name,
            )
            assert knob(reason) == ("retry_interval", "1200s")
            assert -5 < ends_in(world, reason.since) < 0 < ends_in(world, reason.until) < 1500


async def test_session_thrown_out_by_an_operator(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        async with why_world(tmp_path, sending_to(peer_of(peer))) as world:
            (message,) = world.submit()
            await world.sleep(1)
            (session,) = world.dispatching.dispatchers.values()
            way = world.only_ready().name
            await world.act(ABORT_SESSION, queue_name=way, session_id=session.session_id)

            shown = await world.why(message, after_s=0.1)

            (reason,) = shown.reasons
            assert reason.code == "DispatcherDrop"
            assert 0 < ends_in(world, reason.until) <= 60


async def test_spool_that_cannot_be_read(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        async with why_world(tmp_path, sending_to(peer_of(peer))) as world:
            load_body = world.store.load_body

            def fail(body_id):
                raise SpoolUnavailableError("the disk is away")

            world.store.load_body = fail
            (message,) = world.submit(due_in_s=1)
            shown = await world.why(message, after_s=3)
            world.store.load_body = load_body

            (reason,) = shown.reasons
            assert (reason.code, reason.where) == ("SpoolUnhealthy", "a.test")
            assert 0 < ends_in(world, reason.until) <= 60


async def test_spool_that_cannot_be_written(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        world.store.is_away = True
        (message,) = world.submit()
        await world.sleep(1)
        queue = await world.why_of(queue_name="a.test")
        world.store.is_away = False
        world.store.trouble = lambda: "write failed: EIO"

        shown = await world.why(message)

        assert codes(queue) == codes(shown) == ["SpoolUnhealthy"]
        assert "the disk is away" in queue.summary and "EIO" in shown.summary
        assert shown.reasons[0].until is not None
        del world.store.trouble


async def test_source_taken_out_for_its_health(tmp_path):
    rule = 'suspend_when_unplumbed={"trigger": "Immediate", "duration": "10m"}'
    script = sending_to(NOBODY).replace(
        "mta.make_egress_source(name=name)",
        f'mta.make_egress_source(name=name, source_address="192.0.2.7", {rule})',
    )
    async with why_world(tmp_path, script) as world:
        first, message = world.submit(count=2)

        shown = await world.why(message)

        held, out = [one for one in shown.reasons if one.code != "LoggedTransientFailure"]
        assert (held.code, out.code) == ("NoEligibleSource", "SourceIsUnhealthyAndSuspended")
        assert (out.where, out.author) == ("s1", "source health")
        assert "192.0.2.7" in out.text
        assert 590 < ends_in(world, out.until) <= 600


async def test_source_taken_out_by_an_operator(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        await world.act(SUSPEND_SOURCE, name="s1", reason="new address", duration="10m")
        (message,) = world.submit()

        shown = await world.why(message)

        held, out = shown.reasons
        assert (held.code, out.code) == ("NoEligibleSource", "SourceIsUnhealthyAndSuspended")
        assert (out.where, out.author) == ("s1", "ann")
        assert "new address" in out.text
        assert 590 < ends_in(world, out.until) <= 600


async def test_selection_rate(tmp_path):
    async with scripted_peer() as peer:
        script = sending_to(peer_of(peer), path='source_selection_rate="1/h"')
        async with why_world(tmp_path, script) as world:
            _, message = world.submit(count=2)

            shown = await world.why(message)

            (reason,) = shown.reasons
            assert (reason.code, reason.where) == ("SourceSelectionThrottle", "p")
            assert knob(reason) == ("source_selection_rate", "s1: 1/h")
            assert 3590 < ends_in(world, reason.until) <= 3600


@pytest.mark.parametrize(
    ("domain", "script"),
    [
        ("null.test", policy()),
        ("a.test", sending_to(NOBODY, path='prohibited_hosts=["127.0.0.1"]')),
    ],
)
async def test_what_is_given_up_at_once_is_not_there_to_be_asked_about(tmp_path, domain, script):
    script = script.replace("prohibited_hosts=[], ", "") if '127.0.0.1"]' in script else script
    async with why_world(tmp_path, script) as world:
        (message,) = world.submit(domain)

        with pytest.raises(OperationRefusedError) as refused:
            await world.why(message)

        assert refused.value.refusal is Refusal.NOT_FOUND
        assert world.kinds() == {"Bounce": 1}


# -- what holds mail and is no insert reason ----------------------------------------------------


async def test_nothing(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        world.queues.get("a.test", 0.0)

        shown = await world.why_of(queue_name="a.test")

        assert (shown.summary, shown.reasons) == ("nothing holds it", [])


@pytest.mark.parametrize("author", ["ann", "tsa"])
async def test_suspended_queue(tmp_path, author):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        world.suspensions.add_scheduled(Criteria(domain="a.test"), "spam run", author, 600)
        (message,) = world.submit()

        shown = await world.why(message)

        (reason,) = shown.reasons
        assert (reason.code, reason.where, reason.author) == ("QueueSuspended", "a.test", author)
        assert "spam run" in reason.text
        assert 590 < ends_in(world, reason.until) <= 600
        assert codes(await world.why_of(queue_name="a.test")) == ["QueueSuspended"]


async def test_suspension_that_was_lifted_a_moment_ago(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        async with why_world(tmp_path, sending_to(peer_of(peer))) as world:
            directive = world.suspend(domain="a.test")
            messages = world.submit(count=20)
            await world.sleep(1)
            world.suspensions.cancel(directive.id)

            shown = await world.why(messages[-1])

            (reason,) = shown.reasons
            assert reason.code == "Released"
            assert 0 < ends_in(world, reason.until) <= 60


async def test_bounced_queue_whose_mail_cannot_be_read(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        (message,) = world.submit(due_in_s=300)
        await world.sleep(1)
        world.store.is_away = True
        world.bounce(domain="a.test")
        await world.sleep(1)
        world.store.is_away = False

        shown = await world.why(message, after_s=0.1)

        assert codes(shown) == ["AdminBounce", "ScheduledForLater"]
        assert (shown.reasons[0].author, shown.reasons[0].where) == ("ann", "a.test")
        assert "purged" in shown.summary
        assert 290 < ends_in(world, shown.reasons[0].until) <= 300


@pytest.mark.parametrize("duration", [None, "10m"])
async def test_held_by_an_operator(tmp_path, duration):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        (message,) = world.submit(due_in_s=5)
        await world.act(HOLD, id=message.id, reason="evidence", duration=duration)

        shown = await world.why(message, after_s=10)

        (reason,) = shown.reasons
        assert (reason.code, reason.author) == ("HeldByOperator", "ann")
        assert "evidence" in reason.text
        assert -11 < ends_in(world, reason.since) < -9
        if duration is None:
            assert reason.until is None
        else:
            assert 580 < ends_in(world, reason.until) < 600


async def test_hold_comes_before_the_schedule_that_goes_on_after_it(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        (message,) = world.submit(due_in_s=3600)
        await world.act(HOLD, id=message.id, reason="evidence")
        both = await world.why(message)
        await world.act(RELEASE, id=message.id)
        one = await world.why(message)

        assert codes(both) == ["HeldByOperator", "ScheduledForLater"]
        assert codes(one) == ["ScheduledForLater"]
        assert 3590 < ends_in(world, both.reasons[1].until) <= 3600


async def test_pool_without_sources(tmp_path):
    async with why_world(tmp_path, policy(pool="[]")) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        assert codes(shown) == ["NoEligibleSource"]
        assert shown.summary == "pool p has no sources"


@pytest.mark.parametrize(
    "event", ["get_queue_config", "get_egress_pool", "get_egress_source", "get_egress_path"]
)
async def test_handler_that_fails(tmp_path, event):
    head, _, tail = policy().partition(f'@on("{event}")\n')
    name, _, rest = tail.partition("\n    return")
    script = f'{head}@on("{event}")\n{name}\n    1 / 0\n    return{rest}'
    async with why_world(tmp_path, script) as world:
        (message,) = world.submit()

        shown = await world.why(message)

        (reason,) = shown.reasons
        assert (reason.code, reason.where) == ("PolicyError", "a.test")
        assert event in reason.text and "division by zero" in reason.text
        assert 50 < ends_in(world, reason.until) <= 60


async def test_connection_limit_that_others_have_taken(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        script = sending_to(peer_of(peer), path='additional_connection_limits={"all": 1}')
        script = script.replace('[{"name": "s1"}]', '[{"name": "s1"}, {"name": "s2"}]')
        async with why_world(tmp_path, script) as world:
            world.submit(count=6)
            await world.sleep(5)
            (free,) = [way for way in world.ready if way.limited_by and not way.dispatchers]
            (taken,) = [way for way in world.ready if way.dispatchers]

            shown = await world.why(free.messages[0])

            reason = shown.reasons[0]
            assert (shown.place, reason.code) == ("ready", "ConnectionLimit")
            assert knob(reason) == ("additional_connection_limits", "all: 1")
            assert reason.held_by == [f"{taken.name} (1)"]
            assert ends_in(world, reason.since) < -3


async def test_redis_that_is_away_is_told_with_the_limit(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY, 'max_message_rate="1/h"')) as world:
        status = type(world.sharing)
        world.admin.sharing = status(configured=True, shared=False, nodes=2, trouble="no route")
        _, message = world.submit(count=2)

        shown = await world.why(message)

        assert shown.reasons[0].code == "MessageRateThrottle"
        assert "it is alone: no route" in shown.summary


async def test_pause_after_a_connection_that_failed(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY, path="connection_limit=1")) as world:
        world.submit(count=40)
        await world.sleep(0.01, step_s=0.001)
        way = world.only_ready()
        while not way.failures:
            await asyncio.sleep(0.001)

        shown = await world.why_of(ready_queue=way.name)

        reason = shown.reasons[0]
        assert reason.code == "ConnectionFailures"
        assert reason.knob == "consecutive_connection_failures_before_delay"
        assert reason.until is not None


async def test_session_with_a_host_that_says_nothing(tmp_path):
    async with scripted_peer({"banner": SILENCE}) as peer:
        async with why_world(
            tmp_path, sending_to(peer_of(peer), path="connection_limit=1")
        ) as world:
            first, second = world.submit(count=2)

            sending, waiting = await world.why(first), await world.why(second)

            assert (sending.place, codes(sending)) == ("sending", ["BeingSent"])
            assert "AttemptingConnection" in sending.summary and peer_of(peer) in sending.summary
            assert -5 < ends_in(world, sending.reasons[0].since) < 0
            assert (waiting.place, codes(waiting)) == ("ready", ["ConnectionLimit", "BeingSent"])


async def test_session_that_could_not_be_started(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        world.admin.world.start_dispatcher = None
        (message,) = world.submit()

        shown = await world.why(message)

        assert (shown.place, codes(shown)) == ("ready", ["NoSession"])


async def test_message_of_a_spool_that_is_still_read(tmp_path):
    async with why_world(tmp_path, sending_to(NOBODY)) as world:
        (message,) = world.submit(due_in_s=300)
        queue = world.queue("a.test")
        entry = queue.entries[message.spool_id]
        queue.discard(entry)
        world.transfers.drain.is_recovering = True

        shown = await world.why(message)
        queue.add(entry)

        assert (shown.place, codes(shown)) == ("elsewhere", ["Recovering"])


async def test_message_about_which_a_handler_is_asked(tmp_path):
    more = """
        @on("message_requeued")
        async def message_requeued(msg, reply, reasons, counted, delay):
            await mta.pause(60)
    """
    async with scripted_peer({"dot": "451 4.7.1 greylisted"}) as peer:
        async with why_world(tmp_path, sending_to(peer_of(peer), more=more)) as world:
            (message,) = world.submit()

            shown = await world.why(message)

            assert codes(shown) == ["BeingSent"]


@pytest.mark.parametrize("act", ["transfer", "drain"])
async def test_waits_to_be_transferred(tmp_path, act):
    async with transferring_node(tmp_path) as node:
        (message,) = node.submit(due_in_s=600)
        await node.act(XFER if act == "transfer" else DRAIN, target=TARGET, reason="disk is full")
        await node.sleep(2)

        shown = await node.act(WHY, id=message.id)

        assert shown.queue_name == QUEUE
        (ordered,) = [one for one in shown.reasons if one.code == "TransferOrdered"]
        assert ordered.author == "ann"
        assert TARGET in ordered.text and "disk is full" in ordered.text
