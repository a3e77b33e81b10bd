"""A TSA that cannot start says why in one line, with file and line where there is one."""

from __future__ import annotations

import socket
import subprocess

import pytest

from tests.fakes.tool_process import ROOT
from tests.fakes.tsa_process import TsaProcess, command_line
from tests.fakes.tsa_world import rule_text

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SCRIPT = """\
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="state")
    mta.tsa.start_http_listener(listen="127.0.0.1:{port}")


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml"]
"""


def run(*arguments):
    """Return status and the lines on standard error of a command that ends by itself."""
    ended = subprocess.run(
        command_line(*map(str, arguments)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.splitlines()


def failure_of(tsa):
    """Return status and last line of a daemon that does not start."""
    status = tsa.launch().wait(20)
    text = tsa.log_text()
    assert "Traceback" not in text, text
    return status, text.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no rules: give --shaping FILE or --policy FILE"),
        (["--listen", "127.0.0.1:0"], "no rules"),
        (["--shaping", "x.toml", "--listen", "somewhere"], "--listen"),
        (["--shaping", "x.toml", "--trust", "somewhere"], "--trust"),
        (["--shaping", "x.toml", "--log-level", "loud"], "loud"),
        (["--shaping", "x.toml", "--policy", "x.py"], "the script's to name"),
        (["--policy", "x.py", "--trust", "10.0.0.0/8"], "the script's to name"),
        (["--policy", "x.py", "--state", "s"], "the script's to name"),
        (["--shapping", "x.toml"], "--shapping"),
        (["--shaping"], "requires an argument"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_line(arguments, said):
    status, lines = run(*arguments)

    assert status == 2
    assert lines[-1].startswith("cirrus: ")
    assert said in lines[-1]


def test_help_is_a_page():
    ended = subprocess.run(
        command_line("--help"), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 0
    for word in ("--shaping", "--policy", "--state", "--trust", "127.0.0.1:8008", "SIGTERM"):
        assert word in ended.stdout


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ("[broken\n", "rules.toml:1"),
        (rule_text().replace("Suspend", "Suspnd"), "rules.toml:3"),
        (rule_text(duration="soon"), "rules.toml:5"),
        (rule_text(regex="("), "rules.toml:2"),
        ('["x.example"]\nmx_rollup = false\nmax_redy = 5\n', "rules.toml:3"),
    ],
    ids=["syntax", "action", "duration", "pattern", "option"],
)
def test_rules_with_errors_are_named_with_file_and_line(tmp_path, rules, place):
    status, line = failure_of(TsaProcess(tmp_path, rules))

    assert status == 1
    assert line.startswith("cirrus: ")
    assert place in line


def test_rules_that_are_not_there_are_named(tmp_path):
    tsa = TsaProcess(tmp_path)
    tsa.rules.unlink()

    status, line = failure_of(tsa)

    assert status == 1
    assert str(tsa.rules) in line


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("import mta.tsa", "import mta.tsa\nimport os", "policy.py:2"),
        ("def tsa_init():", "def tsa_init(:", "policy.py:6"),
        ("path=", "folder=", "policy.py:7"),
        ("start_http", "start_htp", "policy.py:8"),
        ('["rules.toml"]', "[1]", "policy.py:11"),
        ('["rules.toml"]', '["gone.toml"]', "gone.toml"),
    ],
)
def test_a_mistake_in_the_script_is_named(tmp_path, old, new, place):
    assert old in SCRIPT
    tsa = TsaProcess(tmp_path, rule_text(), script=SCRIPT.replace(old, new, 1))

    status, line = failure_of(tsa)

    assert status == 1
    assert place in line


def test_a_port_in_use_is_named(tmp_path):
    tsa = TsaProcess(tmp_path, rule_text())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", tsa.port))
        taken.listen()
        status, line = failure_of(tsa)

    assert status == 1
    assert f"127.0.0.1:{tsa.port}" in line


def test_a_state_folder_that_is_a_file_is_named(tmp_path):
    tsa = TsaProcess(tmp_path, rule_text())
    tsa.state.write_text("no folder\n")

    status, line = failure_of(tsa)

    assert status == 2
    assert str(tsa.state) in line


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path):
    tsa = TsaProcess(tmp_path, rule_text(), arguments=["--state", str(tmp_path / "rules.toml/x")])

    status, line = failure_of(tsa)

    assert status == 1
    assert "rules.toml/x" in line


def test_a_state_folder_that_another_daemon_uses_is_named(tmp_path):
    with TsaProcess(tmp_path, rule_text()).running() as first:
        second = TsaProcess(tmp_path / "second", rule_text())
        second.state.symlink_to(first.state)
        status, line = failure_of(second)

    assert status == 1
    assert "tsa.db cannot be used: database is locked" in line
