"""A node is sampled: its counts by interval, its queues at the interval's end, its providers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from engine.admin.history_samples import SAMPLE_S, SAMPLES_KEPT
from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.reply import make_reply
from engine.node_history import REST_FACTOR, NodeHistory
from tests.fakes.admin_world import AdminWorld, admin_world
from tests.unit.engine.records.test_record_tally import mail

OK = make_reply(250, "2.0.0 ok")
BIG = Circumstances(provider_name="big")


def about(seconds: float):
    return pytest.approx(seconds, abs=1.0)


def sampling(world: AdminWorld) -> NodeHistory:
    world.automation.book = ["a decision"]
    return NodeHistory(world, world.history, cpu_s=lambda: 0.25 * world.clock.mono())


async def test_what_happened_since_the_last_sample_is_counted(tmp_path):
    async with admin_world(tmp_path) as world:
        world.recorder.record(RecordKind.RECEPTION, mail(), reply=OK)
        history = sampling(world)
        for kind, count in ((RecordKind.RECEPTION, 3), (RecordKind.DELIVERY, 2)):
            for _ in range(count):
                world.recorder.record(kind, mail(), reply=OK, where=BIG)
        world.metrics.counter("total_connection_count").labels("esmtp_listener").inc(4)
        await asyncio.sleep(10)
        await history.take()
        await asyncio.sleep(10)
        await history.take()

        first, second = world.history.latest(10)
        assert (first.received, first.delivered, first.connections_in) == (3, 2, 4)
        assert (second.received, second.delivered, second.connections_in) == (0, 0, 0)
        assert first.seconds == about(10.0)
        assert first.cpu == pytest.approx(25.0, abs=1.0)
        assert [(one.name, one.delivered) for one in first.providers] == [("big", 2)]
        assert second.providers == []


async def test_queues_sessions_and_directives_are_as_they_are_at_the_end(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        history = sampling(world)
        world.submit("a.test", 2)
        world.submit("b.test", due_in_s=600.0)
        await world.settle_down()
        world.suspensions.add_ready("some", "why", "ann", 60.0)
        await history.take(0.5)

        (sample,) = world.history.latest(1)
        waiting = sum(len(queue) for queue in world.queues)
        ready = sum(len(way.messages) for way in world.ready)
        assert sample.scheduled + sample.ready == waiting + ready > 0
        assert (sample.scheduled_queues, sample.ready_queues) == (2, len(world.ready))
        assert (sample.suspensions, sample.bounces, sample.decisions) == (1, 0, 1)
        assert sample.lag == 0.5
        assert sum(one.queued for one in sample.providers) == waiting + ready
        assert sum(one.connections for one in sample.providers) == sum(
            len(way.dispatchers) for way in world.ready
        )


async def test_samples_come_at_their_interval_and_an_hour_is_kept(tmp_path):
    async with admin_world(tmp_path) as world:
        task = world.supervisor.start(sampling(world).run(asyncio.sleep))
        await asyncio.sleep(SAMPLE_S * (SAMPLES_KEPT + 10) + 1)
        task.cancel()

        samples = world.history.latest(SAMPLES_KEPT)
        assert len(samples) == SAMPLES_KEPT
        assert all(one.seconds == about(SAMPLE_S) for one in samples)
        assert max(one.lag for one in samples) < 1.0


async def test_a_sample_that_meets_a_defect_is_left_out_and_the_next_one_taken(tmp_path):
    async with admin_world(tmp_path) as world:
        history = sampling(world)
        task = world.supervisor.start(history.run(asyncio.sleep))
        world.automation.book = None
        await asyncio.sleep(SAMPLE_S + 1)
        assert world.history.latest(10) == []
        world.automation.book = []
        await asyncio.sleep(SAMPLE_S)
        task.cancel()

        assert len(world.history.latest(10)) == 1


async def test_a_count_that_takes_long_is_not_made_for_each_sample(tmp_path):
    async with admin_world(tmp_path) as world:
        history = sampling(world)
        walks = []

        async def walk():
            walks.append(world.clock.mono())
            await asyncio.sleep(1.0)
            return history._counted

        history._walk = walk
        task = world.supervisor.start(history.run(asyncio.sleep))
        await asyncio.sleep(10 * SAMPLE_S)
        task.cancel()

        gaps = [after - before for before, after in zip(walks, walks[1:], strict=False)]
        assert gaps
        assert min(gaps) >= REST_FACTOR
        assert len(world.history.latest(100)) > len(walks)


async def test_a_machine_that_slept_is_sampled_once_for_it(tmp_path):
    async with admin_world(tmp_path) as world:
        slept = []

        async def sleep(seconds):
            slept.append(seconds)
            await asyncio.sleep(seconds if len(slept) != 2 else 100 * SAMPLE_S)

        task = world.supervisor.start(sampling(world).run(sleep))
        await asyncio.sleep(102.5 * SAMPLE_S)
        task.cancel()

        first, second, third = world.history.latest(10)
        assert (first.seconds, third.seconds) == (about(SAMPLE_S), about(SAMPLE_S))
        assert second.seconds == about(100 * SAMPLE_S)
        assert second.lag == about(99 * SAMPLE_S)


def way(site: str) -> SimpleNamespace:
    path = SimpleNamespace(provider_name=None)
    return SimpleNamespace(site_name=site, path=path, messages=["m"], dispatchers={})


async def test_with_very_many_sites_only_so_many_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.node_history.PROVIDERS_MAX", 2)
    async with admin_world(tmp_path) as world:
        world.ready = [way(f"s{number}") for number in range(5)]
        await sampling(world).take()
        world.ready = []

        (sample,) = world.history.latest(1)
        assert sample.ready == 5
        assert {one.name for one in sample.providers} == {"s0", "s1"}
