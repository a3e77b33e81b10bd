"""The command line of the proxy: flags become settings, and nonsense is wrong usage."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.model.cidr import CidrSet
from proxy import __main__ as program
from proxy.access import AccessRules, Who
from proxy.app import Proxy
from proxy.settings import ProxySettings, SocksOptions
from proxy.user_file import parse_users

LISTEN = ("--listen", "127.0.0.1:1080")


@pytest.fixture
def started(monkeypatch):
    """Return what the command would serve, instead of serving it."""
    found = []

    async def serve(proxy):
        found.append(proxy)

    monkeypatch.setattr(program, "serve", serve)
    monkeypatch.setattr(program, "configure_run_log", lambda level, _format: found.append(level))
    monkeypatch.setattr(program, "allow_descriptors", lambda: None)

    def run(*arguments):
        found.clear()
        return CliRunner().invoke(program.proxy, list(arguments)), found

    return run


def test_flags_become_settings(started):
    result, (level, proxy) = started(
        *(*LISTEN, "--listen", "[::1]:1081", "--http-listen", "127.0.0.1:8009"),
        *("--log-level", "debug", "--drain", "5s", "--timeout", "30", "--idle-timeout", "20m"),
        *("--users", "users", "--tls-certificate", "cert.pem", "--tls-private-key", "key.pem"),
        *("--proxy-protocol-from", "192.0.2.1", "--resolve-names", "--no-splice", "--reuse-port"),
        *("--max-connections", "100", "--max-connections-per-client", "10"),
    )

    assert result.exit_code == 0, result.output
    assert level == "debug"
    first, second = proxy.settings.listeners
    assert (first.listen, second.listen) == (("127.0.0.1", 1080), ("::1", 1081))
    assert first == SocksOptions(
        ("127.0.0.1", 1080),
        timeout_s=30.0,
        idle_timeout_s=1200.0,
        access=AccessRules(),
        use_splice=False,
        reuse_port=True,
        resolve_names=True,
        users_file=Path("users"),
        proxy_protocol_from=CidrSet(["192.0.2.1"]),
        max_connections=100,
        max_connections_per_client=10,
        use_tls=True,
        tls_certificate=Path("cert.pem"),
        tls_private_key=Path("key.pem"),
    )
    assert [one.listen for one in proxy.settings.http] == [("127.0.0.1", 8009)]
    assert proxy._drain_s == 5


def test_what_is_allowed_holds_for_every_listener(started):
    result, (_, proxy) = started(
        *(*LISTEN, "--listen", "[::1]:1081"),
        *("--allow-client", "192.0.2.0/24", "--allow-source", "192.0.2.7"),
        *("--allow-destination", "198.51.100.0/24", "--allow-destination", "[2001:db8::/32]:24"),
    )

    assert result.exit_code == 0
    for options in proxy.settings.listeners:
        access = options.access
        client, source = Who("192.0.2.9"), "192.0.2.7"
        assert all(access.may_enter(one) for one in ("127.0.0.1", "::1", "192.0.2.9"))
        assert access.may_reach(client, source, "198.51.100.9", 25)
        assert access.may_reach(client, source, "2001:db8::9", 24)
        assert not access.may_reach(client, source, "203.0.113.9", 25)
        assert not access.may_reach(client, "192.0.2.8", "198.51.100.9", 25)


def test_a_listener_alone_is_enough(started):
    result, (_, proxy) = started(*LISTEN)

    assert result.exit_code == 0
    (options,) = proxy.settings.listeners
    assert options == SocksOptions(access=AccessRules())
    assert proxy.script is None


def test_a_script_names_everything_itself(started, tmp_path):
    result, (_, proxy) = started("--policy", str(tmp_path / "policy.py"), "--drain", "1")

    assert result.exit_code == 0
    assert proxy.script.path == tmp_path / "policy.py"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--listen", "1080"),
        ("--allow-client", "10.0.0.0/8"),
        (*LISTEN, "--allow-client", "10.0.0.1/8"),
        (*LISTEN, "--allow-source", "mx.example"),
        (*LISTEN, "--allow-destination", "mx.example:25"),
        (*LISTEN, "--allow-destination", "*:smtp"),
        (*LISTEN, "--max-connections", "0"),
        (*LISTEN, "--timeout", "soon"),
        (*LISTEN, "--tls-private-key", "key.pem"),
        ("--policy", "p.py", *LISTEN),
        ("--policy", "p.py", "--resolve-names"),
        (*LISTEN, "hash-password", "node"),
        ("--policy", "p.py", "hash-password", "node"),
        ("unknown",),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(started, arguments):
    result, found = started(*arguments)

    assert result.exit_code == 2
    assert not [one for one in found if isinstance(one, Proxy)]


def test_a_line_for_the_file_of_users_is_printed():
    result = CliRunner().invoke(
        program.proxy, ["hash-password", "node", "--groups", "a,b"], input="secret\n"
    )

    assert result.exit_code == 0
    (user,) = parse_users(result.stdout).values()
    assert (user.name, user.groups) == ("node", {"a", "b"})
    assert user.password.is_of(b"secret")


@pytest.mark.parametrize(
    ("name", "password"), [("a:b", "secret"), ("", "secret"), ("node", ""), ("node", "x" * 256)]
)
def test_what_no_client_could_show_is_not_hashed(name, password):
    result = CliRunner().invoke(program.proxy, ["hash-password", name], input=f"{password}\n")

    assert result.exit_code == 2
    assert "$scrypt$" not in result.output


def test_as_many_descriptors_as_there_may_be_are_taken(caplog):
    caplog.set_level(logging.INFO)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        program.allow_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert f"up to {before[1]} descriptors" in caplog.text


@pytest.mark.real_time
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(number):
    proxy = Proxy(ProxySettings((SocksOptions(("127.0.0.1", 0)),)))
    serving = proxy.supervisor.start(program.serve(proxy), "serve")
    async with asyncio.timeout(10):
        while not proxy.listeners:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), number)
        await asyncio.wait([serving])
    for used in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(used)

    assert len(proxy.supervisor) == 0
    assert proxy.supervisor.defects == 0
