"""From insertion to the ready queue."""

import asyncio
import tracemalloc

import pytest

from engine.model.log_record import RecordKind
from engine.model.reply import make_reply
from tests.fakes.queue_world import DELIVERED, policy, queue_world

LATER = make_reply(450, "4.2.0 later")
READY = "s1->mx.a.test@smtp_client"


def due_after(world, message):
    return world.stored(message).due_mono - world.clock.mono()


# -- insertion and due times


async def test_a_message_that_may_go_is_delivered_at_once(tmp_path):
    async with queue_world(tmp_path) as world:
        (message,) = world.submit()
        await world.settle_down()

        assert [key for _, _, key in world.carried] == [message.id]
        assert world.kinds() == {"Delivery": 1}
        assert not world.store.envelopes


async def test_a_message_for_later_waits_and_is_recorded_as_delayed(tmp_path):
    async with queue_world(tmp_path) as world:
        start = world.clock.mono()
        world.submit(due_in_s=90)
        await world.sleep(89)
        assert world.carried == []

        await world.sleep(2)

        assert 90 <= world.carried[0][0] - start < 90.5
        assert world.kinds() == {"Delayed": 1, "Delivery": 1}
        assert "ScheduledForLater" in world.records(RecordKind.DELAYED)[0].response.content


async def test_a_step_of_the_wall_clock_moves_no_due_time(tmp_path):
    async with queue_world(tmp_path) as world:
        start = world.clock.mono()
        world.submit(due_in_s=60)
        world.wall_step_s = 3600.0
        await world.sleep(30)
        world.wall_step_s = -7200.0
        await world.sleep(31)

        assert 60 <= world.carried[0][0] - start < 60.5


async def test_what_the_spool_held_comes_out_at_its_due_time(tmp_path):
    async with queue_world(tmp_path) as world:
        world.promotion.stopping = True
        (message,) = world.submit(due_in_s=40)
        world.promotion.stopping = False
        world.promotion.add_waiting(message.spool_id, "a.test", message.due_mono)
        await world.sleep(39)
        assert world.carried == []
        await world.sleep(2)

        assert world.kinds() == {"Delivery": 1}


async def test_nothing_overtakes_the_backlog(tmp_path):
    async with queue_world(tmp_path, policy('max_message_rate="1/s"')) as world:
        first = world.submit(count=3)
        await world.sleep(1.5)
        last = world.submit(count=2)
        await world.sleep(10)

        assert [key for _, _, key in world.carried] == [one.id for one in first + last]


async def test_a_defect_at_insertion_keeps_the_message_in_its_own_queue(tmp_path):
    async with queue_world(tmp_path) as world:
        delayed, world.settlement.delayed = world.settlement.delayed, None
        world.submit(due_in_s=5)
        world.settlement.delayed = delayed
        assert len(world.queue("a.test")) == 1

        await world.sleep(61)

        assert world.kinds() == {"Delivery": 1}


# -- retries and age


async def test_a_deferred_message_is_tried_again_by_the_retry_schedule(tmp_path):
    script = policy('retry_interval="20m", max_retry_interval="1h"')
    async with queue_world(tmp_path, script) as world:
        world.reply_of = lambda message: LATER
        (message,) = world.submit()
        await world.sleep(3600 * 4, step_s=120)

        times = [at for at, _, _ in world.carried]
        gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
        assert [round(gap / 600) for gap in gaps] == [2, 4, 6, 6, 6]
        assert all(abs(gap - round(gap / 600) * 600) <= 31 for gap in gaps)
        assert world.stored(message).attempts == 6


async def test_the_jitter_spreads_what_failed_together(tmp_path):
    async with queue_world(tmp_path, policy('retry_interval="20m"')) as world:
        world.reply_of = lambda message: LATER
        messages = world.submit(count=50)
        await world.settle_down()

        dues = [due_after(world, message) for message in messages]
        assert max(dues) - min(dues) > 20
        assert all(1169 < due < 1231 for due in dues)


async def test_a_message_whose_next_attempt_is_beyond_its_age_expires(tmp_path):
    async with queue_world(tmp_path, policy('retry_interval="1h", max_age="2h"')) as world:
        world.reply_of = lambda message: LATER
        world.submit(age_s=3700)
        await world.settle_down()

        (record,) = world.records(RecordKind.EXPIRATION)
        assert record.response.code == 551
        assert not world.store.envelopes


async def test_a_message_expires_while_it_waits(tmp_path):
    async with queue_world(tmp_path, policy('max_age="1h"')) as world:
        world.submit(age_s=3590, due_in_s=20)
        await world.sleep(21)

        assert world.kinds() == {"Delayed": 1, "Expiration": 1}


async def test_a_message_expires_inside_a_ready_queue_however_idle_its_scheduled_queue(tmp_path):
    script = policy('max_age="30m", reap_interval="1s"')
    async with queue_world(tmp_path, script) as world:
        world.gate.clear()
        world.submit()
        await world.sleep(2000, step_s=50)
        world.gate.set()
        await world.settle_down()

        assert world.kinds() == {"Expiration": 1}


async def test_the_retry_schedule_holds_however_long_mail_was_in_a_ready_queue(tmp_path):
    script = policy('retry_interval="5m", reap_interval="1s"')
    async with queue_world(tmp_path, script) as world:
        world.reply_of = lambda message: LATER
        world.gate.clear()
        (message,) = world.submit()
        await world.sleep(100)
        world.gate.set()
        await world.settle_down()

        assert 290 < due_after(world, message) < 310


# -- the spool


async def test_a_message_that_vanished_from_the_spool_holds_nobody_up(tmp_path):
    async with queue_world(tmp_path) as world:
        gone, *rest = world.submit(count=3, due_in_s=5)
        world.store.remove(gone)
        await world.sleep(6)

        assert [key for _, _, key in world.carried] == [one.id for one in rest]


async def test_a_damaged_message_is_recorded_set_aside_and_holds_nobody_up(tmp_path):
    async with queue_world(tmp_path) as world:
        damaged, *rest = world.submit(count=3, due_in_s=5)
        world.store.envelopes[damaged.spool_id] = b"\x00garbage"
        await world.sleep(6)

        assert [key for _, _, key in world.carried] == [one.id for one in rest]
        (record,) = world.records(RecordKind.BOUNCE)
        assert record.id == damaged.id
        assert record.response.code == 554
        assert damaged.spool_id not in world.store.envelopes


async def test_mail_waits_while_the_spool_is_away(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=3, due_in_s=5)
        world.store.is_away = True
        await world.sleep(20)
        assert world.carried == []
        assert world.queue("a.test").blocked_by == "the disk is away"

        world.store.is_away = False
        await world.sleep(2)

        assert len(world.carried) == 3


async def test_a_message_that_meets_a_defect_is_put_off_and_the_others_go_on(tmp_path):
    async with queue_world(tmp_path) as world:
        poison, *rest = world.submit(count=3, due_in_s=5)
        envelope = world.store.load(poison.spool_id)
        envelope.schedule = {"first_attempt": "no date"}
        real_load = world.store.load
        world.store.load = lambda key: envelope if key == poison.spool_id else real_load(key)
        await world.sleep(6)
        assert [key for _, _, key in world.carried] == [one.id for one in rest]
        world.assert_each_in_one_place()

        world.store.load = real_load
        await world.sleep(61)

        assert len(world.carried) == 3


# -- rates


async def test_max_message_rate_spreads_promotion_and_counts_no_attempt(tmp_path):
    async with queue_world(tmp_path, policy('max_message_rate="2/s,max_burst=1"')) as world:
        world.gate.clear()
        start = world.clock.mono()
        messages = world.submit(count=6)
        await world.sleep(1.2)
        assert len(world.only_ready().messages) == 3
        await world.sleep(2)

        assert len(world.only_ready().messages) == 6
        assert world.clock.mono() - start > 2.5
        assert [one.attempts for one in world.only_ready().messages] == [0] * len(messages)
        # One record for each message that had to wait, however often it was looked at.
        assert world.kinds() == {"Delayed": 5}
        world.gate.set()
        await world.settle_down()


THROTTLE = """
T = mta.make_throttle("t", "1/10s")

@on("throttle_insert_ready_queue")
{kind} throttle(msg):
    T.delay_message_if_throttled(msg)
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_throttle_handler_delays_without_an_attempt(tmp_path, kind):
    async with queue_world(tmp_path, policy(more=THROTTLE.format(kind=kind))) as world:
        start = world.clock.mono()
        world.submit(count=3)
        await world.sleep(45)

        times = [round(at - start) for at, _, _ in world.carried]
        assert times[0] == 0
        assert times[-1] <= 41
        assert len(times) == 3
        record = world.records(RecordKind.DELAYED)[0]
        assert "ThrottledByThrottleInsertReadyQueue" in record.response.content
        assert record.num_attempts == 0


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("deed", ["1 / 0", "mta.reject(550, '5.7.1 no')"])
async def test_a_throttle_handler_that_fails_or_refuses_only_delays(tmp_path, kind, deed):
    broken = f"""
@on("throttle_insert_ready_queue")
{kind} throttle(msg):
    {deed}
"""
    async with queue_world(tmp_path, policy(more=broken)) as world:
        messages = world.submit(count=3)
        await world.sleep(5)
        assert world.carried == []
        assert all(23 < due_after(world, one) <= 25.1 for one in messages)
        assert {world.stored(one).attempts for one in messages} == {0}

        world.load(policy())
        await world.sleep(31)

        assert len(world.carried) == 3


async def test_a_message_takes_each_token_once_although_its_handler_has_to_be_waited_for(tmp_path):
    script = policy(
        'max_message_rate="10/s,max_burst=10"',
        more="""
T = mta.make_throttle("t", "10/min")

@on("throttle_insert_ready_queue")
def first(msg):
    T.delay_message_if_throttled(msg)

@on("throttle_insert_ready_queue")
async def second(msg):
    pass
""",
    )
    async with queue_world(tmp_path, script) as world:
        world.submit(domain="b.test", tenant="warm")
        await world.settle_down()
        world.submit(count=9, tenant="warm", domain="b.test")
        await world.settle_down()

        assert len(world.carried) == 10
        assert world.records(RecordKind.DELAYED) == []


async def test_a_message_that_passed_its_throttles_is_not_asked_again_for_want_of_a_source(
    tmp_path,
):
    script = policy(
        path='source_selection_rate="1/2s,max_burst=1"',
        more="""
T = mta.make_throttle("t", "5/day")

@on("throttle_insert_ready_queue")
def throttle(msg):
    T.delay_message_if_throttled(msg)
""",
    )
    async with queue_world(tmp_path, script) as world:
        world.submit(count=5)
        await world.sleep(12)

        assert len(world.carried) == 5


async def test_a_bounce_while_a_throttle_handler_is_waited_for_takes_the_message(tmp_path):
    script = policy(
        more="""
@on("throttle_insert_ready_queue")
async def throttle(msg):
    await mta.pause(5)
"""
    )
    async with queue_world(tmp_path, script) as world:
        world.submit()
        await asyncio.sleep(1)
        world.bounce(domain="a.test")
        await world.sleep(10)

        assert world.carried == []
        assert world.kinds() == {"AdminBounce": 1}


# -- sources


async def test_a_pool_shares_mail_by_weight_and_gives_none_to_weight_zero(tmp_path):
    pool = '[{"name": "s1", "weight": 2}, {"name": "s2"}, {"name": "s3", "weight": 0}]'
    async with queue_world(tmp_path, policy(pool=pool)) as world:
        world.submit(count=30)
        await world.settle_down()

        names = [name.split("->")[0] for _, name, _ in world.carried]
        assert (names.count("s1"), names.count("s2"), names.count("s3")) == (20, 10, 0)


async def test_source_selection_rate_delays_without_an_attempt(tmp_path):
    script = policy(path='source_selection_rate="1/2s,max_burst=1"')
    async with queue_world(tmp_path, script) as world:
        start = world.clock.mono()
        world.submit(count=4)
        await world.sleep(10)

        times = [at - start for at, _, _ in world.carried]
        assert [round(at) for at in times] == [0, 2, 4, 6]
        assert world.kinds() == {"Delivery": 4, "Delayed": 3}
        assert {one.num_attempts for one in world.records(RecordKind.DELAYED)} == {0}


async def test_a_throttled_source_is_waited_for_although_another_is_full(tmp_path):
    script = policy(
        pool='[{"name": "s1"}, {"name": "s2"}]',
        path="""max_ready=1 if egress_source == "s1" else 100,
            source_selection_rate=None if egress_source == "s1" else "1/2s,max_burst=1" """,
    )
    async with queue_world(tmp_path, script) as world:
        world.gate.clear()
        world.submit(count=4)
        await world.sleep(7)

        held = {queue.name.split("->")[0]: len(queue.messages) for queue in world.ready}
        assert held == {"s1": 1, "s2": 3}


async def test_additional_selection_rates_are_shared_and_given_back_when_another_refuses(tmp_path):
    script = policy(
        path='source_selection_rate="1/h,max_burst=1",'
        'additional_source_selection_rates={"all": "2/h,max_burst=2"}'
    )
    async with queue_world(tmp_path, script) as world:
        world.submit(count=2)
        await world.sleep(5)
        world.submit(domain="b.test", count=1)
        await world.sleep(5)

        assert len(world.carried) == 2


# -- a full ready queue


async def test_what_finds_its_ready_queue_full_waits_and_goes_on(tmp_path):
    script = policy(path="max_ready=10, connection_limit=2")
    async with queue_world(tmp_path, script) as world:
        world.gate.clear()
        world.submit(count=50)
        await world.settle_down()
        assert len(world.only_ready().messages) == 10
        assert world.queue("a.test").blocked_by == "ready queue full"
        world.assert_each_in_one_place()

        world.gate.set()
        await world.settle_down()

        assert len(world.carried) == 50
        assert world.kinds()["Delayed"] <= 40


async def test_a_blocked_queue_costs_nothing_until_there_is_room(tmp_path):
    async with queue_world(tmp_path, policy(path="max_ready=10")) as world:
        world.gate.clear()
        world.submit(count=500)
        await world.settle_down()
        before = world.store.loads
        await world.sleep(55)
        assert world.store.loads - before == 0
        await world.sleep(240, step_s=10)

        assert world.store.loads - before <= 6
        world.gate.set()
        await world.sleep(1)
        assert len(world.carried) == 500


@pytest.mark.slow
async def test_of_many_queues_that_wait_for_room_few_are_woken_in_vain(tmp_path):
    script = policy(path="max_ready=100, connection_limit=1")
    async with queue_world(tmp_path, script) as world:
        world.carry_s = 0.001
        for number in range(200):
            world.submit(tenant=f"t{number}", count=5)
        await world.settle_down()
        before = world.store.loads
        await world.sleep(30)

        assert len(world.carried) == 1000
        # Each message is read once; the rest are looks in vain.
        assert world.store.loads - before < 2000


async def test_a_lowered_max_ready_gives_mail_back_and_none_is_lost(tmp_path):
    async with queue_world(tmp_path, policy(path="max_ready=100")) as world:
        world.gate.clear()
        world.submit(count=100)
        await world.settle_down()
        world.load(policy(path="max_ready=20"))
        world.submit(count=1)
        await world.settle_down()

        assert len(world.only_ready().messages) == 20
        world.assert_each_in_one_place()
        world.gate.set()
        await world.settle_down()
        assert len(world.carried) == 101


async def test_a_raised_max_ready_lets_those_in_at_once_that_wait(tmp_path):
    async with queue_world(tmp_path, policy(path="max_ready=10")) as world:
        world.gate.clear()
        world.submit(count=30)
        await world.settle_down()
        world.load(policy(path="max_ready=100"))
        world.submit(tenant="other")
        await world.settle_down()

        assert len(world.only_ready().messages) == 31
        world.gate.set()
        await world.settle_down()


# -- many at once


@pytest.mark.slow
@pytest.mark.parametrize("queues", [1, 1500])
async def test_many_that_fall_due_at_once_let_others_have_their_turns(tmp_path, queues):
    async with queue_world(tmp_path, policy(path="max_ready=10000, connection_limit=1")) as world:
        world.gate.clear()
        for number in range(queues):
            world.submit(tenant=f"t{number}", count=3000 // queues, due_in_s=30)
        await asyncio.sleep(29.5)
        turns, worst = 0, 0
        while len(world.only_ready().messages if len(world.ready) else ()) < 3000:
            before = world.store.loads
            await asyncio.sleep(0)
            turns += bool(world.store.loads)
            worst = max(worst, world.store.loads - before)

        # A slice of 5 ms is some hundreds of messages; all at once would be thousands.
        assert turns >= 5
        assert worst <= 1500
        world.gate.set()
        await world.settle_down()


@pytest.mark.slow
async def test_a_waiting_message_takes_little_memory(tmp_path):
    async with queue_world(tmp_path) as world:
        ids = [number.to_bytes(16, "big") for number in range(30_000)]
        due_mono = world.clock.mono() + 86400.0
        tracemalloc.start()
        for number, key in enumerate(ids):
            world.promotion.add_waiting(key, f"t{number % 300}@a.test", due_mono + number)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        # The id itself (49 octets) belongs to the caller here.
        assert used / len(ids) < 300
        for queue in world.queues:
            queue.entries.clear()


# -- reaping


@pytest.mark.parametrize("ttl", ["60s", "1d"])
async def test_mail_after_a_ready_queue_was_reaped_is_delivered(tmp_path, ttl):
    script = policy(path=f'refresh_interval="{ttl}"', config=f'refresh_interval="{ttl}"').replace(
        "name=name", f'name=name, ttl="{ttl}"'
    )
    async with queue_world(tmp_path, script) as world:
        world.submit()
        await world.settle_down()
        retired = world.only_ready()
        world.submit(due_in_s=700)
        await world.sleep(690, step_s=60)
        world.ready.reap(world.clock.mono())
        assert retired.retired
        await world.sleep(15)

        assert len(world.carried) == 2


async def test_a_ready_queue_whose_sessions_could_not_start_takes_each_message_once(tmp_path):
    async with queue_world(tmp_path) as world:
        world.broken_starts = 1
        world.submit()
        await world.settle_down()
        world.assert_each_in_one_place()
        await world.sleep(61)

        assert world.kinds() == {"Delivery": 1}


# -- suspensions


@pytest.mark.slow
async def test_suspended_mail_is_recorded_once_and_leaves_within_a_minute_of_the_end(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=300)
        messages = world.submit(count=60)
        await world.sleep(299)
        assert world.carried == []
        records = world.records(RecordKind.TRANSIENT_FAILURE)
        assert len(records) == 60
        enhanced = records[0].response.enhanced_code
        assert records[0].response.code == 451
        assert (enhanced.klass, enhanced.subject, enhanced.detail) == (4, 4, 4)
        assert "spam" in records[0].response.content
        assert "ann" in records[0].response.content
        assert {world.stored(one).attempts for one in messages} == {0}

        end = world.clock.mono() + 1
        await world.sleep(62)

        times = sorted(at - end for at, _, _ in world.carried)
        assert len(times) == 60
        assert times[-1] <= 60
        assert [sum(at // 10 == part for at in times) for part in range(5)] == pytest.approx(
            [10] * 5, abs=2
        )
        assert world.kinds() == {"TransientFailure": 60, "Delivery": 60}


async def test_a_cancelled_suspension_lets_mail_go(tmp_path):
    async with queue_world(tmp_path) as world:
        suspension = world.suspend(domain="a.test", duration_s=86400)
        world.submit(count=3)
        await world.sleep(10)
        world.suspensions.cancel(suspension.id)
        await world.sleep(60)

        assert len(world.carried) == 3


async def test_mail_that_falls_due_in_a_suspended_queue_is_held(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(due_in_s=10)
        world.suspend(domain="a.test", duration_s=100)
        await world.sleep(50)
        assert world.kinds() == {"Delayed": 1, "TransientFailure": 1}
        await world.sleep(115)

        assert len(world.carried) == 1


async def test_mail_in_a_ready_queue_is_held_when_its_scheduled_queue_is_suspended(tmp_path):
    async with queue_world(tmp_path) as world:
        world.gate.clear()
        world.submit(count=2)
        await world.settle_down()
        world.suspend(domain="a.test", duration_s=100)
        world.gate.set()
        await world.sleep(50)
        assert world.carried == []
        assert world.kinds() == {"TransientFailure": 2}
        await world.sleep(115)

        assert len(world.carried) == 2


async def test_a_suspended_queue_counts_no_attempt_although_the_dns_fails(tmp_path):
    async with queue_world(tmp_path, servfail=("a.test",)) as world:
        world.suspend(domain="a.test", duration_s=100)
        (message,) = world.submit()
        await world.sleep(50)

        assert world.stored(message).attempts == 0
        (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert "spam" in record.response.content


async def test_mail_without_an_eligible_source_is_held_like_suspended_mail(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        world.suspend_ready(READY, duration_s=100)
        (first, second) = world.submit(count=2)
        await world.sleep(99)
        assert world.carried == []
        assert world.kinds() == {"TransientFailure": 2}
        text = world.records(RecordKind.TRANSIENT_FAILURE)[0].response.content
        assert "blocked" in text
        assert "tsa" in text
        assert world.stored(first).attempts == 0
        await world.sleep(61)

        assert len(world.carried) == 2
        assert world.kinds() == {"TransientFailure": 2, "Delivery": 2}


async def test_other_sources_take_the_mail_of_a_suspended_one(tmp_path):
    script = policy(pool='[{"name": "s1"}, {"name": "s2"}]')
    async with queue_world(tmp_path, script) as world:
        world.gate.clear()
        world.submit(count=10)
        await world.settle_down()
        world.suspend_ready(READY)
        world.gate.set()
        await world.settle_down()

        assert {name.split("->")[0] for _, name, _ in world.carried} == {"s2"}
        assert len(world.carried) == 10


async def test_a_source_that_joins_the_pool_takes_what_was_held(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        world.suspend_ready(READY, duration_s=86400)
        world.submit(count=5)
        await world.sleep(10)
        world.load(policy(pool='[{"name": "s1"}, {"name": "s2"}]'))
        await world.sleep(62)

        assert len(world.carried) == 5
        assert world.kinds() == {"TransientFailure": 5, "Delivery": 5}


async def test_a_pool_without_sources_holds_mail_until_it_has_one(tmp_path):
    async with queue_world(tmp_path, policy(pool='[{"name": "s1", "weight": 0}]')) as world:
        world.submit(count=2)
        await world.sleep(200, step_s=5)
        assert world.kinds() == {"TransientFailure": 2}

        world.load(policy())
        await world.sleep(62)

        assert len(world.carried) == 2


# -- administrative bounces


async def test_a_bounce_takes_mail_wherever_it_waits(tmp_path):
    async with queue_world(tmp_path) as world:
        world.gate.clear()
        world.submit(count=2)
        world.submit(count=2, due_in_s=100)
        world.suspend(tenant="held")
        world.submit(count=2, tenant="held")
        await world.settle_down()
        world.bounce(domain="a.test")
        world.submit()
        await world.settle_down()
        assert world.kinds()["AdminBounce"] == 5

        world.gate.set()
        await world.settle_down()

        assert world.kinds()["AdminBounce"] == 7
        assert world.carried == []
        assert not world.store.envelopes


async def test_a_bounce_while_another_is_carried_out_takes_its_mail_too(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=20, due_in_s=500)
        world.submit(domain="b.test", count=20, due_in_s=500)
        world.bounce(domain="a.test")
        world.bounce(domain="b.test")
        await world.settle_down()

        assert world.kinds()["AdminBounce"] == 40


# -- moved mail


async def test_a_message_that_a_handler_moves_goes_on_in_its_new_queue(tmp_path):
    script = policy(
        more="""
@on("message_requeued")
def moved(msg, response, reasons, attempt_counted, delay):
    msg.set_meta("queue", "b.test")
"""
    )
    async with queue_world(tmp_path, script) as world:
        world.reply_of = lambda message: DELIVERED if message.queue_name == "b.test" else LATER
        world.submit()
        await world.settle_down()

        assert [name for _, name, _ in world.carried] == [READY, "s1->mx.b.test@smtp_client"]
        assert world.kinds() == {"TransientFailure": 1, "Delivery": 1}


# -- the stop


async def test_what_is_under_way_at_the_stop_stays_in_the_spool(tmp_path):
    async with queue_world(tmp_path) as world:
        world.gate.clear()
        world.submit(count=3)
        world.submit(count=3, due_in_s=50)
        await world.settle_down()
        await world.stop()
        world.requeue(world.only_ready().messages[0], 1, None)

        assert len(world.store.envelopes) == 6
        assert world.kinds() == {"Delayed": 3}
