"""The command line of the daemon: flags become settings, and nonsense is wrong usage."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.fakes.tsa_world import rule_text
from tsa import __main__ as program
from tsa.app import Tsa
from tsa.settings import TsaListener, TsaSettings


@pytest.fixture
def started(monkeypatch):
    """Return what the command would serve, instead of serving it."""
    found = []

    async def serve(tsa):
        found.append(tsa)

    monkeypatch.setattr(program, "serve", serve)
    monkeypatch.setattr(program, "configure_run_log", lambda level, _format: found.append(level))

    def run(*arguments):
        found.clear()
        result = CliRunner().invoke(program.tsa, list(arguments))
        return result, found

    return run


def test_flags_become_settings(started):
    result, (level, tsa) = started(
        *("--shaping", "a.toml", "--shaping", "https://x.test/b.toml", "--state", "s"),
        *("--listen", "127.0.0.1:9000", "--listen", "[::1]:9001", "--trust", "192.0.2.0/24"),
        *("--log-level", "debug"),
    )

    assert result.exit_code == 0
    assert level == "debug"
    assert tsa.settings.shaping == ("a.toml", "https://x.test/b.toml")
    assert tsa.settings.state == Path("s")
    assert [one.listen for one in tsa.settings.listeners] == [("127.0.0.1", 9000), ("::1", 9001)]
    for listener in tsa.settings.listeners:
        assert all(one in listener.trusted_hosts for one in ("127.0.0.1", "::1", "192.0.2.9"))
    assert tsa.script is None


def test_rules_alone_are_enough(started):
    result, (_, tsa) = started("--shaping", "a.toml")

    assert result.exit_code == 0
    assert [one.listen for one in tsa.settings.listeners] == [TsaListener().listen]
    assert tsa.settings.state == TsaSettings().state


def test_a_script_names_everything_itself(started, tmp_path):
    result, (_, tsa) = started("--policy", str(tmp_path / "policy.py"))

    assert result.exit_code == 0
    assert tsa.script.path == tmp_path / "policy.py"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--listen", "127.0.0.1:9000"),
        ("--shaping", "a.toml", "--listen", "9000"),
        ("--shaping", "a.toml", "--trust", "10.0.0.0/33"),
        ("--policy", "p.py", "--shaping", "a.toml"),
        ("--policy", "p.py", "--listen", "127.0.0.1:9000"),
        ("--policy", "p.py", "--trust", "10.0.0.0/8"),
        ("--policy", "p.py", "--state", "s"),
        ("unknown",),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(started, arguments):
    result, found = started(*arguments)

    assert result.exit_code == 2
    assert not [one for one in found if isinstance(one, Tsa)]


def test_a_network_that_is_none_is_named():
    with pytest.raises(click.UsageError, match="--trust.*somewhere"):
        program.settings_of((("127.0.0.1", 1),), ("a.toml",), Path("s"), ("somewhere",))


@pytest.mark.real_time
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(tmp_path, number):
    rules = tmp_path / "rules.toml"
    rules.write_text(rule_text())
    tsa = Tsa(TsaSettings((TsaListener(("127.0.0.1", 0)),), (str(rules),), tmp_path / "state"))
    serving = tsa.supervisor.start(program.serve(tsa), "serve")
    async with asyncio.timeout(10):
        while not tsa.services:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), number)
        await asyncio.wait([serving])
    for used in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(used)

    assert len(tsa.supervisor) == 0
    assert tsa.supervisor.defects == 0
