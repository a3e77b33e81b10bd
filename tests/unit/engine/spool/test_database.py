"""What RocksDB's errors mean, and batches."""

from __future__ import annotations

import pytest

from engine.spool.database import batch_of, is_corruption, is_stall, open_database


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
