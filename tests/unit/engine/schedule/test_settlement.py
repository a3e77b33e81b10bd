"""What becomes of a message after an attempt."""

import asyncio
import re
from datetime import datetime
from types import SimpleNamespace

import msgspec
import pytest

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.hand import Hand
from engine.deliver.verdict import judge_reply
from engine.model.circumstances import Circumstances
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.reply import make_reply
from engine.model.schedule_window import parse_schedule
from engine.model.suspension import Criteria
from engine.model.transfer_state import assigned_target, restore
from engine.model.transfer_target import parse_target
from engine.records.record_selection import make_selection
from engine.schedule import settlement
from engine.schedule.settlement import MOVE_PAUSE_S, MOVES_AT_ONCE, SPREAD_S
from tests.fakes.queue_world import policy, queue_world

WHERE = Circumstances("s1->mx@smtp_client", "mx", "s1", "ESMTP")
OK = make_reply(250, "2.0.0 ok")
LATER = make_reply(450, "4.2.0 later")
NO = make_reply(550, "5.1.1 nobody")


def outcome(recipient, reply):
    return RecipientOutcome(recipient, reply, "", judge_reply(reply))


def in_hand(world, *recipients, age_s=0.0):
    """Return a stored message that is in a dispatcher's hand."""
    world.promotion.stopping = True
    (message,) = world.submit(age_s=age_s)
    world.promotion.stopping = False
    message.recipients = [f"{name}@a.test" for name in recipients or "r"]
    world.store.update(message)
    world.queues.get("a.test", world.clock.mono())
    world.gate.clear()
    return message


def waits_s(world, message):
    return world.stored(message).due_mono - world.clock.mono()


# -- outcomes


async def test_a_delivered_message_leaves_the_spool_with_one_record(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        await world.settlement.settle(message, [outcome("r@a.test", OK)], WHERE, True)

        assert not world.store.envelopes
        (record,) = world.records(RecordKind.DELIVERY)
        assert record.recipient == "r@a.test"
        assert record.egress_source == "s1"


async def test_a_failed_message_leaves_the_spool(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        await world.settlement.settle(message, [outcome("r@a.test", NO)], WHERE, True)

        assert not world.store.envelopes
        assert world.records(RecordKind.BOUNCE)[0].response.code == 550


async def test_finished_recipients_leave_the_envelope_and_the_others_are_tried_again(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, "a", "b", "c")
        outcomes = [outcome("a@a.test", OK), outcome("b@a.test", LATER), outcome("c@a.test", NO)]
        await world.settlement.settle(message, outcomes, WHERE, True)

        stored = world.stored(message)
        assert stored.recipients == ["b@a.test"]
        assert stored.attempts == 1
        assert waits_s(world, message) > 1000
        assert world.kinds() == {"Delivery": 1, "TransientFailure": 1, "Bounce": 1}


async def test_recipients_with_the_same_end_share_a_record(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, "a", "b", "c")
        outcomes = [outcome("a@a.test", OK), outcome("b@a.test", OK), outcome("c@a.test", LATER)]
        await world.settlement.settle(message, outcomes, WHERE, True)

        assert world.kinds() == {"Delivery": 1, "TransientFailure": 1}
        assert world.records(RecordKind.DELIVERY)[0].recipient == ["a@a.test", "b@a.test"]


async def test_recipients_nobody_tried_are_tried_again(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, "a", "b")
        await world.settlement.settle(message, [outcome("a@a.test", OK)], WHERE, True)

        assert world.stored(message).recipients == ["b@a.test"]
        assert len(world.queue("a.test")) == 1


async def test_what_is_not_final_is_noted_and_stays_in_hand(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, "a", "b")
        await world.settlement.settle(message, [outcome("a@a.test", OK)], WHERE, False)

        assert world.stored(message).recipients == ["b@a.test"]
        assert world.stored(message).attempts == 0
        assert len(world.queue("a.test")) == 0
        world.store.remove(message)


async def test_a_record_tells_the_attempts_before_this_one(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        message.attempts = 3
        await world.settlement.settle(message, [outcome("r@a.test", LATER)], WHERE, True)

        assert world.records(RecordKind.TRANSIENT_FAILURE)[0].num_attempts == 3
        assert world.stored(message).attempts == 4


# -- going back


async def test_an_attempt_count_is_stored_before_the_message_waits(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        assert world.stored(message).attempts == 1
        assert 1169 < waits_s(world, message) < 1231


async def test_what_is_given_back_counts_no_attempt_and_is_spread(tmp_path):
    async with queue_world(tmp_path) as world:
        messages = [in_hand(world) for _ in range(30)]
        for message in messages:
            world.settlement.put_back(message, InsertReason.DISPATCHER_DROP)

        waits = [waits_s(world, message) for message in messages]
        assert all(0 <= wait <= SPREAD_S for wait in waits)
        assert max(waits) - min(waits) > SPREAD_S / 3
        assert {world.stored(message).attempts for message in messages} == {0}


async def test_what_is_given_back_with_a_delay_waits_that_long(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        world.settlement.put_back(message, InsertReason.MESSAGE_RATE_THROTTLE, 42.0)

        assert waits_s(world, message) == pytest.approx(42, abs=0.1)
        assert "MessageRateThrottle" in world.records(RecordKind.DELAYED)[0].response.content


async def test_the_message_waits_for_its_window(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        day = "Sun,Mon,Tue,Wed,Thu,Fri,Sat".split(",")
        message.schedule = parse_schedule(
            {"dow": ",".join(day), "start": "00:00:00", "end": "00:00:01", "tz": "UTC"}
        )
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        # Two clocks are read one after the other: a microsecond either way is theirs.
        assert (world.clock.wall_of(world.stored(message).due_mono) + 0.1) % 86400 < 1.5


async def test_expiry_of_a_schedule_comes_before_the_maximum_age(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        message.schedule = parse_schedule({"expires": "2000-01-01T00:00:00Z"})
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        assert world.kinds() == {"Expiration": 1}
        (record,) = world.records(RecordKind.EXPIRATION)
        assert record.response.content.endswith(
            ", the expiration of the message is reached at 2000-01-01T00:00:00Z"
        )
        assert not world.store.envelopes


# -- the handler


def asks(deed, kind="def"):
    return policy(
        more=f"""
@on("message_requeued")
{kind} requeued(msg, response, reasons, attempt_counted, delay):
    {deed}
"""
    )


async def test_a_handler_hears_why_and_for_how_long(tmp_path):
    deed = "mta.tell(f'{response} {reasons} {attempt_counted} {delay > 1000}')"
    async with queue_world(tmp_path, asks(deed)) as world:
        message = in_hand(world)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        assert world.told == [
            "450 4.2.0 later ['Received', 'LoggedTransientFailure'] True True",
        ]


async def test_a_handler_that_moves_a_message_sends_it_on_at_once(tmp_path):
    async with queue_world(tmp_path, asks("msg.set_meta('queue', 't@b.test')")) as world:
        message = in_hand(world)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)
        await world.settle_down()

        assert world.queues.find("t@b.test") is not None
        assert world.stored(message).attempts == 1
        assert world.stored(message).meta == {"queue": "t@b.test"}
        assert len(world.only_ready().messages) == 1


async def test_a_message_whose_first_recipient_is_done_is_not_taken_for_moved(tmp_path):
    async with queue_world(tmp_path, asks("pass")) as world:
        message = in_hand(world, "a")
        message.recipients = ["x@a.test", "y@b.test"]
        outcomes = [outcome("x@a.test", OK), outcome("y@b.test", LATER)]
        await world.settlement.settle(message, outcomes, WHERE, True)

        assert waits_s(world, message) > 1000
        assert world.stored(message).attempts == 1


async def test_a_handler_that_refuses_fails_the_message(tmp_path):
    async with queue_world(tmp_path, asks("mta.reject(451, '4.7.1 enough')")) as world:
        message = in_hand(world)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        assert not world.store.envelopes
        assert world.kinds() == {"Bounce": 1}


@pytest.mark.parametrize(
    "deed",
    ["msg.set_meta('tenant', 'x'); 1 / 0", "msg.set_meta('queue', 't@')", "await mta.pause(900)"],
)
async def test_a_handler_that_fails_changes_nothing(tmp_path, deed):
    async with queue_world(tmp_path, asks(deed, "async def")) as world:
        message = in_hand(world)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)
        await world.settle_down()

        assert world.stored(message).attempts == 1
        assert world.stored(message).meta == {}
        assert len(world.queue("a.test")) == 1


async def test_a_message_is_put_back_when_its_handler_is_cut_off(tmp_path):
    async with queue_world(tmp_path, asks("await mta.pause(5)", "async def")) as world:
        message = in_hand(world)
        task = world.supervisor.start(
            world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)
        )
        await asyncio.sleep(1)
        task.cancel()
        await world.settle_down()

        assert world.stored(message).attempts == 1
        assert len(world.queue("a.test")) == 1


@pytest.mark.parametrize("age_s", [0.0, 604_700.0], ids=["young", "too old for another try"])
async def test_a_session_that_is_cut_off_in_the_handler_ends_its_message_once(tmp_path, age_s):
    async with queue_world(tmp_path, asks("await mta.pause(5)", "async def")) as world:
        message = in_hand(world, age_s=age_s)
        ports = {"settle": world.settlement.settle, "give_back": world.settlement.put_back}
        hand = Hand(SimpleNamespace(**ports, clock=world.clock))
        hand.take(message)
        task = world.supervisor.start(hand.settle(message, [outcome("r@a.test", LATER)], WHERE))
        await asyncio.sleep(1)
        task.cancel()
        await world.settle_down()
        hand.give_back(InsertReason.DISPATCHER_DROP)

        if age_s:
            assert not world.store.envelopes
            assert len(world.records(RecordKind.EXPIRATION)) == 1
        else:
            assert waits_s(world, message) > 1000
            assert world.stored(message).attempts == 1


async def test_a_message_that_is_moved_to_and_fro_does_not_spin(tmp_path):
    script = policy(
        more="""
@on("message_requeued")
def requeued(msg, response, reasons, attempt_counted, delay):
    there = msg.queue_name == "bad.test"
    msg.set_meta("queue", "gone.test" if there else "bad.test")
"""
    )
    async with queue_world(tmp_path, script, servfail=("bad.test",)) as world:
        world.submit("bad.test")
        await world.sleep(3 * MOVE_PAUSE_S)

        assert MOVES_AT_ONCE < len(world.records(RecordKind.TRANSIENT_FAILURE)) < 2 * MOVES_AT_ONCE


# -- endings


async def test_an_expired_message_says_so(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, age_s=604_000)
        await world.settlement.defer(message, LATER, InsertReason.LOGGED_TRANSIENT_FAILURE)

        (record,) = world.records(RecordKind.EXPIRATION)
        enhanced = record.response.enhanced_code
        assert (record.response.code, enhanced.klass, enhanced.subject, enhanced.detail) == (
            551,
            5,
            4,
            7,
        )
        due, limit = re.findall(r"at ([0-9T:-]+Z)", record.response.content)
        reached_at = datetime.fromisoformat(limit).timestamp() - message.created_at
        # The text has whole seconds.
        assert reached_at == pytest.approx(604_800, abs=1)
        assert due > limit
        assert not world.store.envelopes


async def test_a_whole_message_fails_with_one_reply_whatever_its_code(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world, "a", "b")
        await world.settlement.fail(message, LATER)

        assert world.kinds() == {"Bounce": 1}
        assert not world.store.envelopes


async def test_a_held_message_is_recorded_once(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        world.settlement.hold(message, "suspended: why (by whom)")
        world.settlement.hold(message, "suspended: why (by whom)")

        assert world.kinds() == {"TransientFailure": 1}
        assert world.stored(message).flags == message.flags
        world.store.remove(message)


async def test_a_damaged_message_is_recorded_and_set_aside(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        world.settlement.drop_damaged(message, "no body")

        assert world.records(RecordKind.BOUNCE)[0].response.code == 554
        assert not world.store.envelopes


# -- what records and metrics say


@pytest.mark.parametrize("end", ["delivered", "expired", "bounced"])
async def test_headers_are_in_the_last_record_of_a_message_that_was_only_on_disk(tmp_path, end):
    async with queue_world(tmp_path) as world:
        world.sink.selection = make_selection(headers=["X-*", "Subject"])
        world.recorder.load_headers = lambda message: world.store.load_body(message.body_id)
        message = in_hand(world)
        message.data = None
        message.prefix = b"X-Prefix: once\r\n"

        if end == "delivered":
            await world.settlement.settle(message, [outcome("r@a.test", OK)], WHERE, True)
        elif end == "expired":
            world.settlement.expire(message, world.clock.mono())
        else:
            directive = world.bounces.add(Criteria(), "asked to", "me", 60.0)
            world.settlement.bounce(message, directive)

        headers = world.sink.records[-1].headers
        assert headers["X-Prefix"] == "once"
        assert "Subject" in headers


async def test_the_queue_names_the_provider_where_the_path_does_not(tmp_path):
    async with queue_world(tmp_path, policy(config='provider_name="big"')) as world:
        (message,) = world.submit()
        await asyncio.sleep(1)

        assert world.records(RecordKind.DELIVERY)[0].provider_name == "big"


async def test_outcomes_are_counted_by_service_provider_and_source(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        message.pool = "p1"
        await world.settlement.settle(message, [outcome("r@a.test", OK)], WHERE, True)
        counter = world.metrics.counter

        assert counter("total_messages_delivered").labels("smtp_client").value == 1
        by_queue = counter("total_messages_delivered").labels("smtp_client:s1->mx@smtp_client")
        assert by_queue.value == 1
        by_source = counter("total_messages_delivered_by_provider_and_source")
        assert by_source.labels("mx", "s1", "p1").value == 1

        world.settlement.forget_series(["s1->mx@smtp_client", "other"])
        text = "".join(world.metrics.iter_text())
        assert 'total_messages_delivered{service="smtp_client"} 1' in text
        assert "s1->mx@smtp_client" not in text
        assert 'provider="mx"' not in text


async def test_a_provider_that_the_operator_names_is_counted_for_good(tmp_path):
    async with queue_world(tmp_path) as world:
        where = msgspec.structs.replace(WHERE, provider_name="big")
        message = in_hand(world)
        await world.settlement.settle(message, [outcome("r@a.test", OK)], where, True)
        world.settlement.forget_series([WHERE.ready_queue])

        text = "".join(world.metrics.iter_text())
        assert 'total_messages_delivered_by_provider{provider="big"} 1' in text
        assert "s1->mx@smtp_client" not in text


async def test_counters_of_domains_that_have_no_ready_queue_do_not_grow_without_end(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(settlement, "CHILDREN_MAX", 20)
    async with queue_world(tmp_path) as world:
        for number in range(100):
            message = in_hand(world)
            message.queue_name = f"d{number}.test"
            world.settlement.expire(message, world.clock.mono())

        assert len(world.metrics.counter("total_messages_fail_by_provider")) <= 22
        assert world.metrics.counter("total_messages_fail").labels("smtp_client").value == 100


async def test_mail_given_up_counts_as_failed(tmp_path):
    async with queue_world(tmp_path) as world:
        world.settlement.expire(in_hand(world), world.clock.mono())

        failed = world.metrics.counter("total_messages_fail").labels("smtp_client")
        assert failed.value == 1


# -- transfers


NODE = parse_target("http://10.0.0.2:8000")
TO_NODE = Circumstances("s1->n@xfer", "n", "s1", "Xfer")
TAKEN = make_reply(200, "transferred to http://10.0.0.2:8000/ as 1")


async def test_what_another_node_has_leaves_the_spool_with_a_record_of_its_own(tmp_path):
    async with queue_world(tmp_path) as world:
        message = in_hand(world)
        await world.settlement.settle(message, [outcome("r@a.test", TAKEN)], TO_NODE, True)

        assert not world.store.envelopes
        assert world.kinds() == {"XferOut": 1}
        taken = world.metrics.counter("total_messages_delivered").labels("xfer").value
        assert taken == 1


TO_NODE_SCRIPT = """
@on("message_requeued")
def message_requeued(msg, response, reasons, attempt_counted, delay):
    mta.xfer.xfer_in_requeue(
        msg, "http://10.0.0.2:8000", reasons, attempt_counted, delay, "to the backup"
    )
    {then}
"""


async def test_a_script_moves_what_was_deferred_to_another_node_with_its_attempt(tmp_path):
    script = policy(more=TO_NODE_SCRIPT.format(then="pass"))
    async with queue_world(tmp_path, script) as world:
        message = in_hand(world)
        await world.settlement.settle(message, [outcome("r@a.test", LATER)], WHERE, True)

        stored = world.stored(message)
        assert assigned_target(stored) == NODE
        due_at = restore(stored)
        assert stored.attempts == 1
        assert 1100 < due_at - world.clock.wall() < 1300


async def test_a_script_that_fails_after_that_has_moved_nothing(tmp_path):
    script = policy(more=TO_NODE_SCRIPT.format(then="1 / 0"))
    async with queue_world(tmp_path, script) as world:
        message = in_hand(world)
        message.schedule = parse_schedule({"first_attempt": "2020-01-01T00:00:00Z"})
        await world.settlement.settle(message, [outcome("r@a.test", LATER)], WHERE, True)

        stored = world.stored(message)
        assert (stored.meta, stored.attempts) == ({}, 2)
        assert stored.schedule == message.schedule is not None


async def test_old_mail_that_is_moved_to_another_node_is_not_given_up_here(tmp_path):
    script = policy('max_age="30d"', more=TO_NODE_SCRIPT.format(then="pass"))
    async with queue_world(tmp_path, script) as world:
        message = in_hand(world, age_s=20 * 86400)
        await world.settlement.settle(message, [outcome("r@a.test", LATER)], WHERE, True)

        assert assigned_target(world.stored(message)) == NODE
        assert world.records(RecordKind.EXPIRATION) == []
