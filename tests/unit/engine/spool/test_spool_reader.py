"""A spool for reading: locked, unchanged, without what was refused."""

from __future__ import annotations

import fcntl
import os

import pytest

from engine.model.errors import ConfigurationError, SpoolEntryDamagedError, SpoolLockedError
from engine.spool.spool_folder import SpoolFolder
from engine.spool.spool_reader import SpoolReader
from engine.spool.spool_store import DamagedEntry, StoredMessage
from tests.fakes.stored_mail import BODY, change, damage, mail, shared, state_of, store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


def ids(reader):
    return [one.spool_id for one in reader.messages() if isinstance(one, StoredMessage)]


@pytest.mark.parametrize("flush", [False, True])
def test_messages_and_bodies_are_read_from_tables_and_from_the_log(path, flush):
    messages = [mail(number) for number in range(3)]
    store(path, messages, flush=flush)

    with SpoolReader(path) as reader:
        assert ids(reader) == [one.spool_id for one in messages]
        assert reader.load(messages[1].spool_id).sender == "sender-1@x.test"
        assert reader.load(bytes(16)) is None
        assert reader.load_body(messages[1].body_id) == BODY
        with pytest.raises(SpoolEntryDamagedError, match="the body is missing"):
            reader.load_body(bytes(16))


def test_nothing_in_the_folder_changes(path):
    store(path, [mail(0)], shared(1, "a@a.test", "b@b.test"))
    before = state_of(path)

    with SpoolReader(path) as reader:
        assert len(ids(reader)) == 3

    assert state_of(path) == before


def test_a_node_and_a_reader_exclude_each_other(path):
    store(path, [mail(0)])
    folder = SpoolFolder(path)
    database = folder.open()
    with pytest.raises(SpoolLockedError, match=rf"a node is running .* \(process {os.getpid()}\)"):
        SpoolReader(path)
    database.close()
    folder.release()

    with SpoolReader(path):
        with pytest.raises(SpoolLockedError, match=f"in use by process {os.getpid()}"):
            SpoolFolder(path).open()
    SpoolFolder(path).open().close()


def test_a_lock_that_cannot_be_written_is_held_for_reading(path, monkeypatch):
    store(path, [mail(0)])
    start = os.open

    def open_for_reading(name, flags, *rest, **more):
        if str(name).endswith("owner") and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return start(name, flags, *rest, **more)

    monkeypatch.setattr("os.open", open_for_reading)
    owner = (path / "owner").read_bytes()
    with SpoolReader(path) as reader, (path / "owner").open("rb") as file:
        assert len(ids(reader)) == 1
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert (path / "owner").read_bytes() == owner


def test_a_copy_without_a_lock_is_read(path):
    store(path, [mail(0)])
    (path / "owner").unlink()

    with SpoolReader(path) as reader:
        assert len(ids(reader)) == 1
    assert not (path / "owner").exists()


def test_what_was_refused_is_not_there(path):
    kept, refused = mail(0), mail(1)
    store(path, [kept], [refused])
    keys = [b"m" + refused.spool_id, b"b" + refused.body_id]
    noted = b"".join(bytes((len(key),)) + key for key in keys)
    (path / "refused").write_bytes(noted + b"\0")

    with SpoolReader(path) as reader:
        assert ids(reader) == [kept.spool_id]
        assert reader.load(refused.spool_id) is None
        with pytest.raises(SpoolEntryDamagedError):
            reader.load_body(refused.body_id)
        assert [key for key, _ in reader.entries(b"b")][0] == b"b" + kept.body_id


@pytest.mark.parametrize("make", ["nothing", "empty", "file"])
def test_what_is_no_spool_is_said(path, make):
    if make != "nothing":
        path.mkdir()
    if make == "file":
        (path / "db").write_text("no folder")

    with pytest.raises(ConfigurationError, match="is no spool"):
        SpoolReader(path)


def test_a_database_that_cannot_be_opened_is_said_and_the_lock_given_back(path):
    store(path, [mail(0)])
    (path / "db" / "CURRENT").unlink()

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            SpoolReader(path)


def test_a_spool_of_another_format_is_not_read(path):
    change(path, {b"format": b"2"})

    with pytest.raises(ConfigurationError, match="has format 2; this version of Cirrus reads 1"):
        SpoolReader(path)


def test_damage_is_an_entry_and_an_error(path):
    messages = [mail(number, meta={"filler": "x" * 2000}) for number in range(20)]
    store(path, messages, flush=True)
    damage(path, b"sender-7@x.test")

    with SpoolReader(path) as reader:
        found = list(reader.messages())
        assert sum(isinstance(one, DamagedEntry) for one in found) == 1
        assert 15 < len(ids(reader)) < 20
        with pytest.raises(SpoolEntryDamagedError):
            reader.load(messages[7].spool_id)
        with pytest.raises(SpoolEntryDamagedError):
            list(reader.entries(b"m"))


def test_an_envelope_that_does_not_decode_is_an_error(path):
    message = mail(0)
    change(path, {b"m" + message.spool_id: b"no envelope"})

    with SpoolReader(path) as reader, pytest.raises(SpoolEntryDamagedError, match="damaged envel"):
        reader.load(message.spool_id)
