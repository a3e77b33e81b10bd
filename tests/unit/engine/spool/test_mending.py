"""A long log is replayed beside the node, so that the node's loop is not held by it."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time

import pytest

from engine.spool import mending
from engine.spool.database import open_database
from engine.spool.mending import SHORT_LOG_BYTES, log_bytes, replay
from engine.spool.spool_folder import SpoolFolder


def crashed(folder, messages: int) -> None:
    """Leave a database as a crash would: everything in its log."""
    living = folder.with_name("living")
    database = open_database(living)
    for number in range(messages):
        database.put(b"b%016d" % number, os.urandom(100_000))
    database.flush_wal(True)
    shutil.copytree(living, folder, ignore=shutil.ignore_patterns("LOCK"))
    database.close()


def held(folder) -> int:
    database = open_database(folder)
    count = len(list(database.keys()))
    database.close()
    return count


@pytest.mark.slow
def test_a_long_log_becomes_tables(tmp_path):
    crashed(tmp_path / "db", 100)
    assert log_bytes(tmp_path / "db") > 10_000_000
    replay(tmp_path / "db")
    assert log_bytes(tmp_path / "db") <= SHORT_LOG_BYTES
    assert held(tmp_path / "db") == 100


def test_a_short_log_is_left_to_the_node(tmp_path):
    crashed(tmp_path / "db", 3)
    before = log_bytes(tmp_path / "db")
    replay(tmp_path / "db")
    assert log_bytes(tmp_path / "db") == before


def test_a_folder_that_is_away_is_left_to_the_node(tmp_path):
    replay(tmp_path / "nothing")


@pytest.mark.slow
def test_a_child_that_fails_leaves_the_database_to_the_node(tmp_path, caplog):
    crashed(tmp_path / "db", 100)
    current = tmp_path / "db" / "CURRENT"
    good = current.read_bytes()
    current.write_bytes(b"nonsense")
    replay(tmp_path / "db")
    assert "Corruption" in caplog.text
    current.write_bytes(good)
    assert held(tmp_path / "db") == 100


def test_a_child_that_cannot_be_started_leaves_the_database_to_the_node(
    tmp_path, monkeypatch, caplog
):
    crashed(tmp_path / "db", 50)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    replay(tmp_path / "db")
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert held(tmp_path / "db") == 50


@pytest.mark.slow
def test_other_threads_go_on_while_a_long_log_is_replayed(tmp_path):
    folder = SpoolFolder(tmp_path)
    folder.open().close()
    shutil.rmtree(tmp_path / "db")
    crashed(tmp_path / "db", 250)
    longest_s, enough = 0.0, threading.Event()

    def tick() -> None:
        nonlocal longest_s
        last = time.monotonic()
        while not enough.wait(0.001):
            longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()

    thread = threading.Thread(target=tick)
    thread.start()
    database = folder.open_again({})
    enough.set()
    thread.join()
    database.close()
    folder.release()

    # In the node itself this log takes some 70 ms; an open without one, some 7 ms.
    assert longest_s < 0.04


def test_the_child_opens_what_it_is_told_to(tmp_path):
    mending.main(["", str(tmp_path / "db")])
    assert (tmp_path / "db" / "CURRENT").exists()
