"""The commands cirrus tsa replay and cirrus tsa explain, as a shell runs them."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
import zstandard

from tests.fakes.tool_process import ROOT
from tests.fakes.tsa_process import TsaProcess, command_line
from tests.fakes.tsa_world import NOON, record_line, rule_text
from tests.samples.running_node import free_ports

pytestmark = pytest.mark.real_time

ZONE = """\
$ORIGIN big.example.
$TTL 300
@ IN MX 10 mx.big.example.
mx IN A 192.0.2.1
"""
SET = '{ SetConfig = { name = "connection_limit", value = 3 } }'


class Shell:
    """A folder with a log, rules and a zone, and the command over it."""

    def __init__(self, folder):
        self.folder = folder
        records = [record_line(NOON + 60 * number) for number in range(3)]
        log = folder / "log"
        log.mkdir()
        (log / "1").write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(records)))
        self.write("rules.toml", "[default]\nconnection_limit = 20\n" + rule_text(SET))
        self.write("zone", ZONE)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def run(self, *arguments, status=0):
        done = subprocess.run(
            command_line(*arguments),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


REPLAY = ("replay", "--shaping", "rules.toml", "--no-dns")
EXPLAIN = ("explain", "big.example", "--source", "ip-1", "--shaping", "rules.toml")


def test_replay_prints_a_table_of_what_would_have_been_decided(shell):
    out, err = shell.run(*REPLAY, "log")

    assert "2027-01-15 08:00:00" in out
    assert "site_name mx.big.example, source ip-1, connection_limit" in out
    assert "rules.toml:3: slow down" in out
    assert out.endswith(
        "3 records from 2027-01-15T08:00:00Z to 2027-01-15T08:02:00Z: 1 decisions\n"
    )
    assert err == ""


def test_replay_prints_json(shell):
    document = json.loads(shell.run(*REPLAY, "--json", "log/1")[0])

    assert (document["records"]["records"], document["records"]["files"]) == (3, 1)
    (one,) = document["decisions"]
    assert (one["kind"], one["value"], one["count"]) == ("ConfigOverride", 3, 3)
    assert one["place"] == "rules.toml:3"


def test_replay_compares_two_sets_of_files(shell):
    shell.write("other.toml", rule_text(SET.replace("3", "5")))

    out, _ = shell.run(*REPLAY, "--compare", "other.toml", "log")
    document = json.loads(shell.run(*REPLAY, "--compare", "other.toml", "--json", "log")[0])

    assert "value: 3 -> 5" in out
    assert document["different"][0]["differences"] == ["value"]
    assert shell.run(*REPLAY, "--compare", "rules.toml", "log")[0].endswith(": 0 differences\n")


def test_replay_names_lines_that_are_no_records_and_goes_on(shell):
    shell.write("log/2", "nonsense\n")

    out, err = shell.run(*REPLAY, "log")

    assert out.endswith(": 1 decisions\n")
    assert err.startswith("left out: log/2:1: no log record")


def test_files_with_errors_and_missing_logs_are_refused(shell):
    shell.write("bad.toml", "[default]\nconection_limit = 1\n")

    _, err = shell.run("replay", "--shaping", "bad.toml", "--no-dns", "log", status=1)
    assert "bad.toml:2: error: default.conection_limit: unknown option" in err
    shell.run(*REPLAY, "missing", status=2)
    shell.run(*REPLAY, status=2)
    shell.run("--shaping", "rules.toml", "replay", "log", status=2)
    (shell.folder / "empty").mkdir()
    assert "holds no file" in shell.run(*REPLAY, "empty", status=1)[1]


def test_explain_prints_each_option_with_file_and_line(shell):
    out, err = shell.run(*EXPLAIN, "--zone", "zone")
    document = json.loads(shell.run(*EXPLAIN, "--zone", "zone", "--json")[0])

    assert "site       mx.big.example" in out
    assert "rules.toml:2" in out
    assert err == ""
    assert document["mx_hosts"] == ["mx.big.example"]
    assert document["options"][0]["value"] == 20


def test_explain_says_what_it_cannot_know(shell):
    _, without = shell.run(*EXPLAIN, "--no-dns")
    _, missing = shell.run("explain", "no.example", *EXPLAIN[2:], "--zone", "zone")

    assert "MX hosts are not looked up" in without
    assert "the site is not known" in missing


def test_explain_tells_the_warm_up_of_a_date(shell):
    shell.write(
        "rules.toml",
        '[warmup.ip-1]\nstart = "2026-12-01"\nschedule = [{ day = 1, connection_limit = 1 },\n'
        "{ day = 3, connection_limit = 2 }]\n",
    )

    values = [
        json.loads(shell.run(*EXPLAIN, "--no-dns", "--json", "--on", day)[0])["options"][0]["value"]
        for day in ("2026-12-02", "2026-12-03")
    ]

    assert values == [1, 2]


def test_explain_asks_a_running_tsa_what_it_decided(shell):
    rules = (shell.folder / "rules.toml").read_text() + rule_text()
    with TsaProcess(shell.folder / "tsa", rules).running() as daemon:
        assert daemon.publish(record_line(time.time())) == 200
        out, _ = shell.run(*EXPLAIN, "--zone", "zone", "--tsa", daemon.url)
        document = json.loads(
            shell.run(*EXPLAIN, "--zone", "zone", "--json", "--tsa", daemon.url)[0]
        )

    (option,) = document["options"]
    assert (option["name"], option["value"]) == ("connection_limit", 3)
    assert option["origin"].startswith("decision by ")
    assert option["origin"].endswith("rules.toml:3")
    assert "suspend ip-1->mx.big.example@smtp_client until" in out


def test_explain_says_why_a_tsa_cannot_be_asked(shell):
    url = f"http://127.0.0.1:{free_ports(1)[0]}"

    assert "cannot be asked" in shell.run(*EXPLAIN, "--no-dns", "--tsa", url, status=1)[1]
