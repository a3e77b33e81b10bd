"""Finding, making and reaping ready queues; the ways out of scheduled queues."""

import asyncio

import pytest

from engine.model.errors import ConfigurationError, DnsFailureError, RouteNotFoundError
from engine.model.queue_config import SmtpProtocol, parse_protocol
from engine.ready.ready_registry import LOOK_AT, PLAN_MIN_S, PLAN_S, REAP_S, ROUND_CALLS
from policy.errors import HookFailedError
from tests.fakes.queue_world import policy, queue_world

TWO = '[{"name": "s1", "weight": 2}, {"name": "s2"}, {"name": "off", "weight": 0}]'
TELLING = """
@on("get_egress_pool")
def get_egress_pool(name):
    mta.tell("pool")
    return mta.make_egress_pool(name=name, entries=[{{"name": "s1"}}], ttl={pool})


@on("get_egress_source")
def get_egress_source(name):
    mta.tell("source")
    return mta.make_egress_source(name=name, ttl={source})


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    mta.tell("path")
    return mta.make_egress_path({path})
"""


def telling(pool=1000, source=1000, path="refresh_interval=1000"):
    return TELLING.format(pool=pool, source=source, path=path)


async def plan_of(world, domain="a.test", pool="p", protocol=None):
    return await world.ready.plan_for(f"q@{domain}", domain, protocol or SmtpProtocol(), pool)


# -- plans


async def test_a_plan_has_a_ready_queue_for_each_source_that_may_carry_mail(tmp_path):
    async with queue_world(tmp_path, policy(pool=TWO)) as world:
        plan = await plan_of(world)

        assert {name: queue.name for name, queue in plan.queues.items()} == {
            "s1": "s1->mx.a.test@smtp_client",
            "s2": "s2->mx.a.test@smtp_client",
        }
        assert plan.pool == "p"
        assert not plan.is_null


async def test_without_a_pool_mail_leaves_from_anywhere(tmp_path):
    async with queue_world(tmp_path) as world:
        plan = await plan_of(world, pool=None)

        assert [queue.name for queue in plan.queues.values()] == [
            "unspecified->mx.a.test@smtp_client"
        ]


async def test_what_is_unspecified_is_not_asked_for(tmp_path):
    async with queue_world(tmp_path, telling()) as world:
        plan = await plan_of(world, pool=None)
        (queue,) = plan.queues.values()

        assert plan.pool == queue.source.name == "unspecified"
        assert queue.source.source_address is None
        assert world.told == ["path"]


async def test_domains_of_one_site_share_a_ready_queue(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        first, second = await plan_of(world), await plan_of(world, "alias.test")

        assert first.queues["s1"] is second.queues["s1"]
        assert len(world.ready) == 1
        assert world.ready.find("s1->mx.a.test@smtp_client") is first.queues["s1"]


async def test_plans_made_at_once_share_a_ready_queue(tmp_path):
    slow = policy().replace(
        "def get_egress_path(routing_domain, egress_source, site_name):\n",
        "async def get_egress_path(a, b, c):\n    await mta.pause(1)\n",
    )
    async with queue_world(tmp_path, slow) as world:
        plans = await asyncio.gather(plan_of(world), plan_of(world, "alias.test"))

        assert plans[0].queues["s1"] is plans[1].queues["s1"]


async def test_other_protocols_need_no_route(tmp_path):
    async with queue_world(tmp_path, policy(), servfail=("bad.test",)) as world:
        protocol = parse_protocol({"maildir": {"path": "/x"}})
        plan = await plan_of(world, "bad.test", protocol=protocol)

        assert plan.queues["s1"].name == "s1->bad.test@maildir:/x"


async def test_null_mx_makes_a_plan_without_a_way(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        plan = await plan_of(world, "null.test")

        assert plan.is_null
        assert not plan.queues


@pytest.mark.parametrize(
    ("domain", "pool", "error"),
    [
        ("bad.test", "p", DnsFailureError),
        ("gone.test", "p", RouteNotFoundError),
        ("a.test", "other", ConfigurationError),
    ],
)
async def test_what_does_not_exist_is_an_error(tmp_path, domain, pool, error):
    script = policy().replace(
        "    return mta.make_egress_pool",
        '    if name != "p": return None\n    return mta.make_egress_pool',
    )
    async with queue_world(tmp_path, script, servfail=("bad.test",)) as world:
        with pytest.raises(error):
            await plan_of(world, domain, pool)


async def test_the_round_robin_goes_on_across_plans_while_the_pool_is_the_same(tmp_path):
    async with queue_world(tmp_path, policy(pool=TWO)) as world:
        first, second = await plan_of(world), await plan_of(world)
        other = await plan_of(world, "b.test")

        assert first.selector is second.selector
        assert other.selector is not first.selector

        world.load(policy(pool='[{"name": "s1"}]'))
        third = await plan_of(world)

        assert third.selector.names == ("s1",)


# -- how long answers are good


async def test_answers_are_kept_for_their_time(tmp_path):
    async with queue_world(
        tmp_path, telling(pool=10, source=20, path="refresh_interval=30")
    ) as world:
        plan = await plan_of(world)
        assert plan.until_mono - world.clock.mono() == pytest.approx(10, abs=0.1)
        world.told.clear()
        await plan_of(world)
        assert world.told == []
        await asyncio.sleep(11)
        await plan_of(world)
        assert world.told == ["pool"]
        await asyncio.sleep(10)
        await plan_of(world)
        assert world.told == ["pool", "pool", "source"]
        await asyncio.sleep(10)
        await plan_of(world)

        assert world.told == ["pool", "pool", "source", "pool", "path"]


async def test_a_new_epoch_is_asked_at_once(tmp_path):
    async with queue_world(tmp_path, telling()) as world:
        await plan_of(world)
        world.told.clear()
        world.load(telling(path="max_ready=5"))
        plan = await plan_of(world)

        assert world.told == ["pool", "source", "path"]
        assert plan.queues["s1"].path.max_ready == 5


async def test_a_path_with_the_epoch_strategy_is_kept_until_a_new_epoch(tmp_path):
    path = 'refresh_interval=10, refresh_strategy="Epoch"'
    async with queue_world(tmp_path, telling(path=path)) as world:
        await plan_of(world)
        await asyncio.sleep(900)
        await plan_of(world)
        assert world.told.count("path") == 1
        world.load(telling(path=path))
        await plan_of(world)

        assert world.told.count("path") == 2


async def test_times_of_nothing_make_no_loop_of_asking(tmp_path):
    async with queue_world(tmp_path, telling(0, 0, "refresh_interval=0")) as world:
        plan = await plan_of(world)

        assert plan.until_mono - world.clock.mono() == pytest.approx(PLAN_MIN_S, abs=0.1)


async def test_a_source_that_changes_changes_in_its_ready_queues(tmp_path):
    script = telling(source=5).replace(
        "mta.make_egress_source(name=name", 'mta.make_egress_source(ehlo_domain="v1", name=name'
    )
    async with queue_world(tmp_path, script) as world:
        await plan_of(world)
        world.load(script.replace('"v1"', '"v2"'))
        plan = await plan_of(world)

        assert plan.queues["s1"].source.ehlo_domain == "v2"


# -- handlers that fail

ANSWERS = ["1 / 0", "return 7", "mta.reject(550, '5.7.1 no')"]


@pytest.mark.parametrize("event", ["pool", "source", "path"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_handler_that_fails_at_first_fails_the_plan(tmp_path, event, answer):
    script = telling().replace(f'    mta.tell("{event}")', f"    {answer}")
    async with queue_world(tmp_path, script) as world:
        with pytest.raises(HookFailedError):
            await plan_of(world)


@pytest.mark.parametrize("event", ["pool", "source", "path"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_handler_that_fails_later_keeps_its_last_good_answer(tmp_path, event, answer):
    async with queue_world(tmp_path, telling(path="max_ready=7")) as world:
        await plan_of(world)
        world.load(telling(path="max_ready=7").replace(f'    mta.tell("{event}")', f"    {answer}"))
        plan = await plan_of(world)

        assert plan.queues["s1"].path.max_ready == 7
        assert plan.until_mono - world.clock.mono() <= PLAN_S + 940


async def test_a_path_that_failed_is_asked_again_although_it_is_kept_by_epoch(tmp_path):
    path = 'refresh_interval=10, refresh_strategy="Epoch", max_ready=7'
    async with queue_world(tmp_path, telling(path=path)) as world:
        await plan_of(world)
        broken = telling(path=path).replace('    mta.tell("path")', '    mta.tell("path"); 1 / 0')
        world.load(broken)
        await plan_of(world)
        await asyncio.sleep(11)
        await plan_of(world)

        assert world.told.count("path") == 3


async def test_no_answer_means_the_defaults_of_a_path(tmp_path):
    script = telling().replace('    mta.tell("path")', "    return None")
    async with queue_world(tmp_path, script) as world:
        plan = await plan_of(world)

        assert plan.queues["s1"].path.max_ready == 1024


# -- reaping


async def test_an_idle_queue_is_forgotten_and_retired(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        plan = await plan_of(world)
        world.ready.reap(world.clock.mono() + REAP_S - 5)
        assert len(world.ready) == 1
        world.ready.reap(world.clock.mono() + REAP_S)

        assert len(world.ready) == 0
        assert plan.queues["s1"].retired
        assert (await plan_of(world)).queues["s1"] is not plan.queues["s1"]


async def test_a_queue_that_was_asked_for_lately_is_kept(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        await plan_of(world)
        await asyncio.sleep(REAP_S - 10)
        await plan_of(world)
        await asyncio.sleep(20)
        world.ready.reap(world.clock.mono())

        assert len(world.ready) == 1


@pytest.mark.parametrize("busy", ["messages", "sessions"])
async def test_a_queue_with_mail_or_sessions_is_kept(tmp_path, busy):
    async with queue_world(tmp_path, policy(path="idle_timeout=100000")) as world:
        if busy == "messages":
            world.gate.clear()
        world.submit()
        await world.settle_down()
        world.ready.reap(world.clock.mono() + 2 * REAP_S)

        assert len(world.ready) == 1
        world.gate.set()
        await world.settle_down()


async def test_of_many_queues_a_share_is_looked_at_and_all_of_them_in_a_round(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        for number in range(3 * LOOK_AT):
            await plan_of(world, f"[127.0.0.1]:{number + 1}")
        later = world.clock.mono() + REAP_S
        gone = [len(world.ready.reap(later)) for _ in range(ROUND_CALLS)]

        assert max(gone) == LOOK_AT
        assert sum(gone) == 3 * LOOK_AT


async def test_the_pool_of_a_plan_may_be_empty(tmp_path):
    async with queue_world(tmp_path, policy(pool="[]")) as world:
        plan = await plan_of(world)

        assert plan.queues == {}
        assert list(plan.selector.order()) == []


async def test_a_way_is_described_with_the_hosts_of_its_site_though_no_mail_went_there(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        assert world.ready.hosts_of("mx.a.test") is None
        await world.ready.describe_way("a.test", SmtpProtocol(), "unspecified")
        await world.ready.describe_way("null.test", SmtpProtocol(), "unspecified")

        assert world.ready.hosts_of("mx.a.test") == ("mx.a.test",)
        assert len(world.ready._hosts) == 1
