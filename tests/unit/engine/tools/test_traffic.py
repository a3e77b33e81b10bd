"""``cirrus traffic``: its command line, its live line, its summary and its exit status."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console

from engine.tools.summary_table import summary_table
from engine.tools.traffic import LiveLine, summary_sections, traffic
from engine.tools.traffic_tally import Tally
from tests.fakes.tool_process import running

TARGET = ("--target", "127.0.0.1:2525")


def run(*arguments: str):
    return CliRunner().invoke(traffic, arguments, prog_name="cirrus traffic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--target'"),
        (("--target", "nowhere"), "nowhere"),
        (("--target", "127.0.0.1:0"), "a target has a port"),
        ((*TARGET, "--rate", "0"), "0"),
        ((*TARGET, "--rate", "fast"), "fast"),
        ((*TARGET, "--size", "big"), "big"),
        ((*TARGET, "--domains", "a:0"), "a weight is a number above 0"),
        ((*TARGET, "--sessions", "0"), "--sessions"),
        ((*TARGET, "--count", "0"), "--count"),
        ((*TARGET, "--duration", "soon"), "soon"),
        ((*TARGET, "--header", "no header"), "is not written 'Name: value'"),
        ((*TARGET, "--header", "A: b\r\nC: d"), "is not written 'Name: value'"),
        ((*TARGET, "--sender", "a>\r\nRCPT"), "neither blanks"),
        ((*TARGET, "--local-part", "a b"), "neither blanks"),
        ((*TARGET, "--ehlo", "bjørn"), "neither blanks"),
        ((*TARGET, "--body-file", "/nowhere"), "/nowhere"),
        ((*TARGET, "--starttls", "--tls-from-first-byte"), "exclude each other"),
        ((*TARGET, "--protocol", "http", "--starttls"), "--starttls is for --protocol smtp"),
        ((*TARGET, "--protocol", "lmtp"), "lmtp"),
    ],
)
def test_wrong_usage_is_said_in_a_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    text = result.output.replace("\n", " ")
    assert "Error: " in text
    assert message in text


def test_a_body_that_http_cannot_carry_is_refused(tmp_path):
    (tmp_path / "body").write_bytes(b"\xff")
    result = run(*TARGET, "--protocol", "http", "--body-file", str(tmp_path / "body"))
    assert (result.exit_code, "is not UTF-8" in result.output) == (2, True)


def test_the_manual_has_examples_and_statuses():
    text = run("--help").output
    for word in (
        "Examples:",
        "--protocol http",
        "Exit status",
        "Ctrl-C",
        "CIRRUS_TRAFFIC_PASSWORD",
    ):
        assert word in text


def a_tally() -> Tally:
    tally = Tally(0.0)
    for code in (250, 250, 451):
        tally.note_outcome(code, 1000, 0.02)
    tally.note_reply("dot", 250, "ok")
    return tally


def test_the_live_line_shows_the_rate_since_the_last_one():
    tally = a_tally()
    line = LiveLine(count=1000)
    assert line.tell(tally.summary(1.0)).startswith(
        "   1.0 s  3 of 1,000 messages  3/s  deferred 1"
    )
    for _ in range(20):
        tally.note_outcome(250, 1, 0.02)
    assert "23 of 1,000 messages  10/s" in line.tell(tally.summary(3.0))
    assert "  0/s  " in line.tell(tally.summary(4.0))


def test_the_table_shows_what_came_of_it():
    console = Console(width=80, record=True)
    summary = replace(a_tally().summary(2.0), connect_failures=3)
    console.print(summary_table("traffic", summary_sections(summary)))
    text = console.export_text()
    for name, figure in (
        ("accepted", "2"),
        ("deferred", "1"),
        ("dot 250", "1"),
        ("failed to connect", "3"),
    ):
        assert re.search(rf"{name} +│ +{figure} │", text), text


class TestAsAProcess:
    pytestmark = [pytest.mark.real_time, pytest.mark.slow]

    @pytest.fixture
    def port(self, tmp_path):
        listen = ("--listen", "127.0.0.1:0", "--json")
        with running("engine.tools.sink", *listen, cwd=tmp_path) as process:
            yield process.read_until(r"listening on 127.0.0.1:(\d+)")[1]

    def traffic(self, tmp_path, port, *arguments):
        target = ("--target", f"127.0.0.1:{port}")
        return running("engine.tools.traffic", *target, *arguments, cwd=tmp_path)

    def test_it_sends_and_sums_up(self, tmp_path, port):
        with self.traffic(tmp_path, port, "--count", "100", "--json") as process:
            status, out, err = process.end()
        summary = json.loads(out)
        assert (status, err) == (0, "")
        assert (summary["accepted"], summary["replies"]["dot 250"]) == (100, 100)

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (("--local-part", "permfail"), 1),
            (("--local-part", "permfail", "--allow-refusals"), 0),
            (("--local-part", "tempfail"), 0),
            (("--local-part", "drop"), 1),
            (("--local-part", "drop", "--keep-going"), 0),
        ],
    )
    def test_what_the_server_did_decides_the_status(self, tmp_path, port, arguments, status):
        with self.traffic(tmp_path, port, "--count", "3", *arguments) as process:
            ended, out, _ = process.end()
        assert (ended, bool(re.search(r"messages +│ +3 │", out))) == (status, True)

    def test_refusals_are_shown_with_their_texts(self, tmp_path, port):
        with self.traffic(tmp_path, port, "--count", "3", "--local-part", "permfail") as process:
            _, _, err = process.end()
        assert "3 x rcpt 550 5.1.1 no mailbox here by that name\n" in err

    def test_a_server_that_is_down_is_said_in_a_line(self, tmp_path, port):
        with self.traffic(tmp_path, 1, "--count", "3") as process:
            status, _, err = process.end()
        assert status == 1
        assert "the last trouble with a connection: cannot connect: " in err.splitlines()[-1]
        assert "Traceback" not in err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_with_its_summary(self, tmp_path, port, number):
        arguments = ("--rate", "50/s", "--json")
        with self.traffic(tmp_path, port, *arguments) as process:
            process.read_until("messages")
            status, out, _ = process.end(number)
        summary = json.loads(out)
        assert (status, summary["lost"]) == (0, 0)
        assert summary["accepted"] > 0

    def test_a_second_signal_ends_what_hangs(self, tmp_path, port):
        arguments = ("--count", "2", "--local-part", "hang", "--json")
        with self.traffic(tmp_path, port, *arguments) as process:
            process.read_until("0 of 2 messages")
            process.process.send_signal(signal.SIGINT)
            process.read_until("once more ends it now")
            status, out, _ = process.end(signal.SIGINT)
        assert (status, json.loads(out)["lost"]) == (1, 2)

    def test_the_password_comes_from_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CIRRUS_TRAFFIC_PASSWORD", "x")
        arguments = ("--listen", "127.0.0.1:0", "--auth", "ann:x", "--require-auth")
        with running("engine.tools.sink", *arguments, cwd=tmp_path) as sink:
            port = sink.read_until(r"listening on 127.0.0.1:(\d+)")[1]
            with self.traffic(tmp_path, port, "--count", "1", "--auth-user", "ann") as process:
                status, _, err = process.end()
        assert status == 0, err
