"""Who is let into the console."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from engine.console.connection_brake import FREE_FAILURES
from engine.console.server import CHANNELS_MAX, UNCLOSED_MAX, OperatorLogin
from engine.model.errors import ConfigurationError
from engine.model.role import Role
from tests.fakes.console_world import console_world

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


async def test_a_key_decides_who_somebody_is_and_what_they_may(tmp_path):
    async with console_world(tmp_path) as console:
        seen = await console.run("whoami --json", key="viewer")
        refused = await console.run("suspend --tenant a --reason b", key="viewer")
        taken = await console.run("suspend --tenant a --reason b", key="operator")
        await console.settle()
        audited = [(one.act, one.identity, one.result) for one in console.world.audited()]

    assert seen.stdout == '{"name": "viewer-ann", "role": "viewer", "origin": "127.0.0.1"}\n'
    assert (refused.exit_status, refused.stdout) == (1, "")
    assert "suspend: this is for the role operator; you are viewer" in refused.stderr
    assert taken.exit_status == 0
    assert ("console-login", "viewer-ann", "done") in audited
    assert ("suspend", "viewer-ann", "denied") in audited
    assert ("suspend", "operator-ann", "done") in audited
    assert ("console-logout", "operator-ann", "done") in audited


async def test_a_key_of_nobody_and_a_password_where_none_is_wanted_are_refused(tmp_path):
    async with console_world(tmp_path) as console:
        with pytest.raises(asyncssh.PermissionDenied):
            await console.run("queues", key="nobody")
        with pytest.raises(asyncssh.PermissionDenied):
            async with console.connect(client_keys=None, username="ann", password="correct-horse"):
                pass
        await console.settle()
        denied = [one for one in console.world.audited() if one.result == "denied"]

    assert {one.act for one in denied} == {"console-login"}
    assert denied[0].identity == "127.0.0.1"


async def test_a_key_that_is_taken_out_of_the_file_is_out_at_once(tmp_path):
    async with console_world(tmp_path) as console:
        await console.run("whoami", key="viewer")
        (tmp_path / "authorized_keys").write_text("")
        with pytest.raises(asyncssh.PermissionDenied):
            await console.run("whoami", key="viewer")


async def test_whoever_only_asks_about_the_key_of_another_does_not_become_them(tmp_path):
    async with console_world(tmp_path) as console:
        login = OperatorLogin(console.server)
        login._address = "127.0.0.1"
        keys = {name: key.convert_to_public() for name, key in console.keys.items()}

        assert login.validate_public_key("root", keys["admin"])
        assert not login.validate_public_key("root", keys["nobody"])
        assert login._operator is None
        assert login.validate_public_key("root", keys["viewer"])
        assert login._operator.role is Role.VIEWER


async def test_passwords_are_judged_by_the_policy_for_users_whom_the_console_names(tmp_path):
    async with console_world(tmp_path, password_roles={"ann": "viewer", "bob": "admin"}) as console:

        async def come(user: str, password: str) -> str:
            options = {"client_keys": None, "username": user, "password": password}
            async with console.connect(**options) as connection:
                return (await connection.run("whoami --json")).stdout

        assert '"role": "viewer"' in await come("ann", "correct-horse")
        for user, password in (("ann", "wrong"), ("bob", "correct-horse"), ("eve", "x")):
            with pytest.raises(asyncssh.PermissionDenied):
                await come(user, password)
        await console.settle()
        told = [one for one in console.world.audited() if one.detail == "wrong password"]

    assert {one.identity for one in told} == {"ann", "bob", "eve"}
    assert "wrong" not in str([one.arguments for one in told])


async def test_there_is_no_forwarding_no_subsystem_and_no_copying_of_files(tmp_path):
    async with console_world(tmp_path) as console, console.connect("admin") as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 25)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 25)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()
        copied = await connection.run("scp -t /tmp")
        ran = await connection.run("sh -c id")
        agent = await connection.run("whoami", env={"LD_PRELOAD": "x"})
        await console.settle()
        acts = [one.act for one in console.world.audited()]

    assert (copied.exit_status, ran.exit_status) == (2, 2)
    assert "uid" not in ran.stdout + ran.stderr
    assert agent.exit_status == 0
    assert "console-subsystem" in acts


async def test_sessions_are_counted_over_all_connections(tmp_path):
    async with console_world(tmp_path, max_sessions=2) as console:
        async with console.connect() as one, console.connect() as other:
            held = await one.create_process(term_type="xterm")
            await other.create_process(term_type="xterm")
            with pytest.raises(asyncssh.ChannelOpenError):
                await other.create_process(term_type="xterm")
            held.close()
            await held.wait_closed()
            assert (await other.run("whoami")).exit_status == 0
        assert CHANNELS_MAX >= 2
        await console.settle()
        assert console.server.sessions == 0


async def test_an_address_that_fails_again_and_again_waits_before_a_word_is_spoken(tmp_path):
    async with console_world(tmp_path) as console:
        for _ in range(FREE_FAILURES):
            with pytest.raises(asyncssh.PermissionDenied):
                await console.run("whoami", key="nobody")
        await console.settle()
        with pytest.raises((asyncssh.Error, OSError)):
            await console.run("whoami")

        console.server.brake.note_success("127.0.0.1")
        assert (await console.run("whoami")).exit_status == 0


async def test_who_connects_and_says_nothing_is_gone_after_the_time_of_a_login(tmp_path):
    async with console_world(tmp_path, login_s=0.2) as console:
        reader, writer = await asyncio.open_connection("127.0.0.1", console.server.port)
        await reader.readline()
        assert console.server.brake.pending == {"127.0.0.1": 1}

        assert await reader.read() is not None
        writer.close()
        await console.settle()
        assert console.server.brake.pending == {}


async def test_garbage_instead_of_ssh_ends_the_connection_only(tmp_path):
    async with console_world(tmp_path, login_s=0.5) as console:
        for garbage in (
            b"GET / HTTP/1.0\r\n\r\n",
            b"\x00" * 4096,
            b"SSH-2.0-x\r\n" + b"\xff" * 9000,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", console.server.port)
            writer.write(garbage)
            assert len(await reader.read()) < 4096
            writer.close()
        console.server.brake.note_success("127.0.0.1")
        assert (await console.run("whoami")).exit_status == 0


@pytest.mark.parametrize(
    "weak",
    [
        {"kex_algs": ["diffie-hellman-group14-sha1"]},
        {"mac_algs": ["hmac-sha1"], "encryption_algs": ["aes128-ctr"]},
        {"encryption_algs": ["aes128-cbc"]},
        {"kex_algs": ["diffie-hellman-group1-sha1"]},
    ],
)
async def test_weak_algorithms_are_off(tmp_path, weak):
    async with console_world(tmp_path) as console:
        with pytest.raises(asyncssh.KeyExchangeFailed):
            async with console.connect(**weak):
                pass


async def test_what_cannot_be_had_is_said_at_the_start(tmp_path):
    (tmp_path / "host_key").write_text("no key")
    (tmp_path / "host_key").chmod(0o600)
    with pytest.raises(ConfigurationError, match="host key"):
        async with console_world(tmp_path):
            pass
    with pytest.raises(ConfigurationError, match="authorized_keys: there is no file"):
        async with console_world(
            tmp_path, host_key=str(tmp_path / "k"), authorized_keys=str(tmp_path / "none")
        ):
            pass


async def test_what_is_wrong_with_the_file_of_keys_is_logged_once(tmp_path, caplog):
    async with console_world(tmp_path) as console:
        path = tmp_path / "authorized_keys"
        path.write_text(path.read_text() + 'role="root" ssh-ed25519 AAAA\n')
        await console.run("whoami")
        await console.run("whoami")

    assert caplog.text.count("line 4: ") == 1


async def test_a_key_that_was_taken_out_opens_no_session_on_a_connection_that_is_there(tmp_path):
    async with console_world(tmp_path) as console, console.connect("viewer") as connection:
        assert (await connection.run("whoami")).exit_status == 0
        path = tmp_path / "authorized_keys"
        path.write_text(path.read_text().replace('role="viewer"', 'role="operator"'))
        assert '"role": "operator"' in (await connection.run("whoami --json")).stdout
        path.write_text("")
        with pytest.raises((asyncssh.ChannelOpenError, asyncssh.DisconnectError)):
            await connection.run("whoami")
        await connection.wait_closed()
        await console.settle()
        denied = [one for one in console.world.audited() if one.result == "denied"]

    assert [(one.identity, one.detail) for one in denied] == [
        ("viewer-ann", "not welcome any more")
    ]


class Deaf(asyncssh.SSHClientSession):
    """A client that takes nothing of what a session says."""

    def connection_made(self, chan) -> None:
        chan.pause_reading()


async def test_channels_that_are_not_read_to_their_end_count_until_they_are_closed(tmp_path):
    async with console_world(tmp_path) as console, console.connect("viewer") as connection:
        for _ in range(UNCLOSED_MAX):
            await connection.create_session(Deaf, "help top", window=1)
            await console.settle()
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_session(Deaf, "help top", window=1)
        assert console.server.sessions == 0


async def test_a_connection_without_a_session_ends_after_the_idle_time(tmp_path):
    async with console_world(tmp_path, idle_timeout=1) as console, console.connect() as connection:
        assert (await connection.run("whoami")).exit_status == 0
        async with asyncio.timeout(20):
            await connection.wait_closed()
