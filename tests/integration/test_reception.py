"""A whole node takes mail: what it answered 250 is on disk, and a restart finds it there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.app import Node
from engine.settings import Settings
from tests.fakes.smtp_node import Client, client_tls

pytestmark = pytest.mark.real_time

POLICY = """
import mta
from mta import on

@on("init")
def init():
    mta.define_spool(path={spool!r}, min_free_space=0, min_free_inodes=0)
    mta.configure_local_logs(log_dir={logs!r})
    mta.start_esmtp_listener(listen="127.0.0.1:0", hostname="mx.test")
    mta.start_esmtp_listener(listen="127.0.0.2:0", hostname="tls.test", tls_from_first_byte=True,
                             relay_hosts=["127.0.0.0/8"])
    mta.dns.configure_test_resolver(zones=[], servfail=["y.test"])

@on("message_received")
def received(msg):
    msg.set_meta("tenant", {tenant!r})
    while {loop!r} in str(msg.recipient):
        pass

@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(retry_interval="1h")
"""


def write_policy(folder: Path, tenant: str = "first") -> Path:
    path = folder / "policy.py"
    path.write_text(
        POLICY.format(
            spool=str(folder / "spool"), logs=str(folder / "logs"), tenant=tenant, loop="loop@"
        )
    )
    return path


def run_node(folder: Path, use: Any) -> Any:
    """Run a node on the loop of production while ``use(node)`` runs."""

    async def main() -> Any:
        async with asyncio.timeout(30):
            node = Node(Settings(policy=folder / "policy.py", drain_s=3.0))
            await node.start()
            try:
                return await use(node)
            finally:
                await node.stop()

    return uvloop.run(main())


async def dial(node: Node, host: str, *, tls: bool = False) -> Client:
    (listener,) = [found for found in node.declared.listeners.values() if found.address[0] == host]
    reader, writer = await asyncio.open_connection(
        *listener.address, ssl=client_tls() if tls else None, local_addr=("127.0.0.1", 0)
    )
    client = Client(reader, writer)
    assert (await client.reply()).code == 220
    assert (await client.command(b"EHLO c.test")).code == 250
    return client


def stored(node: Node) -> list[Any]:
    return [entry.envelope for entry in node.store.enumerate()]


def test_what_was_answered_250_is_found_after_a_restart(tmp_path):
    write_policy(tmp_path)

    async def take(node: Node) -> list[int]:
        plain, secure = await dial(node, "127.0.0.1"), await dial(node, "127.0.0.2", tls=True)
        return [
            (await client.deliver(b"Subject: s\r\n\r\nx\r\n", to=(b"b@y.test", b"c@y.test"))).code
            for client in (plain, secure)
        ]

    async def look(node: Node) -> list[tuple[str, list[str], bytes]]:
        return [
            (e.meta["tenant"], e.recipients, node.store.load_body(e.body_id)) for e in stored(node)
        ]

    assert run_node(tmp_path, take) == [250, 250]
    found = run_node(tmp_path, look)
    assert (
        sorted(recipients for _, recipients, _ in found) == [["b@y.test"]] * 2 + [["c@y.test"]] * 2
    )
    assert {(tenant, body) for tenant, _, body in found} == {("first", b"Subject: s\r\n\r\nx\r\n")}


def test_an_edited_script_holds_for_the_next_message_of_a_connection(tmp_path):
    write_policy(tmp_path)

    async def take(node: Node) -> list[str]:
        client = await dial(node, "127.0.0.1")
        await client.deliver(b"x\r\n")
        write_policy(tmp_path, "second")
        await node.reload_policy()
        await client.deliver(b"x\r\n")
        return [envelope.meta["tenant"] for envelope in stored(node)]

    assert sorted(run_node(tmp_path, take)) == ["first", "second"]


def test_an_endless_loop_is_451_and_other_mail_goes_on(tmp_path):
    write_policy(tmp_path)

    async def take(node: Node) -> list[int]:
        client = await dial(node, "127.0.0.1")
        return [
            (await client.deliver(b"x\r\n", to=(to,))).code for to in (b"loop@y.test", b"b@y.test")
        ]

    assert run_node(tmp_path, take)[0] == 451


def test_a_second_node_on_the_same_spool_is_refused(tmp_path):
    write_policy(tmp_path)

    async def take(node: Node) -> str:
        second = Node(Settings(policy=tmp_path / "policy.py", drain_s=1.0))
        try:
            await second.start()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "it started"

    assert run_node(tmp_path, take).startswith("SpoolLockedError: ")
