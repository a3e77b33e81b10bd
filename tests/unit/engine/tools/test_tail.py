"""``cirrus tail``: where it begins, what it says, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from engine.base.command_line import FAILED
from engine.model.log_record import RecordKind, encode_record
from engine.tools import tail as tail_module
from engine.tools.tail import tail
from tests.fakes.log_files import lines, numbers_in, open_segment, record, whole_segment


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch):
    monkeypatch.delenv("CIRRUS_ENDPOINT", raising=False)


@pytest.fixture
def naps(monkeypatch):
    """Return what happens while it sleeps; where nothing does, it is interrupted."""
    steps = []

    def sleep(_seconds):
        if steps:
            steps.pop(0)()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(tail_module.time, "sleep", sleep)
    return steps


def run(*arguments):
    return CliRunner().invoke(tail, [str(one) for one in arguments], standalone_mode=False)


def numbers(*arguments):
    result = run(*arguments, "--json")
    assert result.exception is None and result.return_value == 0, result.output
    return numbers_in(result.stdout_bytes)


def test_without_a_checkpoint_it_begins_at_the_end_and_follows(tmp_path, naps):
    whole_segment(tmp_path, 0)
    naps.append(lambda: whole_segment(tmp_path, 1))

    assert numbers(tmp_path) == [1]


@pytest.mark.parametrize(
    "options", [("--from-start",), ("--no-follow",), ("--since", "5000w"), ("--checkpoint", "x")]
)
def test_it_begins_at_the_oldest_where_the_past_is_wanted(tmp_path, naps, options):
    whole_segment(tmp_path, 0)

    assert numbers(tmp_path, *options) == [0]


def test_a_checkpoint_is_gone_on_from_unless_another_start_is_said(tmp_path, naps):
    whole_segment(tmp_path, 0)
    assert numbers(tmp_path, "--checkpoint", "x", "--no-follow") == [0]
    assert (tmp_path / ".x").is_file()
    whole_segment(tmp_path, 1)

    assert numbers(tmp_path, "--checkpoint", "x", "--no-follow") == [1]
    assert numbers(tmp_path, "--checkpoint", "x", "--no-follow", "--from-start") == [0, 1]
    whole_segment(tmp_path, 2)
    assert numbers(tmp_path, "--checkpoint", "x", "--tail") == []
    assert numbers(tmp_path, "--checkpoint", "x", "--no-follow") == []


def test_a_damaged_checkpoint_is_said_and_everything_comes_again(tmp_path):
    whole_segment(tmp_path, 0)
    (tmp_path / "x").write_text("{")

    result = run(tmp_path, "--checkpoint", tmp_path / "x", "--no-follow", "--json")

    assert numbers_in(result.stdout_bytes) == [0]
    assert "going on with the oldest segment" in result.stderr
    assert result.return_value == FAILED


def test_filters_say_what_is_printed_and_how_much(tmp_path):
    segment = open_segment(tmp_path, 0)
    kinds = [RecordKind.DELIVERY, RecordKind.BOUNCE, RecordKind.OOB] * 2
    segment.write(b"".join(encode_record(record(*one)) for one in enumerate(kinds)))

    assert numbers(tmp_path, "--no-follow", "--type", "bounce", "--type", "oob") == [1, 2, 4, 5]
    assert numbers(tmp_path, "--no-follow", "--type", "OOB", "--limit", "1") == [2]
    assert numbers(tmp_path, "--no-follow", "--grep", r'"id":"0*3"') == [3]


def test_people_get_lines(tmp_path):
    whole_segment(tmp_path, 0)

    result = run(tmp_path, "--no-follow")

    assert result.stdout.startswith("2027-01-15 08:00:00.000 Delivery  ")


def test_what_cannot_be_read_is_said_and_makes_the_status(tmp_path):
    path = whole_segment(tmp_path, 0)
    path.chmod(0o600)
    path.write_bytes(b"this is no segment at all")
    whole_segment(tmp_path, 1)

    result = run(tmp_path, "--no-follow", "--json")

    assert numbers_in(result.stdout_bytes) == [1]
    assert result.stderr.startswith(f"cirrus: {path}: it is damaged")
    assert result.return_value == FAILED


def test_lines_that_are_no_records_are_counted(tmp_path):
    segment = open_segment(tmp_path, 0)
    segment.write(b"ann;7\n")

    result = run(tmp_path, "--no-follow", "--type", "Bounce")

    assert (result.stdout, result.return_value) == ("", 0)
    assert "1 lines are no records" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--checkpoint", "x"), "--checkpoint is for directories"),
        (("--no-follow",), "--no-follow is for directories"),
        (("--since", "2h"), "--since is for directories"),
        (("DIR", "--endpoint", "http://127.0.0.1:1"), "either directories or --endpoint"),
        (("DIR", "--from-start", "--tail"), "either --from-start or --tail"),
        (("DIR", "--type", "Bounces"), "--type: no record is of kind"),
        (("DIR", "--grep", "("), "--grep: no regular expression"),
        (("--endpoint", "ftp://x"), "--endpoint: a URL is expected"),
        (("/no/such/folder",), "does not exist"),
    ],
)
def test_wrong_usage_is_said(tmp_path, arguments, complaint):
    given = [str(tmp_path) if one == "DIR" else one for one in arguments]

    result = CliRunner().invoke(tail, given)

    assert result.exit_code == 2
    assert complaint in result.output


def test_a_node_that_does_not_answer_is_said():
    result = CliRunner().invoke(tail, ["--endpoint", "http://ann:pw@127.0.0.1:9"])

    assert result.exit_code == 1
    assert "no answer of http://127.0.0.1:9: " in result.output
    assert "pw" not in result.output


@pytest.mark.real_time
@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_and_its_records_come_again(tmp_path):
    whole_segment(tmp_path, *range(2000))
    code = (
        "import sys; from engine.base import command_line\n"
        "from engine.tools.tail import tail\n"
        "command_line.cirrus_command = lambda: tail\n"
        "command_line.main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), "--checkpoint", "x", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    first = process.stdout.readline()
    process.stdout.close()
    status = process.wait(timeout=60)
    said = process.stderr.read()
    process.stderr.close()

    assert (status, said) == (1, b"")
    assert numbers_in(first) == [0]
    done = subprocess.run([*command, "--no-follow"], capture_output=True, timeout=60, check=True)
    assert numbers_in(done.stdout)[-1] == 1999
    assert len(numbers_in(done.stdout)) >= 1000


def test_a_signal_ends_it_after_the_record_at_hand(tmp_path, naps):
    segment = open_segment(tmp_path, 0)
    segment.write(lines(0, 1))
    before = signal.getsignal(signal.SIGTERM)

    assert numbers(tmp_path, "--checkpoint", "x") == [0, 1]
    assert signal.getsignal(signal.SIGTERM) is before
