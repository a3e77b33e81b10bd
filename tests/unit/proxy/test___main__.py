"""The command line of the proxy: flags become settings, and nonsense is wrong usage."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proxy import __main__ as program
from proxy.access import Who


@pytest.fixture
def started(monkeypatch):
    """Return what the command would serve, instead of serving it."""
    found = []

    async def serve(proxy):
        found.append(proxy)

    monkeypatch.setattr(program, "serve", serve)
    monkeypatch.setattr(program, "configure_run_log", found.append)

    def run(*arguments):
        found.clear()
        return CliRunner().invoke(program.proxy, list(arguments)), found

    return run


def test_flags_become_settings(started):
    result, (level, proxy) = started(
        *("--listen", "127.0.0.1:1080", "--listen", "[::1]:1081", "--log-level", "debug"),
        *("--allow-client", "192.0.2.0/24", "--allow-source", "192.0.2.7"),
        *("--allow-destination", "198.51.100.0/24", "--allow-destination", "[2001:db8::/32]:24"),
    )

    assert result.exit_code == 0
    assert level == "debug"
    assert [one.listen for one in proxy.settings.listeners] == [("127.0.0.1", 1080), ("::1", 1081)]
    for options in proxy.settings.listeners:
        access = options.access
        client, source = Who("192.0.2.9"), "192.0.2.7"
        assert all(access.may_enter(one) for one in ("127.0.0.1", "::1", "192.0.2.9"))
        assert access.may_reach(client, source, "198.51.100.9", 25)
        assert access.may_reach(client, source, "2001:db8::9", 24)
        assert not access.may_reach(client, source, "203.0.113.9", 25)
        assert not access.may_reach(client, "192.0.2.8", "198.51.100.9", 25)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "1080"),
        ("--listen", "127.0.0.1:1080", "--allow-destination", "mx.example:25"),
        ("--listen", "127.0.0.1:1080", "unknown"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(started, arguments):
    result, found = started(*arguments)

    assert (result.exit_code, found) == (2, [])
