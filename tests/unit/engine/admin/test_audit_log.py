"""The audit log: bounded, kept over restarts, without credentials."""

from __future__ import annotations

import errno
import os

import pytest

from engine.admin import audit_log
from engine.admin.audit_log import (
    DENIED_A_MINUTE,
    AuditLog,
    AuditResult,
    files_of,
    shown_arguments,
)
from engine.model.caller import Caller

ANN = Caller("ann", "192.0.2.1")


class Wall:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def log(tmp_path, wall):
    made = AuditLog(wall)
    made.open(tmp_path / "audit")
    yield made
    made.close()


def entries(log, limit=1000):
    return log.reader()(lambda entry: True, limit)


def test_an_entry_says_who_did_what_from_where_with_what_result(log):
    log.note(ANN, "bounce", {"reason": "spam", "tenant": None}, AuditResult.DONE, "id-1")

    (entry,) = entries(log)
    assert (entry.identity, entry.origin, entry.channel) == ("ann", "192.0.2.1", "http")
    assert (entry.act, entry.arguments, entry.result) == ("bounce", {"reason": "spam"}, "done")
    assert (entry.time, entry.detail) == ("2023-11-14T22:13:20.000000Z", "id-1")


def test_the_latest_come_first_and_no_more_than_wanted(log):
    for number in range(5):
        log.note(ANN, f"act-{number}", {}, AuditResult.DONE)

    found = log.reader()(lambda entry: entry.act != "act-3", 2)
    assert [entry.act for entry in found] == ["act-4", "act-2"]


def test_entries_outlive_the_node_and_a_line_that_was_cut_off(tmp_path, log, wall):
    log.note(ANN, "before", {}, AuditResult.DONE)
    log.close()
    (path,) = [path for _, path in files_of(tmp_path / "audit")]
    with path.open("ab") as file:
        file.write(b'{"time":"2023-')

    later = AuditLog(wall)
    later.open(tmp_path / "audit")
    later.note(ANN, "after", {}, AuditResult.DONE)

    assert [entry.act for entry in entries(later)] == ["after", "before"]
    assert path.stat().st_mode & 0o777 == 0o600
    later.close()


def test_what_is_noted_before_there_is_a_folder_is_written_once_there_is(tmp_path, wall):
    early = AuditLog(wall)
    early.note(ANN, "early", {}, AuditResult.DONE)
    assert [entry.act for entry in entries(early)] == ["early"]

    early.open(tmp_path / "audit")

    assert b'"early"' in next(iter(files_of(tmp_path / "audit")))[1].read_bytes()
    assert [entry.act for entry in entries(early)] == ["early"]
    early.close()


def test_the_log_is_bounded_and_loses_the_oldest(tmp_path, log, monkeypatch):
    monkeypatch.setattr(audit_log, "FILE_BYTES", 2000)
    monkeypatch.setattr(audit_log, "FILES_KEPT", 3)

    for number in range(200):
        log.note(ANN, f"act-{number}", {}, AuditResult.DONE)

    files = files_of(tmp_path / "audit")
    assert len(files) == 3
    assert sum(path.stat().st_size for _, path in files) <= 6000
    found = [entry.act for entry in entries(log)]
    assert found == [f"act-{number}" for number in range(199, 199 - len(found), -1)]
    assert len(found) > 20


def test_a_disk_that_takes_nothing_loses_no_entry(log, monkeypatch, caplog):
    log.note(ANN, "first", {}, AuditResult.DONE)
    real = os.write
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(fd, data):
        raise full

    monkeypatch.setattr(os, "write", refuse)
    log.note(ANN, "second", {}, AuditResult.DONE)
    log.note(ANN, "third", {}, AuditResult.DONE)
    assert [entry.act for entry in entries(log)] == ["third", "second", "first"]
    assert caplog.text.count("cannot be written") == 1

    monkeypatch.setattr(os, "write", real)
    log.note(ANN, "fourth", {}, AuditResult.DONE)
    assert [entry.act for entry in entries(log)] == ["fourth", "third", "second", "first"]


def test_a_line_that_fits_only_in_part_is_taken_back(log, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
    log.note(ANN, "half", {}, AuditResult.DONE)
    monkeypatch.setattr(os, "write", real)
    log.note(ANN, "whole", {}, AuditResult.DONE)

    assert [entry.act for entry in entries(log)] == ["whole", "half"]


def test_equal_refusals_are_counted_and_not_repeated(log, wall):
    for _ in range(50):
        log.note_denied(ANN, "GET /api/admin/x", "not allowed")
    log.note_denied(Caller("bob", "192.0.2.9"), "GET /api/admin/x", "not allowed")
    wall.now += 61
    log.note_denied(ANN, "GET /api/admin/x", "not allowed")

    found = [(entry.identity, entry.result, entry.repeats) for entry in entries(log)]
    assert found == [("ann", "denied", 49), ("bob", "denied", 0), ("ann", "denied", 0)]


def test_a_caller_with_many_names_takes_no_memory_without_end(log, monkeypatch):
    monkeypatch.setattr(audit_log, "REPEATS_MAX", 10)
    for number in range(100):
        log.note_denied(Caller(f"user-{number}", "192.0.2.1"), "GET /x", "no")

    assert len(log._denied) <= 10


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"target": "https://user:pw@peer.example/x"}, {"target": "https://***@peer.example/x"}),
        (
            {"data": {"smtp_auth_plain_password": "pw"}},
            {"data": {"smtp_auth_plain_password": "(hidden)"}},
        ),
        ({"api_token": "t", "n": 1, "yes": True}, {"api_token": "(hidden)", "n": 1, "yes": True}),
        ({"names": ["a", "b"], "none": None, "empty": []}, {"names": ["a", "b"]}),
        ({"text": "x" * 1000}, {"text": "x" * 512 + "..."}),
        ({"many": list(range(1000))}, {"many": list(range(50))}),
        ({"odd": b"\x00"}, {"odd": "b'\\x00'"}),
    ],
)
def test_arguments_are_shown_without_credentials_and_not_at_any_length(given, shown):
    assert shown_arguments(given) == shown


def test_callers_from_many_addresses_cannot_flush_the_log(log, wall):
    for number in range(10_000):
        origin = f"2001:db8::{number:x}"
        log.note_denied(Caller(origin, origin), "GET /api/admin/x", "wrong credentials")
    wall.now += 61
    log.note_denied(ANN, "GET /api/admin/x", "not allowed")

    found = entries(log)
    assert len(found) == DENIED_A_MINUTE + 2
    assert found[0].identity == "ann"
    assert (found[1].identity, found[1].repeats) == ("(many)", 10_000 - DENIED_A_MINUTE)


def test_what_is_said_in_turning_a_caller_away_makes_an_entry_another_one(log):
    for text in ["wrong credentials"] * 20 + ["too many wrong credentials"] * 20:
        log.note_denied(ANN, "GET /api/admin/x", text)

    assert [one.detail for one in entries(log)] == [
        "too many wrong credentials",
        "wrong credentials",
    ]
