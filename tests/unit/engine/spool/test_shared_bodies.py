"""Who is the last to refer to a body: known, counted, or not to be known."""

from __future__ import annotations

import pytest

from engine.spool.database import open_database
from engine.spool.shared_bodies import SharedBodies, count_references, free_unreferenced

BODY, OTHER = b"B" * 16, b"C" * 16


def message_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def reference(number: int, body: bytes = BODY) -> bytes:
    return b"r" + body + message_id(number)


@pytest.fixture
def database(tmp_path):
    database = open_database(tmp_path / "db")
    for number in range(3):
        database.put(reference(number), b"")
    database.put(reference(9, OTHER), b"")
    yield database
    database.close()


def test_references_are_counted_for_one_body(database):
    assert count_references(database, BODY, {}) == 3
    assert count_references(database, OTHER, {}) == 1
    assert count_references(database, b"D" * 16, {}) == 0


def test_a_deletion_that_waits_counts_as_done(database):
    assert count_references(database, BODY, {reference(1): None}) == 2


def test_the_last_release_frees_the_body(database):
    bodies = SharedBodies()
    assert bodies.release(BODY, message_id(0), database, {}) == {reference(0): None}
    assert bodies.release(BODY, message_id(1), database, {}) == {reference(1): None}
    last = bodies.release(BODY, message_id(2), database, {})
    assert last == {reference(2): None, b"b" + BODY: None}


def test_numbers_known_need_no_database():
    bodies = SharedBodies()
    bodies.add(BODY)
    bodies.add(BODY)
    assert b"b" + BODY not in bodies.release(BODY, message_id(0), None, {})
    assert b"b" + BODY in bodies.release(BODY, message_id(1), None, {})
    assert bodies.uncounted == set()


def test_a_body_that_cannot_be_counted_is_kept_however_often_it_is_released():
    bodies = SharedBodies()
    for number in range(3):
        assert b"b" + BODY not in bodies.release(BODY, message_id(number), None, {})
    assert bodies.uncounted == {BODY}


def test_only_what_nobody_refers_to_is_freed(database):
    pending = {reference(9, OTHER): None}
    assert free_unreferenced(database, {BODY, OTHER}, pending) == {b"b" + OTHER: None}


def test_a_body_whose_references_are_damaged_is_kept(tmp_path, caplog):
    database = open_database(tmp_path)
    for number in range(3):
        database.put(reference(number), b"find me" * 10)
    database.flush()
    database.close()
    (table,) = tmp_path.glob("*.sst")
    raw = bytearray(table.read_bytes())
    raw[raw.index(b"find me")] ^= 0xFF
    table.write_bytes(raw)

    database = open_database(tmp_path)
    assert free_unreferenced(database, {BODY}, {}) == {}
    assert SharedBodies().release(BODY, message_id(0), database, {}) == {reference(0): None}
    assert "cannot be read" in caplog.text
    database.close()
