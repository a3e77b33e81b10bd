"""What RocksDB's errors mean, and batches."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from engine.spool.database import (
    batch_of,
    is_corruption,
    is_short_of_space,
    is_stall,
    open_database,
    open_read_only,
)


@pytest.mark.parametrize(
    ("text", "stall", "corruption"),
    [
        ("Result incomplete: Write stall", True, False),
        ("Corruption: block checksum mismatch in /x/000009.sst", False, True),
        (
            "IO error: While fdatasync: /srv/Result incomplete/4.log: Input/output error",
            False,
            False,
        ),
        ("IO error: /Corruption: /4.log", False, False),
        ("", False, False),
    ],
)
def test_errors_are_told_apart_by_their_first_words(text, stall, corruption):
    assert is_stall(Exception(text)) == stall
    assert is_corruption(Exception(text)) == corruption


def test_a_batch_puts_and_deletes(tmp_path):
    database = open_database(tmp_path)
    database.put(b"gone", b"x")
    database.write(batch_of({b"gone": None, b"new": b"1", b"empty": b""}))
    assert dict(database.items()) == {b"new": b"1", b"empty": b""}
    database.close()


@pytest.mark.parametrize(
    ("total_gb", "free_gb", "short"),
    [(1, 0.3, False), (1, 0.2, True), (1000, 9, False), (1000, 7, True)],
)
def test_space_is_short_below_a_quarter_and_never_above_a_few_gigabytes(
    tmp_path, monkeypatch, total_gb, free_gb, short
):
    block = 4096
    state = SimpleNamespace(
        f_frsize=block,
        f_blocks=int(total_gb * 2**30 / block),
        f_bavail=int(free_gb * 2**30 / block),
    )
    monkeypatch.setattr(os, "statvfs", lambda path: state)
    assert is_short_of_space(tmp_path) == short


@pytest.mark.slow
def test_deleted_mail_gives_its_space_back_once_its_deletion_is_written(tmp_path):
    folder = tmp_path / "db"
    database = open_database(folder)

    def size() -> int:
        return sum(table.stat().st_size for table in folder.glob("*.sst"))

    for number in range(200):
        database.put(b"b%016d" % number, os.urandom(20_000))
    database.flush()
    assert size() > 4_000_000
    for number in range(200):
        database.delete(b"b%016d" % number)
    database.flush()

    deadline = time.monotonic() + 20
    while size() > 100_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert size() <= 100_000
    database.close()


def test_a_database_opened_for_reading_is_not_changed(tmp_path):
    folder = tmp_path / "db"
    database = open_database(folder)
    database.put(b"m1", b"one")
    database.close()
    before = {one.name: one.read_bytes() for one in folder.iterdir()}

    database = open_read_only(folder)
    assert database.get(b"m1") == b"one"
    with pytest.raises(Exception, match="read only"):
        database.put(b"m2", b"two")
    database.close()

    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
    with pytest.raises(Exception, match=r"does not exist|No such file"):
        open_read_only(tmp_path / "none")
