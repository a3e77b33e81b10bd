"""The note of refused messages: kept when it matters, and never more than was noted."""

from __future__ import annotations

import pytest

from engine.spool.refused_note import RESERVED_BYTES, RefusedNote


@pytest.fixture
def note(tmp_path):
    note = RefusedNote(tmp_path / "refused")
    note.open()
    yield note
    note.close()


def reread(tmp_path) -> list[bytes]:
    other = RefusedNote(tmp_path / "refused")
    other.open()
    keys = other.keys()
    other.close()
    return keys


def test_a_new_note_names_nothing(note):
    assert note.keys() == []


def test_what_was_noted_is_read_by_the_next_process(note, tmp_path):
    note.add([b"m" + bytes(16), b"b\x01"])
    note.add(iter([b"r" + bytes(32)]))
    assert reread(tmp_path) == [b"m" + bytes(16), b"b\x01", b"r" + bytes(32)]


def test_a_note_goes_on_where_the_last_process_stopped(note, tmp_path):
    note.add([b"one"])
    other = RefusedNote(tmp_path / "refused")
    other.open()
    other.add([b"two"])
    other.close()
    assert reread(tmp_path) == [b"one", b"two"]


def test_what_was_cleared_does_not_come_back_behind_a_shorter_note(note, tmp_path):
    note.add([b"a long one", b"another"])
    note.clear()
    assert reread(tmp_path) == []
    note.add([b"new"])
    assert reread(tmp_path) == [b"new"]


def test_noting_nothing_leaves_the_note(note, tmp_path):
    note.add([b"one"])
    note.add([])
    assert reread(tmp_path) == [b"one"]


def test_a_note_that_was_cut_off_names_only_whole_keys(tmp_path):
    (tmp_path / "refused").write_bytes(b"\x03one\x10cut")
    assert reread(tmp_path) == [b"one"]


def test_a_note_behind_one_that_was_cut_off_is_read(tmp_path):
    (tmp_path / "refused").write_bytes(b"\x03one\x10cut")
    note = RefusedNote(tmp_path / "refused")
    note.open()
    note.add([b"two"])
    note.close()
    assert reread(tmp_path) == [b"one", b"two"]


def test_its_place_is_reserved(note, tmp_path):
    assert (tmp_path / "refused").stat().st_size >= RESERVED_BYTES


def test_more_than_the_place_reserved_is_noted_too(note, tmp_path):
    keys = [b"m" + number.to_bytes(16, "big") for number in range(10_000)]
    note.add(keys)
    assert reread(tmp_path) == keys


def test_a_note_that_cannot_be_written_is_said_aloud(note, caplog):
    note.close()
    note.add([b"one"])
    assert "may be delivered" in caplog.text
