"""The consoles of a node, in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from engine.console import console
from engine.console.console import Consoles
from engine.model.console_options import ConsoleOptions
from engine.model.errors import ConfigurationError
from tests.fakes.admin_world import admin_world
from tests.fakes.console_world import make_desk

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
ADDRESS = ("127.0.0.1", 0)


@pytest.fixture
def key(tmp_path):
    made = asyncssh.generate_private_key("ssh-ed25519")
    line = f'role="operator" {made.export_public_key().decode()}'
    (tmp_path / "authorized_keys").write_text(line)
    return made


def options(folder: Path, **changes) -> ConsoleOptions:
    made = ConsoleOptions(ADDRESS, folder / "host_key", folder / "authorized_keys")
    return replace(made, **changes)


def connect(consoles: Consoles, key):
    return asyncssh.connect(
        "127.0.0.1",
        consoles.port_of(ADDRESS),
        known_hosts=None,
        config=None,
        agent_path=None,
        username="x",
        client_keys=[key],
    )


def console_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "console"]


async def test_a_console_runs_in_a_thread_of_its_own_and_acts_in_the_node(tmp_path, key):
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        assert console_threads() == []
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        assert console_threads() == ["console"]
        async with connect(consoles, key) as connection:
            ended = await connection.run("suspend --tenant acme --reason x --json")
        await consoles.close()
        await asyncio.sleep(0.05)
        acts = [one.act for one in world.audited()]

    assert ended.exit_status == 0
    assert "suspend" in acts
    assert console_threads() == []


async def test_a_loop_of_the_node_that_is_held_up_does_not_hold_up_a_prompt(tmp_path, key):
    """What the console does by itself goes on; what it asks of the node waits for the node."""
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        port = consoles.port_of(ADDRESS)
        result: dict[str, object] = {}

        def operate() -> None:
            async def come() -> None:
                given = {"known_hosts": None, "config": None, "agent_path": None}
                async with asyncssh.connect(
                    "127.0.0.1", port, username="x", client_keys=[key], **given
                ) as connection:
                    ended = await connection.run("whoami --json")
                    result["out"] = ended.stdout

            asyncio.run(come())

        person = threading.Thread(target=operate)
        person.start()
        person.join(20)
        await consoles.close()

    assert '"role": "operator"' in str(result["out"])


async def test_a_reload_changes_a_console_without_ending_its_sessions(tmp_path, key):
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        async with connect(consoles, key) as connection:
            await consoles.reconcile({ADDRESS: options(tmp_path, max_sessions=1)})
            assert (await connection.run("whoami")).exit_status == 0
            held = await connection.create_process(term_type="xterm")
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.run("whoami")
            held.close()
        await consoles.reconcile({})

    assert console_threads() == []


async def test_one_that_cannot_be_had_is_said_and_the_others_stay(tmp_path, key):
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        good = options(tmp_path)
        bad = options(tmp_path, listen=("127.0.0.2", 0), authorized_keys=tmp_path / "none")
        with pytest.raises(ConfigurationError, match="there is no file"):
            await consoles.reconcile({ADDRESS: good, bad.listen: bad})
        async with connect(consoles, key) as connection:
            assert (await connection.run("whoami")).exit_status == 0
        await consoles.close()


async def test_an_address_that_is_taken_is_said(tmp_path, key):
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        taken = ("127.0.0.1", consoles.port_of(ADDRESS))
        with pytest.raises(ConfigurationError, match="Address already in use"):
            await consoles.reconcile(
                {ADDRESS: options(tmp_path), taken: options(tmp_path, listen=taken)}
            )
        await consoles.close()


async def test_a_thread_that_died_is_replaced_at_the_next_reload(tmp_path, key, caplog):
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        consoles._loop.call_soon_threadsafe(consoles._loop.stop)
        await asyncio.to_thread(consoles._thread.join, 10)
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        async with connect(consoles, key) as connection:
            ended = await connection.run("whoami")
        consoles._loop.call_soon_threadsafe(consoles._loop.stop)
        await asyncio.to_thread(consoles._thread.join, 10)
        await consoles.close()

    assert ended.exit_status == 0
    assert caplog.text.count("the console's thread has died") == 2


async def test_a_thread_that_is_stuck_does_not_keep_the_node_from_stopping(
    tmp_path, key, caplog, monkeypatch
):
    stuck = threading.Event()
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        monkeypatch.setattr(console, "ANSWER_S", 0.2)
        thread = consoles._thread
        consoles._loop.call_soon_threadsafe(stuck.wait, 30)
        await consoles.close()
        stuck.set()
        await asyncio.to_thread(thread.join, 10)

    assert "a console is not ended" in caplog.text


async def test_another_host_key_that_cannot_be_had_leaves_the_console_as_it_is(tmp_path, key):
    readable = tmp_path / "readable"
    readable.write_bytes(key.export_private_key())
    readable.chmod(0o644)
    async with admin_world(tmp_path) as world:
        consoles = Consoles(lambda: make_desk(world))
        await consoles.reconcile({ADDRESS: options(tmp_path)})
        with pytest.raises(ConfigurationError, match="others may read"):
            await consoles.reconcile({ADDRESS: options(tmp_path, host_key=readable)})
        async with connect(consoles, key) as connection:
            assert (await connection.run("whoami")).exit_status == 0
        await consoles.close()
