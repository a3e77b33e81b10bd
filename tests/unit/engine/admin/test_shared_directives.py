"""An operator speaks to one node and all obey, by way of a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from engine.admin import directives
from engine.admin.directives import BounceRequest, IdRequest, SuspendReadyRequest, SuspendRequest
from engine.admin.shared_directives import SharedDirective, SharedDirectives, replaced_by
from engine.admin.source_suspensions import (
    SuspendSourceRequest,
    resume_source,
    suspend_source,
)
from engine.base.clock import Clock
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.caller import Caller
from engine.throttle import redis_link
from tests.fakes.redis_server import redis_server
from tests.fakes.shared_redis import SharingNode, options_of

pytestmark = pytest.mark.real_time
ANNA = Caller("anna", "10.0.0.1")


class Node:
    """What directives see of a node, with its own link to the Redis."""

    def __init__(self, options, name: str, ahead_s: float = 0.0) -> None:
        real = Clock()
        self.clock = Clock(real.mono, lambda: real.wall() + ahead_s)
        self.bounces = AdminBounceRegistry(self.clock.mono)
        self.suspensions = SuspensionRegistry(self.clock.mono)
        self.shared_directives = SharedDirectives(self)
        self._sharing = SharingNode(options, name)
        self.link = self._sharing.link

    async def start(self) -> None:
        await self._sharing.start()
        self.shared_directives.share_by(self.link.ask)

    async def stop(self) -> None:
        self.shared_directives.share_by(None)
        await self._sharing.stop()

    async def until(self, is_so) -> None:
        """Exchange directives, as a node does each second, until something is so."""
        async with asyncio.timeout(5):
            while not is_so():
                self.shared_directives.sync()
                await asyncio.sleep(0.02)

    async def exchange(self) -> None:
        for _ in range(3):
            self.shared_directives.sync()
            await asyncio.sleep(0.05)

    def reasons(self) -> list[str]:
        return [one.reason for one in (*self.bounces.list(), *self.suspensions.list())]


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def nodes(server, monkeypatch):
    monkeypatch.setattr(redis_link, "RETRY_S", 0.05)
    monkeypatch.setattr(redis_link, "SIGN_S", 0.2)
    made = [Node(options_of(server.url), name) for name in ("a", "b")]
    for node in made:
        await node.start()
    yield made
    for node in made:
        await node.stop()


async def suspend(node, reason="full", **fields) -> str:
    request = SuspendRequest(reason=reason, duration="1h", **fields)
    return (await directives.suspend(node, ANNA, request)).id


async def test_a_suspension_of_one_node_holds_on_the_other_with_author_and_end(nodes):
    one, other = nodes
    made_id = await suspend(one, domain="x.test")
    await other.until(other.reasons)

    (found,) = other.suspensions.list_scheduled()
    assert (found.id, found.author, found.reason) == (made_id, "anna", "full")
    assert 3590 < found.expires_mono - other.clock.mono() <= 3600
    assert other.suspensions.find_scheduled("t@x.test") is found


async def test_the_end_of_it_holds_too_whichever_node_is_told(nodes):
    one, other = nodes
    made_id = await suspend(one, domain="x.test")
    await other.until(other.reasons)

    await directives.cancel_suspension(other, ANNA, IdRequest(id=made_id))
    await one.until(lambda: not one.reasons())

    await other.exchange()
    assert other.reasons() == []


async def test_bounces_and_suspensions_of_ready_queues_are_shared(nodes):
    one, other = nodes
    bounce = BounceRequest(reason="spam run", tenant="t", duration="1h", suppress_logging=True)
    await directives.bounce(one, ANNA, bounce)
    ready = SuspendReadyRequest(name="ip-1->mx@smtp_client", reason="blocked", duration="1h")
    await directives.suspend_ready(one, ANNA, ready)
    await other.until(lambda: len(other.reasons()) == 2)

    (bounced,) = other.bounces.list()
    assert (bounced.criteria.tenant, bounced.suppress_logging) == ("t", True)
    assert other.suspensions.find_ready("ip-1->mx@smtp_client").reason == "blocked"


async def test_a_source_that_an_operator_takes_out_is_out_everywhere_until_it_is_let_back(nodes):
    one, other = nodes
    request = SuspendSourceRequest(name="ip-1", reason="listed", duration="1h")
    made = await suspend_source(one, ANNA, request)
    await other.until(other.reasons)

    found = other.suspensions.find_source("ip-1")
    assert (found.id, found.author, found.reason) == (made.id, "anna", "listed")
    assert other.suspensions.find_way("ip-1->mx@smtp_client", "ip-1") is found

    await resume_source(other, ANNA, IdRequest(id=made.id))
    await one.until(lambda: not one.reasons())


async def test_a_source_that_a_node_took_out_for_its_health_is_out_there_alone(nodes):
    one, other = nodes
    own = one.suspensions.add_source("ip-1", "not here", "source health", 600.0)
    await suspend(one, domain="x.test")
    await other.until(other.reasons)
    assert other.suspensions.find_source("ip-1") is None

    await resume_source(one, ANNA, IdRequest(id=own.id))
    await other.exchange()
    assert (one.reasons(), other.reasons()) == (["full"], ["full"])


async def test_a_directive_that_was_replaced_is_replaced_everywhere(nodes):
    one, other = nodes
    await suspend(one, "first", domain="x.test")
    await other.until(other.reasons)
    await suspend(other, "second", domain="x.test")
    await one.until(lambda: one.reasons() == ["second"])

    late = Node(one.link.options, "late")
    await late.start()
    await late.until(late.reasons)
    assert late.reasons() == ["second"]
    await late.stop()


async def test_what_is_said_while_redis_is_away_counts_here_and_is_told_later(nodes, server):
    one, other = nodes
    first = await suspend(one, "before", domain="x.test")
    await other.until(other.reasons)
    server.stop()
    await suspend(one, "meanwhile", domain="y.test")
    await directives.cancel_suspension(one, ANNA, IdRequest(id=first))
    assert one.reasons() == ["meanwhile"]
    async with asyncio.timeout(5):
        while not (one.link.is_alone and other.link.is_alone):
            await one.exchange()

    server.start()  # with nothing of what it had
    async with asyncio.timeout(5):
        while one.link.is_alone or other.link.is_alone:
            await asyncio.sleep(0.02)
    await one.exchange()
    await other.until(lambda: other.reasons() == ["meanwhile"])


async def test_that_redis_forgot_a_directive_ends_none(nodes):
    one, other = nodes
    await suspend(one, domain="x.test")
    await other.until(other.reasons)
    await one.link._client.flushall()
    await one.exchange()
    await other.exchange()
    assert one.reasons() == other.reasons() == ["full"]

    late = Node(one.link.options, "late")
    await late.start()
    await late.until(late.reasons)
    await late.stop()


async def test_one_that_would_have_ended_is_not_carried_out_and_goes_from_redis(nodes):
    one, _ = nodes
    await suspend(one, domain="x.test")
    late = Node(one.link.options, "late", ahead_s=4000.0)
    await late.start()
    await late.exchange()
    await late.exchange()

    assert late.reasons() == []
    assert await late.link._client.hlen("cirrus:directives") == 1  # the serial
    await late.stop()


async def test_what_cannot_be_read_is_skipped_and_said_once(nodes, caplog):
    one, other = nodes
    await one.link._client.hset("cirrus:directives", "x", '{"kind": 1}')
    await suspend(one, domain="x.test")
    await other.until(other.reasons)
    await suspend(one, "more", domain="y.test")
    await other.until(lambda: len(other.reasons()) == 2)

    said = [one.message for one in caplog.records if "cannot be read" in one.message]
    assert len(said) == 2  # each node once


def test_only_what_covers_the_same_is_replaced():
    def told(directive_id, **fields):
        common = {"reason": "", "author": "", "made_at": 0.0, "expires_at": 1.0}
        return SharedDirective(id=directive_id, **{"kind": "suspend", **common, **fields})

    known = [
        told("1", criteria={"domain": "x"}),
        told("2", criteria={"domain": "y"}),
        told("3", criteria={"domain": "x"}, kind="bounce"),
        told("4", criteria={"domain": "x"}, is_cancelled=True),
    ]
    assert [one.id for one in replaced_by(told("5", criteria={"domain": "x"}), known)] == ["1"]
