"""Mail that would be too old when it is due."""

from engine.model.log_record import RecordKind
from engine.model.schedule_window import parse_schedule
from tests.fakes.queue_world import policy, queue_world

HOUR = 3600.0


async def test_new_mail_that_is_due_beyond_its_age_expires_at_once(tmp_path):
    async with queue_world(tmp_path, policy('max_age="1h"')) as world:
        late, soon = world.submit(due_in_s=2 * HOUR) + world.submit(due_in_s=HOUR / 2)
        await world.sleep(1)

        (record,) = world.records(RecordKind.EXPIRATION)
        assert record.id == late.id
        assert (record.response.code, record.response.enhanced_code.detail) == (551, 7)
        assert list(world.queue("a.test").entries) == [soon.spool_id]
        assert world.store.load(late.spool_id) is None


async def test_a_queue_whose_limits_are_known_keeps_no_such_mail(tmp_path):
    async with queue_world(tmp_path, policy('max_age="1h"')) as world:
        world.submit(due_in_s=60)
        await world.sleep(1)
        world.submit(due_in_s=2 * HOUR)

        assert len(world.records(RecordKind.EXPIRATION)) == 1
        assert len(world.records(RecordKind.DELAYED)) == 1


async def test_the_limits_of_a_queue_are_asked_for_once(tmp_path):
    script = """
@on("get_queue_config")
def config(domain, tenant, campaign, routing_domain):
    mta.tell("asked")
    return mta.make_queue_config(max_age="1h")
"""
    async with queue_world(tmp_path, script) as world:
        asked = len(world.told)
        world.submit(count=5, due_in_s=2 * HOUR)
        await world.sleep(1)

        assert len(world.told) - asked == 1
        assert len(world.records(RecordKind.EXPIRATION)) == 5


async def test_mail_is_kept_while_its_limits_cannot_be_had(tmp_path):
    script = """
@on("get_queue_config")
def config(domain, tenant, campaign, routing_domain):
    raise ValueError("broken")
"""
    async with queue_world(tmp_path, script) as world:
        world.submit(due_in_s=30 * 86400)
        await world.sleep(120)

        assert world.records(RecordKind.EXPIRATION) == []
        assert len(world.queue("a.test").entries) == 1


async def test_a_limit_of_the_message_itself_counts_instead_of_that_of_its_queue(tmp_path):
    async with queue_world(tmp_path, policy('max_age="1h"')) as world:
        (message,) = world.submit(due_in_s=HOUR / 2)
        world.queue("a.test").entries.clear()
        message.schedule = parse_schedule({"expires": "2100-01-01T00:00:00Z"})
        message.due_mono += 5 * HOUR
        world.store.update(message)
        world.promotion.insert(message)
        await world.sleep(1)

        assert world.records(RecordKind.EXPIRATION) == []
        assert len(world.queue("a.test").entries) == 1


async def test_a_throttle_that_delays_too_far_ends_the_message(tmp_path):
    script = (
        policy('max_age="1h"')
        + """
@on("throttle_insert_ready_queue")
def throttle(msg):
    msg.set_due("2100-01-01T00:00:00Z")
"""
    )
    async with queue_world(tmp_path, script) as world:
        world.submit()
        await world.sleep(1)

        assert len(world.records(RecordKind.EXPIRATION)) == 1
        assert not world.queue("a.test").entries
