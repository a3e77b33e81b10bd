"""Messages as files: whole or not at all, and never in the place of others."""

from __future__ import annotations

import json
import stat

import pytest

from engine.spool_export import ExistsAlreadyError, MailFolder


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def test_a_message_is_two_files_that_only_their_owner_reads(tmp_path):
    folder = MailFolder(tmp_path / "new" / "folder")

    path = folder.put("1", b"content\r\n", {"sender": "ann@a.test", "meta": {"a": [1]}})

    assert path.read_bytes() == b"content\r\n"
    beside = path.with_suffix(".json")
    assert json.loads(beside.read_text()) == {"sender": "ann@a.test", "meta": {"a": [1]}}
    assert names(folder.path) == ["1.eml", "1.json"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, beside)] == [0o600, 0o600]
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["1.eml", "1.json"])
def test_nothing_is_overwritten_unless_asked_for(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ExistsAlreadyError, match=f"{name} exists already"):
        MailFolder(tmp_path).put("1", b"new", {})
    assert names(tmp_path) == [name] and (tmp_path / name).read_text() == "mine"

    MailFolder(tmp_path, overwrites=True).put("1", b"new", {})

    assert names(tmp_path) == ["1.eml", "1.json"]
    assert (tmp_path / "1.eml").read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    folder = MailFolder(tmp_path)
    sync = __import__("os").fsync

    def fsync(fd):
        (tmp_path / "1.eml").write_text("mine")
        sync(fd)

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(ExistsAlreadyError):
        folder.put("1", b"new", {})

    assert names(tmp_path) == ["1.eml"] and (tmp_path / "1.eml").read_text() == "mine"


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    folder = MailFolder(tmp_path)
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "full")))

    with pytest.raises(OSError, match="full"):
        folder.put("1", b"new", {})

    assert names(tmp_path) == []


def test_values_that_json_does_not_know_are_texts(tmp_path):
    MailFolder(tmp_path).put("1", b"", {"meta": {"a": b"x", "b": "\udcff"}})

    assert json.loads((tmp_path / "1.json").read_bytes())["meta"]["a"] == "b'x'"
