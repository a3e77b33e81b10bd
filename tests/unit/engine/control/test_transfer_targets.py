"""Who we are to other nodes, and how transfers to them go."""

import logging
import stat

import pytest

from engine.control import transfer_targets
from engine.control.transfer_targets import FILE_NAME, TransferTargets, write_private
from engine.model.transfer_target import parse_target

NODE = parse_target("http://10.0.0.2:8000")
WITH_USER = parse_target("http://ann:s3cret@10.0.0.2:8000")


@pytest.fixture
def targets(tmp_path):
    made = TransferTargets(lambda: 1000.0)
    made.open(tmp_path)
    return made


def test_a_target_wants_no_credentials_until_some_were_named(targets):
    assert targets.credentials(NODE) is None
    targets.learn(NODE)
    assert targets.credentials(NODE) is None

    targets.learn(WITH_USER)

    assert targets.credentials(NODE) == ("ann", "s3cret")
    assert targets.credentials(WITH_USER) == ("ann", "s3cret")
    assert targets.credentials(parse_target("http://bob@10.0.0.2:8000")) == ("bob", "")


def test_credentials_survive_a_restart_for_the_nodes_user_alone(targets, tmp_path):
    targets.learn(WITH_USER)

    again = TransferTargets(lambda: 0.0)
    again.open(tmp_path)

    assert again.credentials(NODE) == ("ann", "s3cret")
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_what_is_named_without_credentials_keeps_those_that_are_known(targets):
    targets.learn(WITH_USER)
    targets.learn(NODE)
    assert targets.credentials(NODE) == ("ann", "s3cret")


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b'{"http://h/": 5}', b"\xff"])
def test_a_file_that_cannot_be_understood_is_said_and_its_content_is_not(tmp_path, caplog, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    targets = TransferTargets(lambda: 0.0)
    targets.open(tmp_path)

    assert "cannot be read" in caplog.text
    targets.learn(WITH_USER)
    assert targets.credentials(NODE) == ("ann", "s3cret")


def test_a_disk_that_takes_nothing_is_said_and_this_run_has_the_credentials(tmp_path, caplog):
    targets = TransferTargets(lambda: 0.0)
    targets.open(tmp_path / "nowhere")

    targets.learn(WITH_USER)

    assert "cannot be written" in caplog.text
    assert "s3cret" not in caplog.text
    assert targets.credentials(NODE) == ("ann", "s3cret")


def test_before_a_folder_is_there_nothing_is_written():
    targets = TransferTargets(lambda: 0.0)
    targets.learn(WITH_USER)
    assert targets.credentials(NODE) == ("ann", "s3cret")


def test_what_came_of_transfers_is_counted_by_target(targets):
    targets.note_taken(NODE)
    targets.note_failed(NODE, "no connection")
    targets.note_failed(NODE, "no connection")

    tally = targets.tally(WITH_USER)

    assert (tally.transferred, tally.failed) == (1, 2)
    assert (tally.last_error, tally.last_error_at) == ("no connection", 1000.0)
    targets.note_taken(NODE)
    assert tally.last_error is None


def test_an_error_is_said_once_while_it_lasts(targets, caplog):
    with caplog.at_level(logging.WARNING, "cirrus.transfer"):
        for _ in range(3):
            targets.note_failed(NODE, "no connection")
        targets.note_failed(NODE, "it answered 503")

    assert [record.getMessage().partition("/: ")[2] for record in caplog.records] == [
        "no connection",
        "it answered 503",
    ]


def test_the_number_of_targets_is_bounded(targets, monkeypatch):
    monkeypatch.setattr(transfer_targets, "TARGETS_MAX", 3)
    for number in range(10):
        target = parse_target(f"http://ann:{number}@h{number}")
        targets.learn(target)
        targets.note_taken(target)

    assert len(targets._kept) == len(targets._tallies) == 3
    assert targets.credentials(parse_target("http://h9")) == ("ann", "9")


def test_a_private_file_takes_the_place_of_the_old_one_whole(tmp_path):
    path = tmp_path / "kept.json"
    path.with_suffix(".new").write_text("left by a crash")
    write_private(path, b"one")
    write_private(path, b"two")

    assert path.read_bytes() == b"two"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kept.json"]
