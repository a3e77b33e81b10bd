"""One walk over all queues: in the order that it promises, in pieces, while queues come and go."""

from __future__ import annotations

import gc
from itertools import groupby

from engine.queue_metrics import QUEUE_METRICS, walk_queues
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.timer_wheel import Waiting
from tests.fakes.queue_world import queue_world


def filled(count: int) -> ScheduledRegistry:
    registry = ScheduledRegistry()
    for number in range(count):
        queue = registry.get(f"c:t{number % 7}@d{number}.test", 0.0)
        queue.add(Waiting(number.to_bytes(16, "big"), 0.0, queue))
    return registry


def test_metrics_come_one_after_the_other_as_promised():
    found = [item for item in walk_queues(filled(50), []) if item is not None]

    names = [name for name, _ in groupby(found, key=lambda item: item[0])]
    assert names == [name for name in QUEUE_METRICS if name in names]
    assert len(names) >= 8


def test_a_reader_may_pause_often():
    gaps, since = [0], 0
    for item in walk_queues(filled(5000), []):
        since = 0 if item is None else since + 1
        gaps.append(since)

    assert max(gaps) < 100


def test_sums_agree_with_the_series_beside_them_whatever_happens_meanwhile():
    registry = filled(2000)
    walk = walk_queues(registry, [])
    counted, total = 0, 0
    for number, item in enumerate(walk):
        if item is not None and item[0] == "scheduled_count":
            counted += item[2]
        if item is not None and item[0] == "scheduled_count_total":
            total = item[2]
        queue = registry.get(f"late{number}.test", 0.0)
        queue.add(Waiting(number.to_bytes(16, "big"), 0.0, queue))

    assert counted == total >= 2000


async def test_a_real_queue_is_counted_where_its_mail_is(tmp_path):
    async with queue_world(tmp_path) as world:
        world.gate.clear()
        world.submit(count=3)
        world.submit(domain="b.test", due_in_s=60, count=2)
        await world.settle_down()

        found = [item for item in walk_queues(world.queues, world.ready) if item is not None]
        values = {(name, labels): value for name, labels, value in found}

        ready = "smtp_client:unspecified->mx.a.test@smtp_client"
        assert values["scheduled_count", ("b.test",)] == 2
        assert values["ready_count", (ready,)] == 3
        assert values["message_count", ()] == 5
        assert values["connection_count_by_provider_and_pool", ("mx.a.test", "unspecified")] == 3


def test_a_name_of_many_parts_is_counted_for_each():
    registry = ScheduledRegistry()
    queue = registry.get("camp:ten@d.test!r.test", 0.0)
    queue.add(Waiting(b"x" * 16, 0.0, queue))

    found = {item[0]: item[1] for item in walk_queues(registry, []) if item is not None}

    assert found["scheduled_by_tenant_campaign"] == ("ten", "camp")
    assert found["queued_count_by_provider"] == ("r.test",)


def test_what_a_walk_remembers_is_nothing_for_the_collector_of_garbage():
    registry = filled(2000)
    walk = walk_queues(registry, [])
    gc.collect()
    before = len(gc.get_objects())
    most = 0
    for item in walk:
        if item is None:
            most = max(most, len(gc.get_objects()) - before)

    # Shards, iterators and samples at hand; two thousand queues have eight thousand sums.
    assert most < 500
