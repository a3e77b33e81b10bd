"""``cirrus spool``: what operators see of a spool while its node is stopped."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from engine.base.command_line import FAILED
from engine.model.errors import SpoolLockedError
from engine.spool.spool_folder import SpoolFolder
from engine.spool_tool import spool
from tests.fakes.stored_mail import BODY, PREFIX, change, mail, state_of, store


@pytest.fixture
def messages():
    return [
        mail(0),
        mail(1, ["bob@b.test"], meta={"tenant": "acme", "job": "\x1b7"}),
        mail(2, ["carl@b.test", "dora@b.test"]),
    ]


@pytest.fixture
def path(tmp_path, messages):
    store(tmp_path / "spool", messages)
    return tmp_path / "spool"


def run(*arguments):
    return CliRunner().invoke(spool, [str(one) for one in arguments], standalone_mode=False)


def listed(*arguments):
    result = run("list", *arguments, "--json")
    assert result.return_value == 0, result.output
    return [json.loads(line)["sender"].partition("@")[0] for line in result.stdout.splitlines()]


def test_messages_are_listed_with_what_is_known_of_them(path, messages):
    result = run("list", path)

    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [one.id for one in messages]
    assert lines[1].split()[1:4] == ["acme@b.test", "sender-1@x.test", "bob@b.test"]
    assert (result.return_value, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "senders"),
    [
        ((), ["sender-0", "sender-1", "sender-2"]),
        (("--queue", "a.test"), ["sender-0"]),
        (("--domain", "b.test"), ["sender-1", "sender-2"]),
        (("--tenant", "acme"), ["sender-1"]),
        (("--sender", "sender-2@x.test"), ["sender-2"]),
        (("--recipient", "dora@b.test"), ["sender-2"]),
        (("--campaign", "none"), []),
    ],
)
def test_a_list_has_what_is_asked_for(path, options, senders):
    assert listed(path, *options) == senders


def test_damage_is_said_beside_the_list(path, messages):
    change(path, {b"m" + messages[1].spool_id: b"no envelope"})

    result = run("list", path)

    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith(f"cirrus: {messages[1].id}: damaged envelope")
    assert result.return_value == FAILED


def test_a_message_is_shown_with_metadata_and_headers_and_harms_no_terminal(path, messages):
    result = run("show", path, messages[1].id)

    assert result.return_value == 0
    assert "queue:           acme@b.test\n" in result.stdout
    assert 'recipients:      ["bob@b.test"]\n' in result.stdout
    assert "\nReceived: from there\nSubject: hello\nX-Bell: \\x07\n" in result.stdout
    assert "words of the body" not in result.stdout
    assert "\x1b" not in result.stdout

    shown = json.loads(run("show", path, messages[1].id, "--json").stdout)
    assert shown["meta"] == {"tenant": "acme", "job": "\x1b7"}
    assert shown["headers"].startswith("Received: from there\r\n")


def test_a_message_without_its_body_is_shown_as_far_as_it_goes(path, messages):
    change(path, {b"b" + messages[0].body_id: None})

    result = run("show", path, messages[0].id)

    assert "Received: from there" in result.stdout
    assert "the body is missing" in result.stderr
    assert result.return_value == FAILED


@pytest.mark.parametrize(
    ("spool_id", "status", "complaint"),
    [("00" * 16, 1, "there is no such message"), ("xyz", 2, "32 hexadecimal digits")],
)
def test_a_message_that_is_not_there_is_said(path, spool_id, status, complaint):
    result = CliRunner().invoke(spool, ["show", str(path), spool_id])

    assert result.exit_code == status
    assert complaint in result.output


def test_messages_are_written_into_files(path, messages, tmp_path):
    out = tmp_path / "out"
    before = state_of(path)

    result = run("export", path, "--domain", "b.test", "--to", out)

    assert sorted(one.stem for one in out.glob("*.eml")) == [one.id for one in messages[1:]]
    assert (out / f"{messages[1].id}.eml").read_bytes() == PREFIX + BODY
    beside = json.loads((out / f"{messages[2].id}.json").read_text())
    assert beside["recipients"] == ["carl@b.test", "dora@b.test"]
    assert (result.return_value, result.stderr) == (0, f"2 messages are in {out}\n")
    assert state_of(path) == before


def test_files_that_are_there_stay_unless_they_may_be_replaced(path, messages, tmp_path):
    mine = tmp_path / f"{messages[0].id}.eml"
    mine.write_text("mine")

    result = run("export", path, "--all", "--to", tmp_path)
    assert result.return_value == FAILED
    assert "exists already" in result.stderr and "2 messages are in" in result.stderr
    assert mine.read_text() == "mine"

    assert run("export", path, "--all", "--to", tmp_path, "--force").return_value == 0
    assert mine.read_bytes() == PREFIX + BODY


def test_what_cannot_be_read_does_not_keep_others_from_their_files(path, messages, tmp_path):
    change(path, {b"b" + messages[1].body_id: None, b"m" + messages[2].spool_id: b"no envelope"})
    out = tmp_path / "out"

    result = run("export", path, *(one.id for one in messages), "00" * 16, "--to", out)

    assert [one.stem for one in out.glob("*.eml")] == [messages[0].id]
    for text in ("the body is missing", "damaged envelope", "no such message", "1 messages are"):
        assert text in result.stderr
    assert result.return_value == FAILED


@pytest.mark.parametrize("options", [(), ("--all", "--tenant", "acme"), ("--all", "00" * 16)])
def test_an_export_says_which_messages_in_one_way(path, tmp_path, options):
    result = CliRunner().invoke(
        spool, ["export", str(path), *options, "--to", str(tmp_path / "out")]
    )

    assert result.exit_code == 2
    assert "say which" in result.output
    assert not (tmp_path / "out").exists()


def test_a_sound_spool_is_said_to_be_so(path):
    result = run("verify", path)

    octets = 3 * len(BODY)
    assert result.stderr == f"3 messages, 3 bodies of {octets} octets: 0 findings\n"
    assert (result.stdout, result.return_value) == ("", 0)


def test_findings_are_printed_one_a_line_and_make_the_status(path, messages):
    change(path, {b"b" + messages[0].body_id: None, b"zz": b""})

    result = run("verify", path)
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["missing-body", messages[0].id],
        ["strange-key", "7a7a"],
    ]
    assert result.return_value == FAILED

    found = [json.loads(line) for line in run("verify", path, "--json").stdout.splitlines()]
    assert found[0]["kind"] == "missing-body" and found[0]["id"] == messages[0].id


def test_progress_is_shown_to_people(path, monkeypatch):
    monkeypatch.setattr("engine.spool_tool.PROGRESS_EVERY", 2)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )

    result = run("verify", path)

    assert "\r2 messages, 0 bodies" in result.stderr and "\r3 messages, 3 bodies" in result.stderr


@pytest.mark.parametrize("command", ["list", "verify", "show", "export"])
def test_while_a_node_runs_it_is_said_clearly(path, tmp_path, messages, command):
    folder = SpoolFolder(path)
    database = folder.open()
    more = {"show": [messages[0].id], "export": ["--all", "--to", tmp_path / "out"]}

    result = run(command, path, *more.get(command, []))

    assert isinstance(result.exception, SpoolLockedError)
    assert f"a node is running on the spool {path} (process {os.getpid()})" in str(result.exception)
    database.close()
    folder.release()
