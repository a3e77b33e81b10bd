"""Decisions of a daemon reach the node: snapshots, overlays, failover, restarts, bad input."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.admin.decision_book import DecisionBook
from engine.admin.decision_file import save_decisions
from engine.admin.decision_subscriber import DecisionSubscriber
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.shaping_overrides import ShapingOverrides
from engine.control.suspensions import SuspensionRegistry
from tests.fakes.fake_tsa import FakeTsa, wait_until

pytestmark = pytest.mark.real_time

READY = "ip-1->mx.example@smtp_client"
END = {"ShapingChanged": {"hash": "1"}}
OVERLAY = '["slow.example"]\nmx_rollup = false\nconnection_limit = 1\n'


def suspension(name=READY, reason="slow down", kind="ReadyQSuspension"):
    content = {"rule_hash": "r", "site_name": name, "source": "ip-1", "reason": reason}
    return {kind: {**content, "expires": "2099-01-01T00:00:00Z"}}


def bounce(domain="mx.example"):
    content = {"rule_hash": "r", "domain": domain, "tenant": None, "campaign": None}
    return {"SchedQBounce": {**content, "reason": "blocked", "expires": "2099-01-01T00:00:00Z"}}


class World:
    def __init__(self, folder, **options) -> None:
        clock = Clock()
        self.supervisor = Supervisor()
        self.suspensions = SuspensionRegistry(clock.mono)
        self.bounces = AdminBounceRegistry(clock.mono)
        self.overrides = ShapingOverrides()
        self.book = DecisionBook(self.suspensions, self.bounces, clock)
        self.file = folder / "decisions.json"
        self.pauses: list[float] = []
        self.subscriber = DecisionSubscriber(
            self.book,
            self.overrides,
            self.file,
            clock,
            self.supervisor,
            sleep=self.sleep,
            **options,
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))

    async def stop(self) -> None:
        await self.subscriber.stop()
        await self.supervisor.stop()

    def is_suspended(self, name=READY) -> bool:
        return self.suspensions.find_ready(name) is not None


@pytest.fixture
async def tsa():
    made = FakeTsa()
    made.frames = [suspension(), END]
    made.overlay = OVERLAY
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def other():
    made = FakeTsa()
    made.frames = [bounce(), END]
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    await made.stop()


async def test_the_snapshot_and_what_follows_are_obeyed(world, tsa):
    await world.subscriber.start([tsa.url])
    await wait_until(world.is_suspended)
    await tsa.live.put(bounce())
    await wait_until(lambda: world.bounces.find("mx.example") is not None)
    assert world.subscriber.connected == tsa.url


async def test_the_overlay_is_got_at_once_and_when_it_changes(world, tsa):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.overrides.text == OVERLAY.encode())
    tsa.overlay = OVERLAY.replace("= 1", "= 2")
    await tsa.live.put({"ShapingChanged": {"hash": "2"}})
    await wait_until(lambda: b"= 2" in world.overrides.text)


async def test_a_reconnect_takes_back_what_the_daemon_no_longer_says(world, tsa):
    await world.subscriber.start([tsa.url])
    await wait_until(world.is_suspended)
    tsa.frames = [bounce(), END]
    await tsa.live.put(None)
    await wait_until(lambda: not world.is_suspended())
    assert not world.bounces.is_empty


async def test_a_daemon_that_is_gone_is_obeyed_until_it_is_back(world, tsa, caplog):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.is_suspended() and world.overrides.text)
    with caplog.at_level(logging.INFO, "cirrus.automation"):
        await tsa.stop()
        await wait_until(lambda: world.subscriber.trouble is not None)
        assert world.is_suspended()
        assert world.overrides.layers
        assert world.subscriber.connected == ""
        tsa.frames = [END]
        await tsa.start(tsa.port)
        await wait_until(lambda: not world.is_suspended())
    assert world.subscriber.trouble is None
    said = [one.getMessage() for one in caplog.records]
    assert sum("no TSA can be reached" in one for one in said) == 1
    assert sum("can be reached again" in one for one in said) == 1
    assert max(world.pauses) <= 2.0


async def test_the_next_of_the_list_takes_over(world, tsa, other):
    await world.subscriber.start([tsa.url, other.url])
    await wait_until(world.is_suspended)
    await tsa.stop()
    await wait_until(lambda: not world.bounces.is_empty)
    assert world.subscriber.connected == other.url
    assert world.is_suspended()


async def test_another_list_takes_back_what_the_old_one_said(world, tsa, other):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.is_suspended() and world.overrides.text)
    await world.subscriber.follow([other.url])
    assert not world.is_suspended()
    assert world.overrides.layers == ()
    await wait_until(lambda: not world.bounces.is_empty)


async def test_frames_nobody_knows_and_bad_ones_are_skipped(world, tsa, caplog):
    tsa.frames = [{"Novelty": 1}, "{", [], {"ReadyQSuspension": {}}, suspension(), END]
    await world.subscriber.start([tsa.url])
    await wait_until(world.is_suspended)
    assert world.subscriber.bad_frames == 3
    assert sum("is skipped" in one.getMessage() for one in caplog.records) == 1


async def test_a_bad_overlay_leaves_the_last_good_one(world, tsa, caplog):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.overrides.text)
    tsa.overlay = "[[["
    await tsa.live.put({"ShapingChanged": {"hash": "2"}})
    await wait_until(lambda: any("the last one stays" in one.message for one in caplog.records))
    assert world.overrides.text == OVERLAY.encode()
    tsa.overlay = OVERLAY + "# better\n"
    await wait_until(lambda: b"better" in world.overrides.text)


async def test_an_older_daemon_is_followed_by_its_own_socket(world):
    tsa = FakeTsa()
    tsa.is_legacy = True
    tsa.frames = [suspension(kind="ReadyQ")]
    tsa.overlay = OVERLAY
    await tsa.start()
    try:
        await world.subscriber.start([tsa.url])
        await wait_until(lambda: world.is_suspended() and world.overrides.text)
    finally:
        await world.stop()
        await tsa.stop()


async def test_what_was_decided_is_obeyed_after_a_restart_without_any_daemon(world, tsa, tmp_path):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.is_suspended() and world.overrides.text)
    await world.subscriber.stop()
    await tsa.stop()
    again = World(tmp_path)
    await again.subscriber.start([tsa.url])
    try:
        assert again.is_suspended()
        assert again.overrides.origin == tsa.url
        assert again.overrides.layers
    finally:
        await again.stop()


async def test_one_act_has_the_node_obey_nobody_also_after_a_restart(world, tsa, tmp_path):
    await world.subscriber.start([tsa.url])
    await wait_until(lambda: world.is_suspended() and world.overrides.text)
    await world.subscriber.switch(is_off=True)
    assert not world.is_suspended()
    assert world.overrides.layers == ()
    await world.subscriber.stop()
    again = World(tmp_path)
    await again.subscriber.start([tsa.url])
    try:
        assert again.subscriber.is_off
        assert tsa.subscribed == 1
        await again.subscriber.switch(is_off=False)
        await wait_until(again.is_suspended)
    finally:
        await again.stop()


async def test_no_list_follows_nobody(world, tsa):
    await world.subscriber.start([tsa.url])
    await wait_until(world.is_suspended)
    await world.subscriber.follow([])
    assert not world.is_suspended()
    assert world.subscriber.trouble is None


async def test_a_stop_waits_for_the_file_that_a_slow_thread_is_writing(tmp_path, tsa):
    may_write = asyncio.Event()

    async def in_slow_thread(function, *args, **options):
        if function is save_decisions:
            await may_write.wait()
        return function(*args, **options)

    slow = World(tmp_path, in_thread=in_slow_thread)
    await slow.subscriber.start([tsa.url])
    await wait_until(slow.is_suspended)
    saving = asyncio.ensure_future(slow.subscriber._save())
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(slow.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    may_write.set()
    await asyncio.gather(saving, stopping)

    await tsa.stop()
    again = World(tmp_path)
    await again.subscriber.start([tsa.url])
    assert again.is_suspended()
    await again.stop()
