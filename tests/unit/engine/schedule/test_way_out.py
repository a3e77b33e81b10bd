"""The way out of a scheduled queue."""

import pytest

from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.schedule.way_out import CLOSED_S, KEEP_S
from tests.fakes.queue_world import policy, queue_world


def counting(config):
    """Return a script that tells when it is asked for a configuration."""
    return policy(config).replace(
        "    return mta.make_queue", "    mta.tell(domain)\n    return mta.make_queue"
    )


FAILING = """
@on("{event}")
def failing({arguments}):
    1 / 0
"""
NO_CONFIG = FAILING.format(event="get_queue_config", arguments="a, b, c, d")


# -- the configuration


async def test_is_asked_again_when_its_refresh_interval_is_over(tmp_path):
    async with queue_world(tmp_path, counting('refresh_interval="10s"')) as world:
        world.submit(count=3)
        await world.settle_down()
        assert world.told == ["a.test"]
        await world.sleep(11)
        world.submit()
        await world.settle_down()

        assert world.told == ["a.test"] * 2


async def test_with_the_epoch_strategy_is_asked_again_only_in_a_new_epoch(tmp_path):
    script = counting('refresh_interval="10s", refresh_strategy="Epoch"')
    async with queue_world(tmp_path, script) as world:
        world.submit()
        await world.sleep(300, step_s=30)
        world.submit()
        await world.settle_down()
        assert world.told == ["a.test"]

        world.load(script)
        world.submit()
        await world.settle_down()

        assert world.told == ["a.test"] * 2


async def test_mail_waits_for_a_configuration_that_fails_at_first_and_burns_no_attempt(tmp_path):
    async with queue_world(tmp_path, NO_CONFIG) as world:
        (message,) = world.submit()
        await world.sleep(50)
        assert world.queue("a.test").blocked_by.startswith("get_queue_config failed: ")
        assert world.stored(message).attempts == 0
        assert world.kinds() == {}

        world.load("")
        await world.sleep(12)

        assert world.kinds() == {"Delivery": 1}


async def test_a_configuration_that_fails_is_asked_for_once_a_minute(tmp_path):
    script = """
@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    mta.tell(domain)
    1 / 0
"""
    async with queue_world(tmp_path, script) as world:
        world.submit(count=20)
        await world.sleep(200, step_s=10)

        assert len(world.told) == 4


@pytest.mark.parametrize("answer", ["1 / 0", "return 5", "mta.reject(550, '5.7.1 no')"])
async def test_the_last_good_configuration_is_kept(tmp_path, answer):
    async with queue_world(tmp_path, policy('retry_interval="7m"')) as world:
        world.submit()
        await world.settle_down()
        world.load(policy().replace('return mta.make_queue_config(egress_pool="p", )', answer))
        world.submit()
        await world.settle_down()

        assert len(world.carried) == 2
        assert world.queue("a.test").config.retry_interval_s == 420


async def test_slow_handlers_and_short_lives_end_in_a_promotion(tmp_path):
    script = """
@on("get_queue_config")
async def get_queue_config(domain, tenant, campaign, routing_domain):
    await mta.pause(3)
    return mta.make_queue_config(refresh_interval=0, egress_pool="p")

@on("get_egress_pool")
async def get_egress_pool(name):
    await mta.pause(3)
    return mta.make_egress_pool(name=name, entries=[{"name": "s1"}, {"name": "s2"}], ttl=0)

@on("get_egress_source")
async def get_egress_source(name):
    await mta.pause(3)
    return mta.make_egress_source(name=name, ttl=0)

@on("get_egress_path")
async def get_egress_path(a, b, c):
    await mta.pause(3)
    return mta.make_egress_path(refresh_interval=0)
"""
    async with queue_world(tmp_path, script) as world:
        world.submit(count=3)
        await world.sleep(120)

        assert len(world.carried) == 3


# -- the plan


@pytest.mark.parametrize("event", ["get_egress_pool", "get_egress_source", "get_egress_path"])
async def test_mail_waits_for_an_egress_handler_that_fails_and_burns_no_attempt(tmp_path, event):
    head, _, tail = policy().partition(f'@on("{event}")\n')
    name, _, rest = tail.partition("\n    return")
    broken = f'{head}@on("{event}")\n{name}\n    1 / 0\n    return{rest}'
    async with queue_world(tmp_path, broken) as world:
        (message,) = world.submit()
        await world.sleep(50)
        assert world.queue("a.test").blocked_by.startswith("an egress handler failed: ")
        assert world.stored(message).attempts == 0
        assert world.kinds() == {}

        world.load(policy())
        await world.sleep(12)

        assert world.kinds() == {"Delivery": 1}


async def test_a_pool_that_does_not_exist_defers(tmp_path):
    script = policy().replace('mta.make_egress_pool(name=name, entries=[{"name": "s1"}])', "None")
    async with queue_world(tmp_path, script) as world:
        (message,) = world.submit()
        await world.settle_down()

        (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert record.response.code == 451
        assert "there is no egress pool 'p'" in record.response.content
        assert world.stored(message).attempts == 1


async def test_null_mx_fails_all_mail(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit("null.test", count=5)
        await world.settle_down()

        records = world.records(RecordKind.BOUNCE)
        assert len(records) == 5
        assert {record.response.code for record in records} == {556}
        enhanced = records[0].response.enhanced_code
        assert (enhanced.klass, enhanced.subject, enhanced.detail) == (5, 1, 10)
        assert not world.store.envelopes


@pytest.mark.parametrize("domain", ["bad.test", "gone.test"])
async def test_mail_is_deferred_while_the_dns_fails_or_knows_no_such_domain(tmp_path, domain):
    async with queue_world(tmp_path, servfail=("bad.test",)) as world:
        messages = world.submit(domain, count=3)
        await world.settle_down()

        records = world.records(RecordKind.TRANSIENT_FAILURE)
        assert [record.response.code for record in records] == [451] * 3
        assert {world.stored(one).attempts for one in messages} == {1}
        assert {world.stored(one).due_mono > world.clock.mono() + 1000 for one in messages}
        reason = InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE
        assert all(entry.context & reason for entry in world.queue(domain).entries.values())


async def test_a_dns_failure_keeps_the_known_way(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit()
        await world.settle_down()
        world.fail_names("a.test")
        await world.sleep(61)
        world.submit(count=2)
        await world.sleep(2 * KEEP_S)
        world.submit()
        await world.settle_down()

        assert world.kinds() == {"Delivery": 4}


async def test_mail_goes_when_the_domain_comes_to_be(tmp_path):
    script = 'retry_interval="30s"'
    async with queue_world(tmp_path, policy(script), servfail=("bad.test",)) as world:
        world.submit("bad.test")
        await world.settle_down()
        world.fail_names()
        await world.sleep(32)

        assert world.kinds() == {"TransientFailure": 1, "Delivery": 1}


async def test_that_there_is_no_way_is_asked_once_for_a_whole_backlog(tmp_path):
    script = policy().replace(
        'return mta.make_egress_pool(name=name, entries=[{"name": "s1"}])', "mta.tell(name)"
    )
    async with queue_world(tmp_path, script) as world:
        world.submit(count=100)
        await world.settle_down()
        assert world.told == ["p"]
        assert len(world.records(RecordKind.TRANSIENT_FAILURE)) == 100
        await world.sleep(CLOSED_S + 0.1)
        world.submit()
        await world.settle_down()

        assert world.told == ["p"] * 2


@pytest.mark.parametrize("script", ["", NO_CONFIG])
async def test_the_null_queue_drops_mail_whatever_the_script_says(tmp_path, script):
    async with queue_world(tmp_path, script) as world:
        world.promotion.stopping = True
        messages = world.submit(count=3)
        world.promotion.stopping = False
        for message in messages:
            message.queue_name = "null"
            world.promotion.insert(message)
        await world.settle_down()

        assert not world.store.envelopes
        assert world.kinds() == {}


async def test_the_null_protocol_drops_mail(tmp_path):
    async with queue_world(tmp_path, policy('protocol="null"')) as world:
        world.submit(count=3)
        await world.settle_down()

        assert not world.store.envelopes


# -- epochs


async def test_waiting_mail_goes_by_the_new_epoch(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        world.submit(count=3, due_in_s=10)
        world.submit()
        await world.sleep(5)
        world.load(policy(pool='[{"name": "s2"}]'))
        await world.sleep(6)

        names = [name.split("->")[0] for _, name, _ in world.carried]
        assert names == ["s1", "s2", "s2", "s2"]


async def test_an_epoch_that_comes_while_a_handler_is_asked_is_heeded(tmp_path):
    slow = policy().replace(
        "def get_egress_path(routing_domain, egress_source, site_name):\n",
        "async def get_egress_path(a, b, c):\n    await mta.pause(5)\n",
    )
    async with queue_world(tmp_path, slow) as world:
        world.gate.clear()
        world.submit()
        await world.sleep(2)
        world.load(policy(path="max_ready=7"))
        await world.sleep(10)
        world.submit()
        await world.settle_down()

        assert world.only_ready().path.max_ready == 7
        world.gate.set()
        await world.settle_down()
