"""Two whole nodes in one process: mail that scripts and operators have go from one to the other."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.admin import node_transfers
from engine.admin.drain import DrainReport
from engine.admin.operation import NOTHING, NoArguments, Operation, perform
from engine.app import Node
from engine.model.caller import Caller
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import FLAG_LOG_RECORD
from engine.settings import Settings
from tests.fakes.scripted_peer import Peer, scripted_peer
from tests.fakes.smtp_node import Client, ListSink
from tests.integration.test_delivery import on_production_loop

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

POLICY = """
import mta
from mta import on

@on("init")
def init():
    mta.define_spool(path={spool!r}, min_free_space=0, min_free_inodes=0)
    mta.start_esmtp_listener(listen="127.0.0.1:0", hostname="mx.test",
                             relay_hosts=["127.0.0.0/8"])
    mta.start_http_listener(listen="127.0.0.1:0")
    {init}

@on("get_egress_path")
def path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(prohibited_hosts=[], enable_tls="Disabled")
"""
TO_PEER = """
@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(protocol={{"smtp": {{"mx_list": ["127.0.0.1:{port}"]}}}})
"""
HELD = """
@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        max_age="36500d", protocol={"smtp": {"mx_list": ["127.0.0.1:1"]}}
    )


@on("throttle_insert_ready_queue")
def hold(msg):
    msg.set_due("2040-01-01T00:00:00Z")
"""


class Running:
    """A node and the records it made."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.sink = ListSink()
        node.recorder.add_sink(self.sink)

    @property
    def target(self) -> str:
        ((_, service),) = self.node.declared.http.values()
        return f"http://127.0.0.1:{service.port}"

    async def act(self, operation: Operation, **arguments: Any) -> Any:
        """Perform an operation as an operator does."""
        is_plain = operation.request is NoArguments
        request = NOTHING if is_plain else operation.request(**arguments)
        return await perform(self.node, operation, Caller("ann"), request)

    @property
    def drain_report(self) -> DrainReport:
        return self.node.transfers.drain.report()

    async def submit(self, recipient: str, subject: str) -> None:
        address, port = next(iter(self.node.declared.listeners.values())).address
        client = Client(*await asyncio.open_connection(address, port))
        await client.reply()
        await client.command(b"EHLO c.test")
        body = f"Subject: {subject}\r\n\r\nx\r\n".encode()
        assert (await client.deliver(body, to=(recipient.encode(),))).code == 250
        client.close()

    def of(self, kind: RecordKind) -> list[LogRecord]:
        return [record for record in self.sink.records if record.kind is kind]

    async def wait(self, kind: RecordKind, count: int = 1) -> list[LogRecord]:
        return await until(
            f"{count} {kind.value}",
            lambda: self.of(kind) if len(self.of(kind)) >= count else None,
        )


async def until(what: str, holds: Callable[[], Any]) -> Any:
    async with asyncio.timeout(20):
        while not (found := holds()):
            await asyncio.sleep(0.01)
    assert found, what
    return found


@contextlib.asynccontextmanager
async def running(folder: Path, script: str, init: str = "pass") -> AsyncIterator[Running]:
    folder.mkdir()
    text = POLICY.format(spool=str(folder / "spool"), init=init) + textwrap.dedent(script)
    (folder / "policy.py").write_text(text)
    node = Node(Settings(policy=folder / "policy.py", drain_s=3.0))
    await node.start()
    try:
        yield Running(node)
        assert node.supervisor.defects == 0
    finally:
        await node.stop()


def with_two(
    tmp_path: Path,
    first_script: str,
    use: Callable[[Running, Running, Peer], Awaitable[Any]],
    *,
    init: str = "pass",
    second_script: str | None = None,
) -> None:
    """Run two nodes: in the first's script ``{target}`` is the second, which delivers to a peer."""

    async def work() -> None:
        async with scripted_peer({}) as peer:
            own = TO_PEER.format(port=peer.port) if second_script is None else second_script
            async with running(tmp_path / "second", own) as second:
                script = first_script.replace("{target}", second.target)
                async with running(tmp_path / "first", script, init) as first:
                    await use(first, second, peer)

    on_production_loop(work)


def test_a_script_has_some_mail_sent_by_another_node(tmp_path: Path) -> None:
    script = """
    @on("message_received")
    def message_received(msg):
        msg.set_meta("tenant", "shop")
        if msg.recipient.user == "there":
            mta.xfer.xfer(msg, "{target}", reason="by the script")
            msg.set_meta("x_target", mta.xfer.get_xfer_target(msg))
    """

    async def use(first: Running, second: Running, peer: Peer) -> None:
        await first.submit("there@y.test", "there")
        (out,) = await first.wait(RecordKind.XFER_OUT)
        (came,) = await second.wait(RecordKind.XFER_IN)
        await second.wait(RecordKind.DELIVERY)

        assert out.queue == f"{second.target}/.xfer.kumomta.internal"
        assert came.queue == "shop@y.test"
        (moved,) = first.of(RecordKind.ADMIN_REBIND)
        assert moved.response is not None
        assert moved.response.content.endswith("by the script")
        assert [kind.value for kind in kinds(first)] == ["AdminRebind", "Reception", "XferOut"]
        (mail,) = peer.mails
        assert b"Subject: there" in mail.data

    with_two(tmp_path, script, use)


def kinds(node: Running) -> list[RecordKind]:
    return [record.kind for record in node.sink.records]


def test_a_queue_may_be_configured_to_go_to_another_node(tmp_path: Path) -> None:
    script = """
    @on("get_queue_config")
    def queue(domain, tenant, campaign, routing_domain):
        return mta.make_queue_config(protocol={"xfer": {"target": "{target}"}})
    """

    async def use(first: Running, second: Running, _peer: Peer) -> None:
        await first.submit("b@y.test", "x")
        (out,) = await first.wait(RecordKind.XFER_OUT)
        (came,) = await second.wait(RecordKind.XFER_IN)
        await second.wait(RecordKind.DELIVERY)

        assert (out.queue, out.ready_queue) == ("y.test", "unspecified->y.test@xfer")
        assert came.queue == "y.test"
        assert first.of(RecordKind.ADMIN_REBIND) == []

    with_two(tmp_path, script, use)


def test_messages_made_of_records_are_drained_too_and_come_to_an_end(tmp_path: Path) -> None:
    script = HELD + textwrap.dedent("""
    @on("should_enqueue_log_record")
    def should_enqueue(msg, hook_name):
        msg.set_meta("queue", "records.test")
    """)

    async def use(first: Running, second: Running, _peer: Peer) -> None:
        for number in range(5):
            await first.submit("b@y.test", f"m{number}")
        await first.act(node_transfers.DRAIN, target=second.target)

        await until("nothing left", lambda: first.drain_report.is_empty)
        came = second.of(RecordKind.XFER_IN)
        of_records = [record for record in came if record.queue == "records.test"]
        assert len([record for record in came if record.queue == "y.test"]) == 5
        # Of each message its reception, its delay, the move and the transfer.
        assert len(of_records) == 5 * 4
        flags = {
            stored.envelope.flags & FLAG_LOG_RECORD
            for stored in second.node.store.enumerate()
            if stored.envelope.meta.get("queue") == "records.test"
        }
        assert flags == {FLAG_LOG_RECORD}

    with_two(tmp_path, script, use, init='mta.configure_log_hook(name="hook")', second_script=HELD)


def test_a_node_does_not_take_its_own_mail(tmp_path: Path) -> None:
    async def use(first: Running, _second: Running, _peer: Peer) -> None:
        await first.submit("b@y.test", "x")
        await until("it waits", lambda: first.drain_report.scheduled)
        await first.act(node_transfers.XFER, target=first.target, reason="a mistake")
        (failed,) = await first.wait(RecordKind.TRANSIENT_FAILURE)

        assert failed.response is not None
        assert "comes from this node itself" in failed.response.content
        assert first.of(RecordKind.XFER_IN) == []

    with_two(tmp_path, HELD, use)


def test_two_nodes_that_drain_into_each_other_lose_nothing(tmp_path: Path) -> None:
    async def use(first: Running, second: Running, _peer: Peer) -> None:
        await first.submit("b@y.test", "x")
        await second.submit("b@y.test", "y")
        await second.act(node_transfers.DRAIN, target=first.target)
        await first.act(node_transfers.DRAIN, target=second.target)
        (failed,) = await first.wait(RecordKind.TRANSIENT_FAILURE)

        assert failed.response is not None
        assert "503 draining" in failed.response.content
        await second.act(node_transfers.DRAIN_CANCEL)
        await first.act(node_transfers.DRAIN_CANCEL)
        await asyncio.sleep(0.5)
        reports = [one.drain_report for one in (first, second)]
        assert [(one.left, one.draining) for one in reports] == [(1, False), (1, False)]

    with_two(tmp_path, HELD, use, second_script=HELD)
