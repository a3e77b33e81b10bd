"""What every spool promises, whatever it is made of (engine/spool/spool_store.py)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from engine.base.clock import Clock
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import message_from, new_spool_id
from engine.spool.disk_store import DiskStore
from engine.spool.memory_store import MemoryStore
from engine.spool.spool_store import DamagedEntry, StoredMessage
from tests.fakes.faulty_disk import FaultyDisk, make_message, make_shared

pytestmark = pytest.mark.real_time


class DiskSpool:
    """A spool on disk that can be made to refuse, to spoil an entry, and to start again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disk = FaultyDisk()
        self.store: Any = None

    async def start(self) -> None:
        if self.store is not None:
            await self.store.close()
        loop = asyncio.get_running_loop()
        self.store = DiskStore(self._folder, Clock(), loop, self._disk.open)
        self.store.open()

    def refuse(self) -> None:
        self._disk.failing_flushes = 1
        self._disk.is_away = True

    async def recover(self) -> None:
        self._disk.is_away = False
        async with asyncio.timeout(10):
            while self.store.trouble() is not None:
                await asyncio.sleep(0.01)

    def spoil(self, spool_id: bytes) -> None:
        self.store._db.put(b"m" + spool_id, b"\xc1 not an envelope")

    def bodies(self) -> int:
        iterator = self.store._db.iter()
        iterator.seek(b"b")
        count = 0
        while iterator.valid() and iterator.key().startswith(b"b"):
            count += 1
            iterator.next()
        return count


class MemorySpool:
    """The fake under the same conditions."""

    def __init__(self, _folder: Path) -> None:
        self.store: Any = None

    async def start(self) -> None:
        fresh = MemoryStore(Clock().wall_of)
        if self.store is not None:
            await self.store.close()
            fresh.envelopes = self.store.envelopes
            fresh.bodies = self.store.bodies
        self.store = fresh

    def refuse(self) -> None:
        self.store.refusing = "told to"

    async def recover(self) -> None:
        self.store.refusing = None

    def spoil(self, spool_id: bytes) -> None:
        self.store.envelopes[spool_id] = b"\xc1 not an envelope"

    def bodies(self) -> int:
        return len(self.store.bodies)


@pytest.fixture(params=[DiskSpool, MemorySpool], ids=["disk", "memory"])
async def spool(request, tmp_path):
    made = request.param(tmp_path / "spool")
    await made.start()
    yield made
    await made.store.close()


def found(spool) -> list[bytes]:
    """Return the ids of all intact messages."""
    return [one.spool_id for one in spool.store.enumerate() if isinstance(one, StoredMessage)]


async def test_what_was_committed_is_there_after_a_restart(spool):
    message = make_message(
        b"body", recipients=["b@y.test", "c@y.test"], meta={"tenant": "t"}, attempts=3, flags=1
    )
    message.prefix = b"Received: x\r\n"
    await spool.store.commit([message])

    await spool.start()

    (entry,) = spool.store.enumerate()
    again = message_from(entry.spool_id, entry.envelope, 0.0)
    assert entry.spool_id == message.spool_id
    assert (again.sender, again.recipients) == ("a@x.test", ["b@y.test", "c@y.test"])
    assert (again.meta, again.attempts, again.flags) == ({"tenant": "t"}, 3, 1)
    assert (again.prefix, again.size) == (b"Received: x\r\n", 4)
    assert spool.store.load_body(again.body_id) == b"body"


async def test_a_due_time_is_kept_as_wall_time(spool):
    clock = Clock()
    message = make_message(due_mono=clock.mono() + 600)
    await spool.store.commit([message])
    assert spool.store.load(message.spool_id).due_at == pytest.approx(clock.wall() + 600, abs=5)


async def test_a_relaxed_commit_is_there_after_a_restart(spool):
    message = make_message()
    await spool.store.commit([message], relaxed=True)
    await spool.start()
    assert found(spool) == [message.spool_id]


async def test_a_commit_of_nothing_is_good(spool):
    await spool.store.commit([])
    assert found(spool) == []


async def test_what_was_refused_is_never_handed_out(spool):
    kept, refused = make_message(), make_message()
    await spool.store.commit([kept])
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([refused])

    await spool.recover()

    assert found(spool) == [kept.spool_id]
    assert spool.store.load(refused.spool_id) is None
    await spool.start()
    assert found(spool) == [kept.spool_id]
    assert spool.bodies() == 1


async def test_a_refused_message_may_be_committed_again(spool):
    message = make_message()
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([message])
    await spool.recover()

    await spool.store.commit([message])

    await spool.start()
    assert found(spool) == [message.spool_id]
    assert spool.store.load_body(message.body_id) == message.data


async def test_trouble_is_told_and_ends(spool):
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()])
    assert spool.store.trouble()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()], relaxed=True)
    await spool.recover()
    assert spool.store.trouble() is None


async def test_settlement_works_while_commits_are_refused(spool):
    gone, changed = make_message(), make_message()
    await spool.store.commit([gone, changed])
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()])

    spool.store.remove(gone)
    changed.attempts = 7
    spool.store.update(changed)

    assert spool.store.load(gone.spool_id) is None
    assert spool.store.load(changed.spool_id).attempts == 7
    await spool.recover()
    await spool.start()
    assert found(spool) == [changed.spool_id]
    assert spool.store.load(changed.spool_id).attempts == 7


async def test_what_became_of_a_message_survives_a_restart(spool):
    message = make_message(recipients=["b@y.test", "c@y.test"])
    await spool.store.commit([message])
    message.recipients = ["c@y.test"]
    message.attempts = 1
    spool.store.update(message)

    await spool.start()

    stored = spool.store.load(message.spool_id)
    assert (stored.recipients, stored.attempts) == (["c@y.test"], 1)


async def test_envelope_and_body_vanish_together(spool):
    message = make_message()
    await spool.store.commit([message])
    spool.store.remove(message)
    assert spool.store.load(message.spool_id) is None
    with pytest.raises(SpoolEntryDamagedError):
        spool.store.load_body(message.body_id)
    await spool.start()
    assert (found(spool), spool.bodies()) == ([], 0)


async def test_removing_twice_is_harmless(spool):
    message, other = make_message(), make_message()
    await spool.store.commit([message, other])
    spool.store.remove(message)
    spool.store.remove(message)
    assert found(spool) == [other.spool_id]


async def test_a_shared_body_is_stored_once_and_freed_with_the_last_envelope(spool):
    messages = make_shared(3)
    await spool.store.commit(messages)
    assert spool.bodies() == 1

    for message in messages[:2]:
        spool.store.remove(message)
    assert spool.store.load_body(messages[2].body_id) == messages[2].data
    spool.store.remove(messages[2])

    assert spool.bodies() == 0


async def test_a_shared_body_is_freed_with_the_last_envelope_after_a_restart(spool):
    await spool.store.commit(make_shared(3))
    await spool.start()
    again = [message_from(one.spool_id, one.envelope, 0.0) for one in spool.store.enumerate()]

    for message in again[:2]:
        spool.store.remove(message)
    assert spool.store.load_body(again[2].body_id)
    await spool.start()
    spool.store.remove(again[2])

    assert spool.bodies() == 0


async def test_a_shared_body_is_kept_while_an_envelope_needs_it_whatever_fails(spool):
    await spool.store.commit(make_shared(4))
    await spool.start()
    again = [message_from(one.spool_id, one.envelope, 0.0) for one in spool.store.enumerate()]
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()])

    for message in again[:3]:
        spool.store.remove(message)
    await spool.recover()

    assert spool.store.load_body(again[3].body_id)
    spool.store.remove(again[3])
    assert spool.bodies() == 0


async def test_a_shared_body_whose_envelopes_all_went_during_trouble_is_freed(spool):
    await spool.store.commit(make_shared(2))
    await spool.start()
    again = [message_from(one.spool_id, one.envelope, 0.0) for one in spool.store.enumerate()]
    spool.refuse()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()])
    for message in again:
        spool.store.remove(message)

    await spool.recover()

    assert (found(spool), spool.bodies()) == ([], 0)


async def test_content_replaced_in_one_envelope_leaves_the_others_theirs(spool):
    one, two = make_shared(2, b"old")
    await spool.store.commit([one, two])
    one.data = b"new"
    spool.store.replace_body(one)

    assert spool.store.load_body(one.body_id) == b"new"
    assert spool.store.load_body(two.body_id) == b"old"
    await spool.start()
    stored = spool.store.load(one.spool_id)
    assert spool.store.load_body(stored.body_id) == b"new"
    spool.store.remove(message_from(one.spool_id, stored, 0.0))
    spool.store.remove(two)
    assert spool.bodies() == 0


async def test_content_replaced_where_the_body_bears_the_name_of_its_envelope(spool):
    owner = make_message(b"old")
    guest = make_message(b"old", body_id=owner.body_id)
    await spool.store.commit([owner, guest])
    owner.data = b"new"
    spool.store.replace_body(owner)
    assert spool.store.load_body(owner.body_id) == b"new"
    assert spool.store.load_body(guest.body_id) == b"old"


async def test_content_of_a_message_alone_is_replaced_in_place(spool):
    message = make_message(b"old")
    await spool.store.commit([message])
    message.data = b"new"
    spool.store.replace_body(message)
    await spool.start()
    assert spool.store.load_body(message.body_id) == b"new"
    assert spool.bodies() == 1


async def test_enumeration_is_oldest_first(spool):
    messages = [make_message() for _ in range(20)]
    await spool.store.commit(messages[10:])
    await spool.store.commit(messages[:10])
    assert found(spool) == [message.spool_id for message in messages]


async def test_enumeration_shows_what_was_stored_when_it_was_asked_for(spool):
    first, second = make_message(), make_message()
    await spool.store.commit([first])
    entries = spool.store.enumerate()
    await spool.store.commit([second])
    spool.store.remove(first)
    assert [entry.spool_id for entry in entries] == [first.spool_id]


async def test_a_damaged_entry_is_reported_among_intact_ones(spool):
    messages = [make_message() for _ in range(3)]
    await spool.store.commit(messages)
    spool.spoil(messages[1].spool_id)

    entries = list(spool.store.enumerate())

    assert [type(one) for one in entries] == [StoredMessage, DamagedEntry, StoredMessage]
    assert entries[1].spool_id == messages[1].spool_id
    with pytest.raises(SpoolEntryDamagedError):
        spool.store.load(messages[1].spool_id)


async def test_a_damaged_entry_that_was_set_aside_is_reported_once(spool):
    message = make_message()
    await spool.store.commit([message])
    spool.spoil(message.spool_id)
    spool.store.quarantine(message.spool_id)
    assert list(spool.store.enumerate()) == []
    await spool.start()
    assert list(spool.store.enumerate()) == []
    # Its content is still there for whoever repairs it.
    assert spool.bodies() == 1


async def test_setting_aside_what_is_not_there_changes_nothing(spool):
    await spool.store.commit([make_message()])
    spool.store.quarantine(new_spool_id())
    assert len(found(spool)) == 1


async def test_what_is_not_stored_is_told_from_what_is(spool):
    assert spool.store.load(new_spool_id()) is None
    with pytest.raises(SpoolEntryDamagedError):
        spool.store.load_body(new_spool_id())


async def test_a_closed_spool_takes_nothing(spool):
    await spool.store.close()
    with pytest.raises(SpoolUnavailableError):
        await spool.store.commit([make_message()])
    with contextlib.suppress(SpoolUnavailableError):
        await spool.store.commit([make_message()], relaxed=True)
    await spool.start()
    assert found(spool) == []


async def test_closing_twice_is_harmless(spool):
    await spool.store.close()
    await spool.store.close()
