"""One SSH session channel."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from engine.console import channel
from tests.fakes.console_world import console_world

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


async def test_a_script_on_standard_input_stops_at_the_first_line_that_fails(tmp_path):
    script = "# a comment\nwhoami\n\nsuspend-cancel --id none\nwhoami\n"
    async with console_world(tmp_path) as console, console.connect() as connection:
        ended = await connection.run(input=script)
        fine = await connection.run(input="whoami\nexit\n")

    assert ended.exit_status == 1
    assert ended.stdout.count("operator-ann") == 1
    assert "no such suspension" in ended.stderr
    assert fine.exit_status == 0


async def test_an_endless_line_of_a_script_is_cut_off(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        ended = await connection.run(input="x" * 100_000)

    assert ended.exit_status == 2
    assert "too long" in ended.stderr


async def test_one_line_on_a_terminal_may_ask(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process("bounce --tenant a --reason b", term_type="xterm")
        seen = ""
        while "[y/N]" not in seen:
            seen += await process.stdout.read(100)
        process.stdin.write("y\r")
        await process.wait_closed()
        await console.settle()
        acts = [one.act for one in console.world.audited()]

    assert process.exit_status == 0
    assert "bounce" in acts


async def test_what_ran_for_a_client_that_left_ends(tmp_path, monkeypatch):
    ended = asyncio.Event()

    async def hang(*_: object) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async with console_world(tmp_path) as console:
        monkeypatch.setattr(console.server.desk, "call", hang)
        connection = await console.connect()
        await connection.create_process("queues")
        await asyncio.sleep(0.2)
        connection.abort()
        async with asyncio.timeout(5):
            await ended.wait()
        await console.settle()
        assert console.server.sessions == 0


async def test_a_signal_ends_one_line_as_ctrl_c_does(tmp_path, monkeypatch):
    async def hang(*_: object) -> None:
        await asyncio.sleep(1000)

    async with console_world(tmp_path) as console, console.connect() as connection:
        monkeypatch.setattr(console.server.desk, "call", hang)
        process = await connection.create_process("queues")
        await asyncio.sleep(0.2)
        process.send_signal("INT")
        await process.wait_closed()

    assert process.exit_status == 130


async def test_a_reader_that_takes_nothing_is_waited_for_and_holds_up_nobody(tmp_path, monkeypatch):
    """Sixteen megabytes for somebody who reads none of it: others are served meanwhile."""
    async with console_world(tmp_path) as console, console.connect() as connection:

        async def flood(*_: object) -> tuple[None, str]:
            return None, "x" * (16 << 20)

        real = console.server.desk.call
        monkeypatch.setattr(console.server.desk, "call", flood)
        process = await connection.create_process("suspend-cancel --id x")
        await asyncio.sleep(0.5)
        monkeypatch.setattr(console.server.desk, "call", real)

        assert (await console.run("whoami")).exit_status == 0
        assert len(await process.stdout.read()) == (16 << 20) + 1
        await process.wait_closed()


async def test_a_channel_on_which_nothing_is_asked_for_gives_its_place_back(tmp_path, monkeypatch):
    monkeypatch.setattr(channel, "REQUEST_S", 0.2)
    opened = []
    begin = channel.ConsoleChannel.connection_made
    monkeypatch.setattr(
        channel.ConsoleChannel,
        "connection_made",
        lambda self, chan: (begin(self, chan), opened.append(chan)),
    )
    monkeypatch.setattr(channel.ConsoleChannel, "exec_requested", lambda *_: False)
    async with console_world(tmp_path) as console, console.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process("whoami")
        async with asyncio.timeout(20):
            await opened[0].wait_closed()
        assert console.server.sessions == 0


async def test_what_a_client_wants_in_the_environment_is_not_kept(tmp_path, monkeypatch):
    seen = []
    begin = channel.ConsoleChannel.session_started
    monkeypatch.setattr(
        channel.ConsoleChannel,
        "session_started",
        lambda self: (seen.append(dict(self._chan.get_environment_bytes())), begin(self)),
    )
    async with console_world(tmp_path) as console, console.connect() as connection:
        ended = await connection.run("whoami", env={f"N{n}": "x" * 1000 for n in range(100)})

    assert ended.exit_status == 0
    assert seen == [{}]
