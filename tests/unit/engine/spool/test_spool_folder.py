"""The folder of a spool: who may have it, and what it must look like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.model.errors import ConfigurationError, SpoolLockedError
from engine.spool.database import open_database
from engine.spool.spool_folder import FORMAT_KEY, SpoolFolder

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def folder(tmp_path):
    folder = SpoolFolder(tmp_path / "spool")
    yield folder
    folder.release()


def opened(path: Path) -> dict[bytes, bytes]:
    """Return what a spool holds once it was opened."""
    folder = SpoolFolder(path)
    database = folder.open()
    held = dict(database.items())
    database.close()
    folder.release()
    return held


def test_a_new_folder_is_made_with_its_format(folder):
    database = folder.open()
    assert database.get(FORMAT_KEY) == b"1"
    database.close()


def test_a_second_owner_is_refused_by_name(folder):
    folder.open().close()
    with pytest.raises(SpoolLockedError, match=f"is in use by process {os.getpid()}$"):
        SpoolFolder(folder.path).open()


def test_a_second_owner_leaves_the_first_its_lock(folder):
    folder.open().close()
    for _ in range(2):
        with pytest.raises(SpoolLockedError):
            SpoolFolder(folder.path).open()


@pytest.mark.slow
def test_a_second_process_is_refused(folder):
    folder.open()
    text = (
        "import sys; from pathlib import Path; from engine.spool.spool_folder import SpoolFolder;"
        "SpoolFolder(Path(sys.argv[1])).open()"
    )
    second = subprocess.run(
        [sys.executable, "-c", text, str(folder.path)], cwd=ROOT, capture_output=True, text=True
    )
    assert f"is in use by process {os.getpid()}" in second.stderr


def test_a_folder_given_back_can_be_had_again(folder):
    folder.open().close()
    folder.release()
    assert opened(folder.path)[FORMAT_KEY] == b"1"


def test_another_format_is_refused_and_the_folder_given_back(tmp_path):
    path = tmp_path / "spool"
    opened(path)
    database = open_database(path / "db")
    database.put(FORMAT_KEY, b"2")
    database.close()

    with pytest.raises(ConfigurationError, match="has format 2; this version of Cirrus reads 1"):
        opened(path)

    database = open_database(path / "db")
    assert database.get(FORMAT_KEY) == b"2"
    database.put(FORMAT_KEY, b"1")
    database.close()
    assert opened(path)[FORMAT_KEY] == b"1"


def test_a_format_that_cannot_be_read_keeps_no_mail_from_going(tmp_path, caplog):
    path = tmp_path / "spool"
    folder = SpoolFolder(path)
    database = folder.open()
    database.put(b"b" + bytes(16), b"find me" * 10)
    database.flush()
    database.close()
    folder.release()
    (table,) = (path / "db").glob("*.sst")
    raw = bytearray(table.read_bytes())
    raw[raw.index(b"find me")] ^= 0xFF
    table.write_bytes(raw)

    folder = SpoolFolder(path)
    database = folder.open()
    database.put(b"m", b"x")
    database.close()
    folder.release()

    assert "format of the spool" in caplog.text


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"cannot be used: Not a directory$"):
        opened(tmp_path / "file" / "spool")
    with pytest.raises(ConfigurationError, match=r"cannot be used: File exists$"):
        opened(tmp_path / "file")


def test_a_database_that_cannot_be_opened_is_one_line_and_the_folder_given_back(tmp_path):
    path = tmp_path / "spool"
    opened(path)
    current = path / "db" / "CURRENT"
    good = current.read_bytes()
    current.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match="cannot be opened: Corruption") as raised:
        opened(path)
    assert "\n" not in str(raised.value)
    current.write_bytes(good)
    opened(path)


def test_what_was_refused_is_deleted_before_the_database_is_used(folder):
    database = folder.open()
    for key in (b"m1", b"b1", b"m2"):
        database.put(key, b"x")
    database.close()
    folder.note.add([b"m1", b"b1"])
    folder.release()

    held = opened(folder.path)

    assert b"m2" in held
    assert not {b"m1", b"b1"} & set(held)
    assert (folder.path / "refused").read_bytes()[:1] == b"\0"


def test_a_reopened_database_has_what_was_overdue_and_nothing_refused(folder):
    database = folder.open()
    for key in (b"m1", b"m2", b"m3"):
        database.put(key, b"old")
    database.close()
    folder.note.add([b"m3"])

    database = folder.open_again({b"m1": b"new", b"m2": None})

    held = dict(database.items())
    assert held[b"m1"] == b"new"
    assert not {b"m2", b"m3"} & set(held)
    database.close()
    folder.note.add([])
    assert folder.note.keys() == []


def test_a_body_without_references_is_freed_at_the_reopening(folder):
    database = folder.open()
    body, needed = b"B" * 16, b"C" * 16
    for one in (body, needed):
        database.put(b"b" + one, b"content")
    database.put(b"r" + body + bytes(16), b"")
    database.put(b"r" + needed + bytes(16), b"")
    database.close()

    database = folder.open_again({b"r" + body + bytes(16): None}, {body, needed})

    assert database.get(b"b" + body) is None
    assert database.get(b"b" + needed) == b"content"
    database.close()
