"""Finding, making and reaping scheduled queues."""

from engine.model.queue_config import make_queue_config
from engine.schedule.scheduled_registry import LOOK_AT, REAP_S, ROUND_CALLS, ScheduledRegistry
from engine.schedule.timer_wheel import Waiting
from tests.fakes.queue_world import policy, queue_world


def test_one_name_has_one_queue():
    registry = ScheduledRegistry()

    assert registry.get("d.test", 0.0) is registry.get("d.test", 5.0)
    assert registry.find("d.test") is registry.get("d.test", 0.0)
    assert registry.find("e.test") is None
    assert [queue.name for queue in registry] == ["d.test"]


def test_an_empty_queue_is_forgotten_after_a_while():
    registry = ScheduledRegistry()
    queue = registry.get("d.test", 0.0)
    assert registry.reap(REAP_S - 1) == []

    assert registry.reap(REAP_S) == [queue]
    assert len(registry) == 0


def test_the_configuration_says_how_long_that_is():
    registry = ScheduledRegistry()
    registry.get("d.test", 0.0).config = make_queue_config(reap_interval="5s")

    assert len(registry.reap(5.0)) == 1


def test_a_queue_with_mail_is_kept():
    registry = ScheduledRegistry()
    queue = registry.get("d.test", 0.0)
    entry = Waiting(b"a", 1.0, queue)
    queue.add(entry)
    assert registry.reap(10_000) == []
    queue.discard(entry)

    assert registry.reap(10_000 + REAP_S - 1) == []
    assert registry.reap(10_000 + REAP_S) == [queue]


def test_of_many_queues_a_share_is_looked_at_and_all_of_them_in_a_round():
    registry = ScheduledRegistry()
    count = 3 * LOOK_AT
    for number in range(count):
        registry.get(f"d{number}.test", 0.0)
    gone = [len(registry.reap(REAP_S)) for _ in range(ROUND_CALLS)]

    assert max(gone) == LOOK_AT
    assert sum(gone) == count


async def test_a_queue_whose_mail_stands_in_a_ready_queue_is_kept(tmp_path):
    async with queue_world(tmp_path, policy('reap_interval="1s"')) as world:
        world.gate.clear()
        world.submit()
        await world.sleep(30)
        assert world.queues.find("a.test") is not None

        world.gate.set()
        await world.sleep(30)

        assert world.queues.find("a.test") is None


async def test_the_counters_of_a_queue_are_forgotten_with_it(tmp_path):
    config = 'reap_interval="1s", max_message_rate="1/min"'
    async with queue_world(tmp_path, policy(config)) as world:
        world.submit(count=2)
        await world.sleep(5)
        family = world.metrics.counter("delayed_due_to_message_rate_throttle")
        assert family.labels("a.test").value == 1
        await world.sleep(120)

        assert len(world.queues) == 0
        assert len(family) == 0
