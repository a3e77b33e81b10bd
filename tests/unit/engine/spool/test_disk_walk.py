"""A walk over a real database with damaged blocks."""

from __future__ import annotations

import pytest

from engine.base.clock import Clock
from engine.model.message import encode_envelope, new_spool_id
from engine.spool.database import open_database
from engine.spool.disk_walk import walk
from engine.spool.spool_store import DamagedEntry, StoredMessage
from tests.fakes.faulty_disk import make_message

#: Octets of an envelope here: some ten of them share a block of 4 KiB.
_ENVELOPE_META = {"filler": "x" * 300}


def fill(folder, count: int, apart_ms: int = 1000) -> list[bytes]:
    """Store envelopes whose ids are that far apart, in a table file; return their ids."""
    database = open_database(folder)
    ids = []
    for number in range(count):
        message = make_message(meta=_ENVELOPE_META, sender=f"number-{number}@x.test")
        spool_id = new_spool_id((1_700_000_000_000 + number * apart_ms) * 1_000_000)
        database.put(b"m" + spool_id, encode_envelope(message, Clock().wall()))
        ids.append(bytes(spool_id))
    database.put(b"q" + bytes(16), b"set aside")
    database.flush()
    database.close()
    return ids


def damage(folder, *marks: bytes) -> None:
    (table,) = folder.glob("*.sst")
    raw = bytearray(table.read_bytes())
    for mark in marks:
        raw[raw.index(mark)] ^= 0xFF
    table.write_bytes(raw)


def walked(folder) -> list[StoredMessage | DamagedEntry]:
    database = open_database(folder)
    entries = list(walk(database.iter(), database.iter))
    database.close()
    return entries


def intact(entries) -> list[bytes]:
    return [bytes(one.spool_id) for one in entries if isinstance(one, StoredMessage)]


def test_every_envelope_is_handed_out_and_nothing_else(tmp_path):
    ids = fill(tmp_path, 200)
    assert intact(walked(tmp_path)) == ids


def test_an_empty_spool_has_no_entries(tmp_path):
    assert walked(tmp_path) == []


@pytest.mark.parametrize("apart_ms", [0, 1, 1000, 3_600_000, 86_400_000])
def test_a_damaged_block_hides_only_itself(tmp_path, apart_ms):
    ids = fill(tmp_path, 200, apart_ms)
    damage(tmp_path, b"number-100@")

    entries = walked(tmp_path)

    reports = [one for one in entries if isinstance(one, DamagedEntry)]
    assert len(reports) == 1
    assert "block checksum mismatch" in reports[0].reason
    hidden = [ids.index(one) for one in set(ids) - set(intact(entries))]
    assert 100 in hidden
    assert max(hidden) - min(hidden) == len(hidden) - 1
    assert len(hidden) < 15


def test_two_damaged_blocks_are_two_reports(tmp_path):
    ids = fill(tmp_path, 300)
    damage(tmp_path, b"number-50@", b"number-200@")
    entries = walked(tmp_path)
    assert sum(isinstance(one, DamagedEntry) for one in entries) == 2
    assert len(intact(entries)) > len(ids) - 30


@pytest.mark.parametrize("mark", [b"number-0@", b"number-199@"])
def test_damage_at_an_end_hides_only_itself(tmp_path, mark):
    ids = fill(tmp_path, 200)
    damage(tmp_path, mark)
    entries = walked(tmp_path)
    assert sum(isinstance(one, DamagedEntry) for one in entries) == 1
    assert len(intact(entries)) > len(ids) - 15


def test_the_walk_ends_where_everything_is_damaged(tmp_path):
    fill(tmp_path, 60)
    damage(tmp_path, *(b"number-%d@" % number for number in range(60)))
    entries = walked(tmp_path)
    assert intact(entries) == []
    assert 1 <= len(entries) <= 20


def test_a_key_that_is_no_id_is_damage(tmp_path):
    (good,) = fill(tmp_path, 1)
    database = open_database(tmp_path)
    database.put(b"m\x01short", b"x")
    database.close()
    entries = walked(tmp_path)
    assert entries[0] == DamagedEntry(b"\x01short", "its key is no spool id")
    assert intact(entries) == [good]
