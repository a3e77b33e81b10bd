"""Finding queued messages without reading them all."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError
from engine.admin.message_search import CHUNK, MESSAGES, first_id
from engine.admin.single_messages import HOLD
from engine.model.message import new_spool_id
from engine.model.reply import make_reply
from tests.fakes.admin_world import admin_world

LATER = make_reply(451, "4.7.1 greylisted, come back")


async def ids(world, **wanted):
    return {one.id for one in (await world.act(MESSAGES, **wanted)).messages}


def to(world, recipient, sender="s@from.test", **options):
    """Store a message for somebody."""
    (message,) = world.submit(domain=recipient.partition("@")[2], due_in_s=3600, **options)
    return world.readdress(message, sender, recipient)


async def test_messages_are_found_by_queue_tenant_sender_and_recipient(tmp_path):
    async with admin_world(tmp_path) as world:
        ann = to(world, "ann@a.test")
        bob = to(world, "bob@a.test", sender="boss@from.test", tenant="t")
        eve = to(world, "eve@b.test", sender="")

        assert await ids(world) == {ann.id, bob.id, eve.id}
        assert await ids(world, queue_name="a.test") == {ann.id}
        assert await ids(world, domain="a.test") == {ann.id, bob.id}
        assert await ids(world, tenant="t") == {bob.id}
        assert await ids(world, recipient="ANN@a.test") == {ann.id}
        assert await ids(world, sender="boss@from.test", recipient="bob@a.test") == {bob.id}
        assert await ids(world, sender="") == {eve.id}
        assert await ids(world, recipient="nobody@a.test") == set()
        assert await ids(world, queue_name="none.test") == set()


async def test_of_many_messages_few_are_read(tmp_path):
    async with admin_world(tmp_path) as world:
        wanted = to(world, "wanted@a.test")
        for number in range(2000):
            to(world, f"user-{number}@a.test")

        listed = await world.act(MESSAGES, recipient="wanted@a.test")

        assert [one.id for one in listed.messages] == [wanted.id]
        assert (listed.is_complete, listed.looked_at) == (True, 2001)
        assert listed.read < 40


async def test_a_message_with_several_recipients_is_found_by_each(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        world.readdress(message, "s@from.test", "a@a.test", "b@a.test")

        assert await ids(world, recipient="b@a.test") == {message.id}


async def test_messages_are_found_by_age(tmp_path):
    async with admin_world(tmp_path) as world:
        (old,) = world.submit(due_in_s=3600, age_s=7200)
        (new,) = world.submit(due_in_s=3600)

        assert await ids(world, min_age="1h") == {old.id}
        assert await ids(world, max_age="1h") == {new.id}
        with pytest.raises(OperationRefusedError) as refused:
            await ids(world, min_age="old")
        assert refused.value.field == "min_age"


async def test_messages_are_found_by_the_last_reply_which_is_shown_with_when_and_where(tmp_path):
    async with admin_world(tmp_path) as world:
        world.world.reply_of = lambda message: LATER
        (message,) = world.submit()
        to(world, "x@b.test")
        await world.settle_down()

        (shown,) = (await world.act(MESSAGES, reply="GREYLISTED")).messages

        assert (shown.id, shown.state, shown.num_attempts) == (message.id, "scheduled", 1)
        assert shown.last_reply == "451 4.7.1 greylisted, come back"
        assert shown.last_ready_queue == "unspecified->mx.a.test@smtp_client"
        assert shown.last_reply_at.endswith("Z") and shown.due > shown.last_reply_at
        assert "LoggedTransientFailure" in shown.reasons


async def test_messages_are_found_by_what_they_do(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        (ready,) = world.submit()
        (scheduled,) = world.submit(domain="b.test", due_in_s=600)
        world.suspend(domain="c.test", reason="spam")
        (suspended,) = world.submit(domain="c.test")
        (held,) = world.submit(domain="b.test", due_in_s=600)
        await world.act(HOLD, id=held.id, reason="evidence")
        await world.settle_down()

        assert await ids(world, state="ready") == {ready.id}
        assert await ids(world, state="scheduled") == {scheduled.id}
        assert await ids(world, state="held") == {suspended.id, held.id}
        assert await ids(world, state="due") == set()
        (shown,) = (await world.act(MESSAGES, state="ready")).messages
        assert shown.ready_queue == "unspecified->mx.a.test@smtp_client"
        holds = [one.hold for one in (await world.act(MESSAGES, domain="b.test")).messages]
        assert [one.author for one in holds if one] == ["ann"]


async def test_a_search_ends_with_its_limit_or_its_time_and_says_so(tmp_path):
    async with admin_world(tmp_path) as world:
        for number in range(300):
            to(world, f"user-{number}@a.test")

        limited = await world.act(MESSAGES, limit=10)
        late = await world.act(MESSAGES, timeout=0)
        world.store.is_away = True
        away = await world.act(MESSAGES)
        world.store.is_away = False

        assert (len(limited.messages), limited.is_complete) == (10, False)
        assert (late.messages, late.is_complete) == ([], False)
        assert (away.messages, away.is_complete) == ([], False)


async def test_of_a_long_queue_all_is_looked_at(tmp_path):
    async with admin_world(tmp_path) as world:
        for number in range(CHUNK + 3):
            to(world, f"user-{number}@a.test")

        found = await world.act(MESSAGES, recipient=f"user-{CHUNK + 2}@a.test")

        assert [one.recipients for one in found.messages] == [[f"user-{CHUNK + 2}@a.test"]]
        assert (found.looked_at, found.is_complete) == (CHUNK + 3, True)


def test_no_id_is_less_than_the_first_of_its_instant():
    first = first_id(1_700_000_000.123)

    assert new_spool_id(1_700_000_000_123_000_000) >= first
    assert new_spool_id(1_700_000_000_122_000_000) < first
    assert first_id(-5.0) == bytes(6)
