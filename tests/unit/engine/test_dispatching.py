"""What ready queues ask of the node: nothing taken from one is lost, nothing stuck stays."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from engine.base.clock import Clock
from engine.control.source_health import SourceHealth
from engine.deliver.local_socket import ProxySourceError, ProxyTroubleError, SourceUnplumbedError
from engine.dispatching import Dispatching
from engine.model.egress import EgressSource, SuspendRule
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.suspension import Criteria
from engine.model.transfer_target import parse_target
from engine.schedule.pace import SLICE_S
from engine.schedule.transferring import TransferOrder
from tests.fakes.queue_world import QueueWorld, queue_world


def dispatching(world: QueueWorld) -> Dispatching:
    return Dispatching(world)


@pytest.fixture
async def world(tmp_path):
    async with queue_world(tmp_path) as made:
        made.gate.clear()
        yield made


async def in_ready_queue(world: QueueWorld, count: int = 1) -> Any:
    world.submit(count=count)
    await asyncio.sleep(0.5)
    (queue,) = world.ready
    assert len(queue.messages) == count
    return queue


async def test_mail_that_is_neither_bounced_held_nor_too_old_may_go(world):
    queue = await in_ready_queue(world)

    assert dispatching(world).examine(queue.messages[0]) is True
    assert world.records(RecordKind.ADMIN_BOUNCE) == []


async def test_bounced_mail_ends_when_its_turn_comes(world):
    queue = await in_ready_queue(world)
    world.bounces.on_change.clear()
    world.bounces.add(Criteria(domain="a.test"), "asked to", "me", 60.0)

    assert dispatching(world).examine(queue.messages.popleft()) is False
    assert len(world.records(RecordKind.ADMIN_BOUNCE)) == 1


async def test_mail_of_a_suspended_queue_is_held_when_its_turn_comes(world):
    queue = await in_ready_queue(world)
    world.suspensions.add_scheduled(Criteria(domain="a.test"), "wait", "me", 60.0)
    message = queue.messages.popleft()

    assert dispatching(world).examine(message) is False
    await asyncio.sleep(0.5)

    (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
    assert record.response.code == 451 and "wait" in record.response.content
    assert message.spool_id in world.queues.find("a.test").entries


async def test_mail_that_grew_too_old_expires_when_its_turn_comes(world):
    queue = await in_ready_queue(world)
    message = queue.messages.popleft()
    message.created_at -= 30 * 86400

    assert dispatching(world).examine(message) is False
    assert len(world.records(RecordKind.EXPIRATION)) == 1


async def test_mail_that_cannot_be_judged_goes_on(world, caplog):
    queue = await in_ready_queue(world)
    world.settlement.expires = None  # type: ignore[assignment]

    assert dispatching(world).examine(queue.messages[0]) is True
    assert "cannot be judged" in caplog.text


async def test_an_unreachable_queue_is_deferred_whole_and_no_error_loses_any(world):
    queue = await in_ready_queue(world, count=3)
    defer, failures = world.settlement.defer_whole, iter([True, False, False])

    async def flaky(*args: Any) -> None:
        if next(failures):
            raise RuntimeError("once")
        await defer(*args)

    world.settlement.defer_whole = flaky
    dispatching(world).report_failures(queue)
    await asyncio.sleep(1)

    assert not queue.messages
    assert len(world.queues.find("a.test").entries) == 3
    reasons = {record.response.content for record in world.records(RecordKind.TRANSIENT_FAILURE)}
    assert reasons == {"too many consecutive connection failures"}


async def test_others_have_the_loop_while_whole_queues_are_deferred(world):
    queue = await in_ready_queue(world, count=50)
    ticks = itertools.count()
    world.clock = Clock(lambda: next(ticks) * SLICE_S, world.clock.wall)

    dispatching(world).report_failures(queue)
    for _ in range(4):
        await asyncio.sleep(0)
    under_way = len(queue.messages)
    world.submit()
    await asyncio.sleep(1)

    assert 0 < under_way < 50
    assert len(queue.messages) == 1, "what came meanwhile gets an attempt of its own"


async def test_a_suspended_ready_queue_is_emptied_and_who_waits_for_room_is_called(world):
    queue = await in_ready_queue(world, count=2)
    called = []
    queue.waiters["other"] = lambda key: called.append(key) is None
    world.suspensions.on_change.clear()
    world.suspensions.add_ready(queue.name, "wait", "me", 60.0)

    dispatching(world).give_back_suspended()

    assert not queue.messages
    assert len(world.queues.find("a.test").entries) == 2
    assert called == ["other"]


async def test_all_ready_queues_look_for_work_when_told_to_and_let_others_have_the_loop(world):
    queue = await in_ready_queue(world)
    for task in list(queue.dispatchers):
        task.cancel()
    world.store.is_away = True
    await asyncio.sleep(0.1)
    assert not queue.dispatchers
    world.store.is_away = False
    ticks = itertools.count()
    world.clock = Clock(lambda: next(ticks) * SLICE_S, world.clock.wall)
    made = dispatching(world)
    for _ in range(50):
        made.look_for_work()
    assert not queue.dispatchers
    await asyncio.sleep(0.1)

    assert len(queue.dispatchers) == 1


async def test_nothing_goes_back_once_the_node_stops(world):
    queue = await in_ready_queue(world)
    world.stopping = True

    dispatching(world).requeue(queue.messages[0], InsertReason.DISPATCHER_DROP, 0.0)

    assert not world.queues.find("a.test").entries


class Session:
    """A dispatcher that goes on until it is ended."""

    watchdog_s = 60.0

    def __init__(self, phase: str, progress_mono: float = 0.0, shutdown_s: float = 1200.0) -> None:
        self.phase, self.progress_mono, self.shutdown_s = phase, progress_mono, shutdown_s
        self.is_stuck = False


@pytest.mark.parametrize(
    ("phase", "age_s", "ended"),
    [("DeliveringMessage", 61, True), ("DeliveringMessage", 59, False), ("Idle", 600, False)],
)
async def test_a_session_that_comes_no_further_is_ended(world, phase, age_s, ended):
    made = dispatching(world)
    task = world.supervisor.start(asyncio.sleep(3600), "dispatcher x")
    session = Session(phase, world.clock.mono() - age_s)
    made.dispatchers[task] = session

    made.end_stuck()
    await asyncio.sleep(0.1)

    assert (session.is_stuck, task.cancelled()) == (ended, ended)
    aborted = world.metrics.counter("dispatcher_watchdog_aborted_total").labels("smtp_client")
    assert aborted.value == ended
    task.cancel()


async def test_a_stop_waits_for_the_message_under_way_only(world):
    made = dispatching(world)
    busy = world.supervisor.start(asyncio.sleep(5), "busy")
    idle = world.supervisor.start(asyncio.sleep(3600), "idle")
    made.dispatchers = {busy: Session("DeliveringMessage"), idle: Session("Idle")}
    for task in (busy, idle):
        task.add_done_callback(lambda done: made.dispatchers.pop(done, None))
    began = world.clock.mono()

    await made.end_all(30.0)

    assert idle.cancelled() and not busy.cancelled()
    assert 4 < world.clock.mono() - began < 10


async def test_a_stop_waits_no_longer_than_it_may(world):
    made = dispatching(world)
    busy = world.supervisor.start(asyncio.sleep(3600), "busy")
    made.dispatchers = {busy: Session("DeliveringMessage")}
    busy.add_done_callback(lambda done: made.dispatchers.pop(done, None))

    await made.end_all(10.0)

    assert busy.cancelled()


async def test_a_path_with_less_patience_than_the_node_cuts_its_sessions_short(world):
    made = dispatching(world)
    patient = world.supervisor.start(asyncio.sleep(5), "patient")
    short = world.supervisor.start(asyncio.sleep(3600), "short")
    made.dispatchers = {
        patient: Session("DeliveringMessage"),
        short: Session("DeliveringMessage", shutdown_s=2.0),
    }
    for task in (patient, short):
        task.add_done_callback(lambda done: made.dispatchers.pop(done, None))
    began = world.clock.mono()

    await made.end_all(30.0)

    assert short.cancelled() and not patient.cancelled()
    assert 4 < world.clock.mono() - began < 10


async def test_connections_are_counted_until_their_queue_is_gone(world):
    asked = dispatching(world)
    asked.note_connected("smtp_client", "a->x@smtp_client")
    asked.note_connected("smtp_client", "a->x@smtp_client")
    asked.note_connected("script", "a->y@script:send")

    def counted() -> dict[str, str]:
        lines = "".join(world.metrics.iter_text()).splitlines()
        made = [line.split('"') for line in lines if line.startswith("total_connection_count{")]
        return {parts[1]: parts[2] for parts in made}

    both = counted()
    asked.forget_series(["a->x@smtp_client", "never->used@smtp_client"])

    assert both.pop("smtp_client:a->x@smtp_client") == "} 2"
    assert both == counted()
    assert (both["smtp_client"], both["script:a->y@script:send"]) == ("} 2", "} 1")


@pytest.mark.parametrize(
    ("error", "rules", "reason"),
    [
        (SourceUnplumbedError("not here"), ("unplumbed", "proxy_unhealthy"), "unplumbed"),
        (ProxySourceError("not there"), ("unplumbed", "proxy_unhealthy"), "unplumbed"),
        (ProxySourceError("not there"), ("proxy_unhealthy",), "proxy_unhealthy"),
        (ProxyTroubleError("gone"), ("unplumbed", "proxy_unhealthy"), "proxy_unhealthy"),
    ],
)
async def test_a_source_is_taken_out_for_the_reason_that_says_most(world, error, rules, reason):
    world.source_health = SourceHealth(world.suspensions, world.clock.mono)
    rule = SuspendRule(None, duration_s=60.0)
    source = EgressSource(name="ip-1", **{f"suspend_when_{name}": rule for name in rules})

    dispatching(world).note_source_trouble(source, error)

    assert world.source_health.out() == [("ip-1", reason)]
    assert world.source_health.proxy_failures == isinstance(error, ProxyTroubleError)


async def test_a_queue_of_a_transfer_gets_a_dispatcher_of_its_own_kind(world):
    target = parse_target("http://10.0.0.2:8000")
    world.submit(due_in_s=600)
    await world.transferring.move(Criteria(), TransferOrder(target, "full"))
    await world.settle_down()
    (queue,) = world.ready
    made = []

    class Transferring(Session):
        async def run(self) -> None:
            made.append((queue.protocol.target, queue.name))

    world.services = None
    world.transfers = SimpleNamespace(make_dispatcher=lambda work, _services: Transferring("Idle"))
    await dispatching(world).start_dispatcher(queue)

    assert made == [(target, f"unspecified->{target.queue_name}@xfer")]
    assert world.metrics.counter("total_connection_count").labels("xfer").value == 1
