"""The spool on disk: one flush for many, and each order in which a disk can fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from engine.base.clock import Clock
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import message_from, new_spool_id
from engine.spool.disk_store import DiskStore
from engine.spool.spool_store import StoredMessage
from tests.fakes.faulty_disk import FaultyDisk, make_message, make_shared

pytestmark = pytest.mark.real_time
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def disk():
    return FaultyDisk()


@pytest.fixture
async def store(tmp_path, disk):
    store = open_store(tmp_path / "spool", disk)
    yield store
    disk.release()
    disk.is_away = False
    await store.close()


def open_store(folder, disk=None) -> DiskStore:
    opener = (disk or FaultyDisk()).open
    store = DiskStore(folder, Clock(), asyncio.get_running_loop(), opener)
    store.open()
    return store


def found(store) -> list[bytes]:
    return [one.spool_id for one in store.enumerate() if isinstance(one, StoredMessage)]


def keys(store, first: bytes) -> list[bytes]:
    """Return the stored keys of a kind."""
    iterator = store._db.iter()
    iterator.seek(first)
    found_keys = []
    while iterator.valid() and iterator.key().startswith(first):
        found_keys.append(bytes(iterator.key()))
        iterator.next()
    return found_keys


async def until(holds) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.005)


async def start(work) -> asyncio.Task:
    """Return a task that runs up to its first wait."""
    task = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    return task


async def outcome(*tasks) -> list[str]:
    """Return what became of commits."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return ["stored" if one is None else type(one).__name__ for one in results]


async def start_again(store, disk=None) -> DiskStore:
    await store.close()
    return open_store(store.path, disk)


# -- commits and flushes


async def test_a_commit_returns_only_after_its_flush(store, disk):
    disk.hold()
    commit = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    await asyncio.sleep(0.05)
    assert not commit.done()
    disk.release()
    assert await outcome(commit) == ["stored"]


async def test_what_comes_during_a_flush_shares_the_next_one(store, disk):
    disk.hold()
    first = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    before = store.flush_count
    others = [await start(store.commit([make_message()])) for _ in range(50)]
    disk.release()
    assert set(await outcome(first, *others)) == {"stored"}
    assert store.flush_count - before == 2


async def test_the_loop_goes_on_during_a_slow_flush(store, disk):
    settled = make_message()
    await store.commit([settled])
    disk.hold()
    commit = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)

    began = time.monotonic()
    settled.attempts = 1
    store.update(settled)
    assert store.load(settled.spool_id).attempts == 1
    assert store.load_body(settled.body_id) == settled.data
    store.remove(settled)
    assert time.monotonic() - began < 0.1

    disk.release()
    await commit


async def test_large_mail_is_written_in_pieces_but_each_commit_whole(store):
    commits = [
        store.commit([make_message(bytes(600_000)) for _ in range(3)]),
        *(store.commit([make_message(bytes(400_000))]) for _ in range(9)),
    ]
    assert set(await outcome(*commits)) == {"stored"}
    assert len(found(store)) == 12


@pytest.mark.slow
async def test_settlement_writes_are_flushed_without_a_commit(store, disk):
    message = make_message()
    await store.commit([message])
    before = store.flush_count
    store.update(message)
    await until(lambda: store.flush_count > before)


@pytest.mark.slow
async def test_relaxed_commits_are_flushed_by_themselves(store):
    before = store.flush_count
    await store.commit([make_message()], relaxed=True)
    assert store.flush_count == before
    await until(lambda: store.flush_count > before)


# -- a flush that fails


async def test_a_failed_flush_refuses_what_it_covered_and_what_waited(store, disk):
    disk.hold()
    covered = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    waiting = await start(store.commit([make_message()]))
    disk.failing_flushes = 1
    disk.release()
    assert await outcome(covered, waiting) == ["SpoolUnavailableError"] * 2


async def test_nothing_refused_comes_back_when_the_store_was_reopened(store, disk):
    kept = make_message()
    await store.commit([kept])
    disk.failing_flushes = 1
    refused = [store.commit(make_shared(2)), store.commit([make_message()])]
    assert set(await outcome(*refused)) == {"SpoolUnavailableError"}
    await until(lambda: store.trouble() is None)

    assert found(store) == [kept.spool_id]
    assert len(keys(store, b"b")) == 1
    assert keys(store, b"r") == []
    again = await start_again(store)
    assert found(again) == [kept.spool_id]
    await again.close()


async def test_a_settlement_write_under_a_failed_flush_is_written_again(store, disk):
    changed, gone = make_message(), make_message()
    await store.commit([changed, gone])
    changed.attempts = 4
    store.update(changed)
    store.remove(gone)
    disk.failing_flushes = 1
    assert await outcome(store.commit([make_message()])) == ["SpoolUnavailableError"]
    await until(lambda: store.trouble() is None)
    assert found(store) == [changed.spool_id]
    assert store.load(changed.spool_id).attempts == 4


async def test_the_newest_of_several_writes_wins_across_a_failure(store, disk):
    message = make_message()
    await store.commit([message])
    disk.hold()
    message.attempts = 1
    store.update(message)
    commit = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    message.attempts = 2
    store.update(message)
    disk.failing_flushes, disk.is_away = 1, True
    disk.release()
    await outcome(commit)
    message.attempts = 3
    store.update(message)

    disk.is_away = False
    await until(lambda: store.trouble() is None)

    assert store.load(message.spool_id).attempts == 3


async def test_trouble_is_told_at_once_and_its_end_too(store, disk):
    told = []
    store.on_change = told.append
    disk.failing_flushes = 1
    await outcome(store.commit([make_message()]))
    await until(lambda: store.trouble() is None)
    assert "Input/output error" in told[0]
    assert told[1:] == [None]
    assert store.background_errors == 1


async def test_mail_is_refused_at_once_while_the_store_is_away(store, disk):
    disk.failing_flushes, disk.is_away = 1, True
    await outcome(store.commit([make_message()]))
    await until(lambda: store._db is None)

    assert await outcome(store.commit([make_message()])) == ["SpoolUnavailableError"]
    with pytest.raises(SpoolUnavailableError):
        store.load_body(new_spool_id())
    with pytest.raises(SpoolUnavailableError):
        store.enumerate()


async def test_mail_refused_during_trouble_leaves_nothing_to_write(store, disk):
    disk.failing_flushes, disk.is_away = 1, True
    await outcome(store.commit([make_message()]))
    before = len(store._overdue)
    await outcome(*(store.commit([make_message()]) for _ in range(200)))
    await outcome(*(store.commit([make_message()], relaxed=True) for _ in range(200)))
    assert len(store._overdue) == before


async def test_a_write_that_fails_while_a_flush_is_under_way_spares_what_the_flush_covered(
    store, disk
):
    settled = make_message()
    await store.commit([settled])
    disk.hold()
    commit = await start(store.commit([covered := make_message()]))
    await until(disk.entered.is_set)
    disk.failing_writes = 1
    store.remove(settled)
    assert store.trouble()
    disk.release()

    assert await outcome(commit) == ["stored"]
    await until(lambda: store.trouble() is None)
    assert found(store) == [covered.spool_id]
    again = await start_again(store)
    assert found(again) == [covered.spool_id]
    await again.close()


async def test_a_write_and_the_flush_under_way_may_both_fail(store, disk):
    settled = make_message()
    await store.commit([settled])
    disk.hold()
    commit = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    disk.failing_writes, disk.failing_flushes = 1, 1
    store.remove(settled)
    disk.release()

    assert await outcome(commit) == ["SpoolUnavailableError"]
    await until(lambda: store.trouble() is None)
    assert found(store) == []
    assert keys(store, b"b") == []


async def test_a_relaxed_commit_that_fails_is_not_stored(store, disk):
    disk.failing_writes = 1
    assert await outcome(store.commit([make_message()], relaxed=True)) == ["SpoolUnavailableError"]
    await until(lambda: store.trouble() is None)
    assert found(store) == []


async def test_a_store_that_fails_again_is_reopened_again(store, disk):
    for _ in range(3):
        disk.failing_flushes = 1
        await outcome(store.commit([make_message()]))
        await until(lambda: store.trouble() is None)
    kept = make_message()
    await store.commit([kept])
    assert found(store) == [kept.spool_id]


async def test_settlement_goes_on_while_the_store_is_being_reopened(store, disk):
    messages = [make_message() for _ in range(3_000)]
    for index in range(0, len(messages), 500):
        await store.commit(messages[index : index + 500])
    disk.failing_flushes = 1
    await outcome(store.commit([make_message()]))

    # The flush thread copies what is overdue while the loop adds to it.
    for index, message in enumerate(messages):
        store.remove(message)
        if index % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: store.trouble() is None)

    assert found(store) == []
    assert keys(store, b"b") == []


async def test_an_enumeration_under_way_goes_on_over_a_failure(store, disk):
    messages = [make_message() for _ in range(10)]
    await store.commit(messages)
    entries = store.enumerate()
    seen = [next(entries).spool_id for _ in range(3)]
    disk.failing_flushes = 1
    await outcome(store.commit([make_message()]))
    await until(lambda: store._db is None)

    seen += [entry.spool_id for entry in entries]

    assert seen == [message.spool_id for message in messages]
    del entries
    await until(lambda: store.trouble() is None)
    await store.commit([make_message()])


# -- a stall


async def test_a_stall_refuses_without_trouble(store, disk):
    disk.stalled_writes = 1
    assert await outcome(store.commit([make_message()])) == ["SpoolUnavailableError"]
    assert store.trouble() is None
    assert await outcome(store.commit([kept := make_message()])) == ["stored"]
    assert found(store) == [kept.spool_id]


async def test_a_stall_in_the_middle_spares_what_was_written_before_it(store, disk):
    disk.hold()
    first = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    large, small = make_message(bytes(2 << 20)), make_message()
    commits = [await start(store.commit([large])), await start(store.commit([small]))]
    # The second write of the next flush is the one that stalls.
    disk.before_write = stall_at(2)
    disk.release()
    await first
    assert await outcome(*commits) == ["stored", "SpoolUnavailableError"]
    assert large.spool_id in found(store)
    assert small.spool_id not in found(store)


def stall_at(number):
    left = [number]

    def before_write() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Exception("Result incomplete: Write stall")  # noqa: TRY002

    return before_write


async def test_a_stalled_settlement_write_is_made_later(store, disk):
    message = make_message()
    await store.commit([message])
    disk.stalled_writes = 3
    store.remove(message)
    assert store.load(message.spool_id) is None
    await until(lambda: not store._overdue)
    assert found(store) == []


async def test_no_commit_overtakes_a_stalled_settlement_write(store, disk):
    message = make_message()
    await store.commit([message])
    disk.stalled_writes = 1
    store.remove(message)
    assert await outcome(store.commit([message])) == ["SpoolUnavailableError"]
    await until(lambda: not store._overdue)
    assert await outcome(store.commit([message])) == ["stored"]
    await asyncio.sleep(0.1)
    assert found(store) == [message.spool_id]


async def test_a_path_that_sounds_like_a_stall_is_none(store, disk):
    def fail() -> None:
        raise Exception("IO error: While fdatasync: /srv/Incomplete/db/4.log: Input/output error")  # noqa: TRY002

    disk.before_write = fail
    assert await outcome(store.commit([make_message()])) == ["SpoolUnavailableError"]
    assert store.trouble()
    disk.before_write = lambda: None
    await until(lambda: store.trouble() is None)
    assert found(store) == []


# -- cancellation


async def test_a_commit_cancelled_before_its_flush_stores_nothing(store, disk):
    disk.hold()
    first = await start(store.commit([kept := make_message()]))
    await until(disk.entered.is_set)
    waiting = await start(store.commit([make_message()]))
    waiting.cancel()
    disk.release()
    assert await outcome(first, waiting) == ["stored", "CancelledError"]
    await store.commit([])
    assert found(store) == [kept.spool_id]


async def test_a_commit_cancelled_during_its_flush_stores_nothing(store, disk):
    disk.hold()
    cancelled = await start(store.commit(make_shared(2)))
    await until(disk.entered.is_set)
    cancelled.cancel()
    assert await outcome(cancelled) == ["CancelledError"]
    disk.release()
    await store.commit([])
    assert found(store) == []
    assert keys(store, b"b") == keys(store, b"r") == []
    again = await start_again(store)
    assert found(again) == []
    await again.close()


async def test_a_commit_cancelled_in_the_moment_of_its_success_stores_nothing(store, disk):
    disk.hold()
    cancelled = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    flushed = store._flushed

    def flushed_then_cancelled(*facts) -> None:
        flushed(*facts)
        cancelled.cancel()

    store._flushed = flushed_then_cancelled
    disk.release()
    assert await outcome(cancelled) == ["CancelledError"]
    store._flushed = flushed
    assert found(store) == []


async def test_a_commit_cancelled_during_a_flush_that_fails_stores_nothing(store, disk):
    disk.hold()
    cancelled = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    cancelled.cancel()
    disk.failing_flushes = 1
    disk.release()
    assert await outcome(cancelled) == ["CancelledError"]
    await until(lambda: store.background_errors and store.trouble() is None)
    assert found(store) == []


# -- closing


async def test_closing_waits_for_the_flush_under_way_and_what_waits_behind_it(store, disk):
    disk.hold()
    first = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    second = await start(store.commit([make_message()]))
    closing = await start(store.close())
    disk.release()
    assert await outcome(first, second, closing) == ["stored"] * 3
    again = open_store(store.path)
    assert len(found(again)) == 2
    await again.close()


async def test_closing_refuses_what_a_last_failed_flush_covered(store, disk):
    disk.hold()
    commit = await start(store.commit([make_message()]))
    await until(disk.entered.is_set)
    closing = await start(store.close())
    disk.failing_flushes = 1
    disk.release()
    assert await outcome(commit, closing) == ["SpoolUnavailableError", "stored"]
    again = open_store(store.path)
    assert found(again) == []
    await again.close()


async def test_closing_writes_what_a_stall_left(store, disk):
    message = make_message()
    await store.commit([message])
    disk.stalled_writes = 1
    store.remove(message)
    again = await start_again(store)
    assert found(again) == []
    await again.close()


async def test_closing_during_trouble_is_prompt_and_tries_once_more(store, disk):
    message = make_message()
    await store.commit([message])
    disk.failing_flushes, disk.is_away = 1, True
    await outcome(store.commit([make_message()]))
    await until(lambda: store._db is None)
    store.remove(message)
    disk.is_away = False

    began = time.monotonic()
    again = await start_again(store)

    assert time.monotonic() - began < 0.4
    assert found(again) == []
    await again.close()


async def test_closing_while_the_disk_stays_away_says_what_is_lost(store, disk, caplog):
    message = make_message()
    await store.commit([message])
    disk.failing_flushes, disk.is_away = 1, True
    await outcome(store.commit([make_message()]))
    store.remove(message)
    await store.close()
    assert "they may be delivered again" in caplog.text


async def test_a_closed_store_gives_the_folder_back(store):
    await store.close()
    again = open_store(store.path)
    await again.close()


# -- damage


async def test_a_damaged_body_is_told_from_a_spool_out_of_reach(store, disk):
    message = make_message(b"find me " * 100)
    await store.commit([message])
    await store.close()
    for table in (store.path / "db").glob("*.sst"):
        raw = bytearray(table.read_bytes())
        place = raw.find(b"find me")
        raw[place] ^= 0xFF
        table.write_bytes(raw)
    again = open_store(store.path)
    with pytest.raises(SpoolEntryDamagedError):
        again.load_body(message.body_id)
    await again.close()


# -- the death of the process

CHILD = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from engine.base.clock import Clock
from engine.model.errors import SpoolUnavailableError
from engine.spool.disk_store import DiskStore
from tests.fakes.faulty_disk import FaultyDisk, make_message, make_shared

async def main():
    disk = FaultyDisk()
    store = DiskStore(Path({folder!r}), Clock(), asyncio.get_running_loop(), disk.open)
    store.open()
{body}
    sys.stdout.flush()
    os._exit(9)

asyncio.run(main())
"""


def die_after(folder: Path, body: str) -> list[str]:
    """Run a process that ends without a word; return what it printed before."""
    text = CHILD.format(
        root=str(ROOT), folder=str(folder), body=textwrap.indent(textwrap.dedent(body), "    ")
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 9, done.stderr
    return done.stdout.split()


@pytest.mark.slow
async def test_committed_mail_survives_the_death_of_the_process(tmp_path):
    ids = die_after(
        tmp_path / "spool",
        """
        one, two = make_message(), make_message()
        await store.commit([one])
        await store.commit([two], relaxed=True)
        print(one.id, two.id)
        """,
    )
    store = open_store(tmp_path / "spool")
    assert [one.hex() for one in found(store)] == ids
    await store.close()


@pytest.mark.slow
async def test_settlement_writes_survive_the_death_of_the_process_unflushed(tmp_path):
    (kept,) = die_after(
        tmp_path / "spool",
        """
        one, two = make_message(), make_message()
        await store.commit([one, two])
        one.attempts = 5
        store.update(one)
        store.remove(two)
        print(one.id)
        """,
    )
    store = open_store(tmp_path / "spool")
    (entry,) = store.enumerate()
    assert (entry.spool_id.hex(), entry.envelope.attempts) == (kept, 5)
    await store.close()


@pytest.mark.slow
async def test_a_shared_body_is_freed_with_the_last_envelope_across_a_crash(tmp_path):
    die_after(
        tmp_path / "spool",
        """
        shared = make_shared(3)
        await store.commit(shared)
        store.remove(shared[0])
        """,
    )
    store = open_store(tmp_path / "spool")
    left = [message_from(one.spool_id, one.envelope, 0.0) for one in store.enumerate()]
    assert len(left) == 2
    store.remove(left[0])
    assert store.load_body(left[1].body_id)
    store.remove(left[1])
    assert keys(store, b"b") == keys(store, b"r") == []
    await store.close()


@pytest.mark.slow
async def test_what_was_refused_does_not_come_back_when_the_process_dies_before_the_reopening(
    tmp_path,
):
    (kept,) = die_after(
        tmp_path / "spool",
        """
        kept = make_message()
        await store.commit([kept])
        disk.failing_flushes, disk.is_away = 1, True
        try:
            await store.commit(make_shared(2))
        except SpoolUnavailableError:
            print(kept.id)
        """,
    )
    store = open_store(tmp_path / "spool")
    assert [one.hex() for one in found(store)] == [kept]
    assert len(keys(store, b"b")) == 1
    await store.close()
