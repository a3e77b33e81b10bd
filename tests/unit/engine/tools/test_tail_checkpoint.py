"""Checkpoints: whole or the one before, and told when they are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.tools.segment_series import SeriesPosition
from engine.tools.tail_checkpoint import Checkpoint, CheckpointError, checkpoint_path

POSITION = {"/log": {"": SeriesPosition("20260101-000000.0", {"20260101-000000.0": 7})}}


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / ".x"
    assert Checkpoint(path).load() is None
    Checkpoint(path).save(POSITION)

    assert Checkpoint(path).load() == POSITION
    assert [one.name for one in tmp_path.iterdir()] == [".x"]


def test_what_is_saved_already_is_not_written_again(tmp_path):
    checkpoint = Checkpoint(tmp_path / "x")
    checkpoint.save(POSITION)
    checkpoint.path.unlink()
    checkpoint.save(dict(POSITION))
    assert checkpoint.load() is None

    checkpoint.save({})
    assert checkpoint.load() == {}


def test_what_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "x")
    checkpoint.save(POSITION)
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "full")))

    with pytest.raises(OSError, match="full"):
        checkpoint.save({})

    assert checkpoint.load() == POSITION


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no checkpoint"),
        ("{}", "no checkpoint"),
        ('{"version":1,"directories":{"/log":7}}', "no checkpoint"),
        ('{"version":2,"directories":{}}', "unknown version 2"),
        ("\udcff", "no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path, text, complaint):
    (tmp_path / "x").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(CheckpointError, match=complaint):
        Checkpoint(tmp_path / "x").load()


def test_a_name_is_hidden_in_the_directory_and_a_path_is_a_path():
    assert checkpoint_path("shipper", Path("/log")) == Path("/log/.shipper")
    assert checkpoint_path("/var/lib/x", Path("/log")) == Path("/var/lib/x")
    assert checkpoint_path("./x", Path("/log")) == Path("x")
