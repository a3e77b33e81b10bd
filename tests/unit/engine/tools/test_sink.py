"""``cirrus sink``: its command line, its signals, its summary and its exit status."""

from __future__ import annotations

import json
import re
import signal
import smtplib
import time

import pytest
from click.testing import CliRunner
from rich.console import Console

from engine.tools.sink import sink, summary_sections, write_stats
from engine.tools.sink_options import SinkStats, Stage
from engine.tools.summary_table import summary_table
from tests.fakes.tool_process import running

LISTEN = ("--listen", "127.0.0.1:0")


def run(*arguments: str):
    return CliRunner().invoke(sink, arguments, prog_name="cirrus sink")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--listen'"),
        (("--listen", "nowhere"), "nowhere"),
        (("--listen", "127.0.0.1:99999"), "99999"),
        ((*LISTEN, "--tempfail-percent", "60", "--permfail-percent", "50"), "more than 100"),
        ((*LISTEN, "--tempfail-percent", "101"), "101"),
        ((*LISTEN, "--delay", "soon"), "soon"),
        ((*LISTEN, "--delay", "never=2s"), "'never' is no stage; these are connect"),
        ((*LISTEN, "--auth", "ann"), "USER:PASSWORD"),
        ((*LISTEN, "--require-auth"), "--require-auth needs --auth"),
        ((*LISTEN, "--require-tls"), "--require-tls needs --starttls"),
        ((*LISTEN, "--tls-certificate", "x.pem"), "--tls-certificate needs --starttls"),
        ((*LISTEN, "--starttls", "--tls-private-key", "x"), "needs --tls-certificate"),
        ((*LISTEN, "--count", "0"), "--count"),
        ((*LISTEN, "--frobnicate"), "--frobnicate"),
    ],
)
def test_wrong_usage_is_said_in_a_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line


def test_the_manual_names_every_trick():
    text = run("--help").output
    for word in ("tempfail*", "greylist*", "percent = 20", "--no-pipelining", "Exit status", "HUP"):
        assert word in text


def test_the_table_survives_what_clients_made_up():
    stats = SinkStats()
    stats.note_message(("u@[/bold]", "u@\udcff\x1b[31m"), 1, 0.0, "127.0.0.1")
    stats.note_reply(Stage.RCPT, "250")
    stats.note_violation("parameter [/x]")
    for number in range(20):
        stats.note_message((f"u@{number}.test",), 1, 1.0, f"127.0.1.{number}")

    console = Console(width=100, record=True)
    console.print(summary_table("sink", summary_sections(stats)))

    text = console.export_text()
    assert "@[/bold]" in text
    assert "\x1b" not in text
    assert re.search(r"further domains *│ *12 ", text)
    assert re.search(r"from 127\.0\.1\.0 *│ *1 ", text)
    assert re.search(r"further clients *│ *11 ", text)
    text.encode("utf-8")


def test_the_file_of_counts_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "stats.json"
    for _ in range(2):
        write_stats(path, SinkStats())
    assert json.loads(path.read_text())["messages"] == 0
    assert list(tmp_path.iterdir()) == [path]


def send(port: int, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for recipient in recipients:
            client.sendmail("a@x.test", recipient, "Subject: s\r\n\r\nhi\r\n")


pytest_real = [pytest.mark.real_time, pytest.mark.slow]


class TestAsAProcess:
    pytestmark = pytest_real

    def test_it_takes_mail_until_a_signal_and_sums_up(self, tmp_path):
        stats_file = tmp_path / "s.json"
        arguments = (*LISTEN, "--json", "--stats-file", str(stats_file), "--store", "mail")
        with running("engine.tools.sink", *arguments, cwd=tmp_path) as process:
            port = int(process.read_until(r"listening on 127.0.0.1:(\d+)")[1])
            assert json.loads(stats_file.read_text())["messages"] == 0
            send(port, "b@y.test", "c@y.test")
            status, out, _ = process.end(signal.SIGTERM)

        counted = json.loads(out)
        assert (status, counted["messages"], counted["domains"]) == (0, 2, {"y.test": 2})
        assert json.loads(stats_file.read_text()) == counted
        assert len(list((tmp_path / "mail").glob("*.eml"))) == 2

    def test_the_count_ends_it(self, tmp_path):
        with running("engine.tools.sink", *LISTEN, "--count", "2", cwd=tmp_path) as process:
            port = int(process.read_until(r"listening on 127.0.0.1:(\d+)")[1])
            send(port, "b@y.test")
            with pytest.raises(smtplib.SMTPServerDisconnected):
                send(port, "b@y.test", "c@y.test", "d@y.test")
            status, out, _ = process.end()
        assert (status, bool(re.search(r"messages +│ +2 │", out))) == (0, True)

    def test_a_count_that_is_not_reached_in_time_is_a_failure(self, tmp_path):
        arguments = (*LISTEN, "--count", "2", "--duration", "100ms")
        with running("engine.tools.sink", *arguments, cwd=tmp_path) as process:
            status, _, err = process.end()
        assert (status, err.splitlines()[-1]) == (1, "cirrus: 0 of 2 messages came")

    def test_replies_are_read_again_and_wrong_ones_change_nothing(self, tmp_path):
        replies = tmp_path / "r.toml"
        replies.write_text('[["*"]]\nwhen = "rcpt"\nreply = "550 one"\n')
        arguments = (*LISTEN, "--replies", str(replies))
        with running("engine.tools.sink", *arguments, cwd=tmp_path) as process:
            port = int(process.read_until(r"listening on 127.0.0.1:(\d+)")[1])

            def refusal() -> bytes:
                with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
                    client.ehlo()
                    client.mail("a@x.test")
                    return client.rcpt("b@y.test")[1]

            said = [refusal()]
            for text, answer in (("nonsense", "stay as they are: .*r.toml:1"), ("two", "again")):
                replies.write_text(f'[["*"]]\nwhen = "rcpt"\nreply = "550 {text}"\n')
                if text == "nonsense":
                    replies.write_text("nonsense")
                process.process.send_signal(signal.SIGHUP)
                process.read_until(answer)
                said.append(refusal())
            process.end(signal.SIGINT)
        assert said == [b"one", b"one", b"two"]

    def test_sigusr1_shows_the_counts_and_goes_on(self, tmp_path):
        with running("engine.tools.sink", *LISTEN, "--json", cwd=tmp_path) as process:
            process.read_until("listening on")
            process.process.send_signal(signal.SIGUSR1)
            assert process.process.stdout is not None
            assert json.loads(process.process.stdout.readline())["messages"] == 0
            status, out, _ = process.end(signal.SIGINT)
        assert (status, json.loads(out)["messages"]) == (0, 0)

    def test_counts_that_can_no_longer_be_written_cost_no_summary(self, tmp_path):
        folder = tmp_path / "gone"
        folder.mkdir()
        arguments = (*LISTEN, "--stats-file", str(folder / "s.json"))
        with running("engine.tools.sink", *arguments, cwd=tmp_path) as process:
            process.read_until("listening on")
            (folder / "s.json").unlink()
            folder.rmdir()
            process.read_until("the counts cannot be written for now")
            status, out, err = process.end(signal.SIGINT)
        assert (status, "connections" in out, "Traceback" in err) == (1, True, False)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--replies", "none.toml"), "cirrus: none.toml: No such file or directory"),
            (("--stats-file", "/nowhere/s"), "cirrus: /nowhere/s.new: No such file or directory"),
            (("--store", "/proc/mail"), "/proc/mail: No such file or directory"),
            (("--maildir", "/proc/mail"), "No such file or directory"),
            (("--starttls", "--tls-certificate", "none.pem"), "none.pem"),
            (("--listen", "192.0.2.1:0"), "cannot listen on 192.0.2.1:0: "),
        ],
    )
    def test_what_cannot_be_done_ends_with_1_and_a_line(self, tmp_path, arguments, message):
        with running("engine.tools.sink", *LISTEN, *arguments, cwd=tmp_path) as process:
            status, _, err = process.end()
        lines = [line for line in err.splitlines() if not line.startswith("listening on")]
        assert (status, len(lines)) == (1, 1), err
        assert message in lines[0]

    def test_a_port_in_use_is_named(self, tmp_path):
        with running("engine.tools.sink", *LISTEN, cwd=tmp_path) as first:
            port = first.read_until(r"listening on 127.0.0.1:(\d+)")[1]
            listen = ("--listen", f"127.0.0.1:{port}")
            with running("engine.tools.sink", *listen, cwd=tmp_path) as second:
                status, _, err = second.end()
        assert status == 1
        assert err == f"cirrus: cannot listen on 127.0.0.1:{port}: Address already in use\n"

    def test_memory_stays_where_it_is(self, tmp_path):
        def resident_bytes(pid: int) -> int:
            with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
                return int(file.read().split()[1]) * 4096

        with running("engine.tools.sink", *LISTEN, cwd=tmp_path) as process:
            port = int(process.read_until(r"listening on 127.0.0.1:(\d+)")[1])
            seen = []
            for _ in range(3):
                with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
                    for number in range(200):
                        client.sendmail("a@x.test", f"u{number}@y.test", "x" * 50_000)
                time.sleep(0.05)
                seen.append(resident_bytes(process.process.pid))
            process.end(signal.SIGINT)
        assert seen[-1] - seen[0] < 3_000_000
