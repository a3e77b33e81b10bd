"""Delivery as it runs: on the loop of production, and with every stage of a node around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.app import Node
from engine.deliver.dispatcher import SmtpDispatcher
from engine.model.log_record import LogRecord, RecordKind
from engine.settings import Settings
from tests.fakes.dispatch import DispatchWorld, host
from tests.fakes.scripted_peer import (
    CLOSE,
    RESET,
    SILENCE,
    Flood,
    Peer,
    Wait,
    scripted_peer,
    server_tls,
)
from tests.fakes.smtp_node import Client, ListSink

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

LARGE = (b"x" * 78 + b"\r\n") * 50_000
HEARD = "250 2.0.0 taken"
POLICY = """
import mta
from mta import on

@on("init")
def init():
    mta.define_spool(path={spool!r}, min_free_space=0, min_free_inodes=0)
    mta.start_esmtp_listener(listen="127.0.0.1:0", hostname="mx.test",
                             relay_hosts=["127.0.0.0/8"], batch_handling="BatchByDomain")
    mta.dns.configure_test_resolver(zones=[{zone!r}])

@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(retry_interval="1s", max_retry_interval="1s")

@on("get_egress_path")
def path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(**{path!r})
"""
ZONE = "$ORIGIN y.test.\n@ 60 IN MX 10 mx\nmx 60 IN A 127.0.0.1\n"


def on_production_loop(use: Callable[[], Awaitable[Any]]) -> Any:
    """Return what the coroutine returns on the loop that nodes run on."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await use()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


# -- a dispatcher on the loop of production -------------------------------------------------------


def dispatch(
    playbook: dict[str, Any],
    *bodies: bytes,
    recipients: tuple[str, ...] = ("b@y.test",),
    peer: dict[str, Any] | None = None,
    **path: Any,
) -> tuple[DispatchWorld, Peer]:
    """Return what became of messages that one session carried to a scripted host."""

    async def use() -> tuple[DispatchWorld, Peer]:
        async with scripted_peer(playbook, **(peer or {})) as found:
            options = {"idle_timeout": "200ms", "rset_timeout": "1s", **path}
            world = DispatchWorld(hosts=[host(found)], **options)
            for body in bodies or (b"Subject: x\r\n\r\nx\r\n",):
                world.add(*recipients, body=body)
            await SmtpDispatcher(world, world.services).run()
            return world, found

    return on_production_loop(use)  # type: ignore[no-any-return]


def waiting_in(node: Any) -> int:
    return sum(len(queue.entries) for queue in node.queues)


def words(world: DispatchWorld) -> list[str]:
    return [line.split()[1] for line in world.lines]


def test_octets_arrive_as_they_are() -> None:
    bodies = (b".\r\n..\r\n", b"x" * 998 + b"\r\n \t\r\n\xff\x00\r\n", LARGE)
    world, peer = dispatch({}, *bodies)

    assert [mail.data for mail in peer.mails] == list(bodies)
    assert peer.connections == 1
    assert words(world) == ["DELIVERED"] * 3


def test_mail_goes_over_tls(tmp_path: Path) -> None:
    context = server_tls(tmp_path)
    bodies = (b"x\r\n", LARGE)
    world, peer = dispatch({}, *bodies, peer={"tls": context}, enable_tls="OpportunisticInsecure")

    assert [(mail.over_tls, mail.data) for mail in peer.mails] == [(True, one) for one in bodies]
    where = world.settled[0].where
    assert where.tls is not None
    assert where.tls[1].startswith("TLSv1")


@pytest.mark.parametrize(
    "starttls",
    [("220 go", CLOSE), ("220 go", RESET), ("220 go", SILENCE), b"220 go\r\n250 injected\r\n"],
    ids=["close", "reset", "silence", "injection"],
)
def test_a_required_handshake_that_fails_sends_nothing(tmp_path: Path, starttls: Any) -> None:
    world, peer = dispatch(
        {"STARTTLS": starttls},
        peer={"tls": server_tls(tmp_path)},
        enable_tls="RequiredInsecure",
        starttls_timeout="1s",
    )

    assert words(world) == ["DEFERRED"]
    assert not peer.said("MAIL")


def test_an_untrusted_certificate_sends_nothing(tmp_path: Path) -> None:
    world, peer = dispatch({}, peer={"tls": server_tls(tmp_path)}, enable_tls="Required")

    assert "bad certificate" in world.lines[0]
    assert not peer.said("MAIL")


@pytest.mark.parametrize("then", [SILENCE, CLOSE, RESET], ids=["silence", "close", "reset"])
def test_a_refusal_before_the_end_of_the_data_is_heard(then: Any) -> None:
    playbook = {"DATA": ("354 go", Wait(0.2), "552 5.3.4 too large", Wait(0.2), then)}
    world, _ = dispatch(playbook, LARGE * 5, peer={"reads_ahead": 1 << 16}, data_dot_timeout="3s")

    assert world.lines == ["b@y.test FAILED 552 5.3.4 too large"]


def test_an_early_yes_delivers_nothing() -> None:
    playbook = {"DATA": ("354 go", Wait(0.2), HEARD, SILENCE)}
    world, _ = dispatch(playbook, LARGE * 5, peer={"reads_ahead": 1 << 16}, data_dot_timeout="3s")

    assert words(world) == ["DEFERRED"]


def test_a_host_that_stops_reading_is_a_deferral() -> None:
    world, _ = dispatch(
        {"DATA": ("354 go", SILENCE)},
        LARGE * 5,
        peer={"reads_ahead": 1 << 16},
        data_dot_timeout="1s",
    )

    assert words(world) == ["DEFERRED"]


def test_endless_words_of_an_idle_host_cost_a_connection_and_no_attempt() -> None:
    noise = (HEARD, Flood(b"250 more\r\n" * 100, 10_000_000))
    world, peer = dispatch({"dot": [noise, HEARD, HEARD]}, b"a\r\n", b"b\r\n", b"c\r\n")

    assert words(world) == ["DELIVERED"] * 3
    assert peer.connections == 2


@pytest.mark.parametrize("end", [CLOSE, RESET, SILENCE, "421 4.4.2 bye"], ids=str)
def test_a_kept_connection_that_ends_costs_no_attempt(end: Any) -> None:
    world, peer = dispatch({"RSET": end}, b"a\r\n", b"b\r\n")

    assert words(world) == ["DELIVERED"] * 2
    assert peer.connections == 2


@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["close", "reset"])
def test_a_lost_connection_is_a_deferral(step: str, end: Any) -> None:
    world, peer = dispatch({step: end})

    assert words(world) == ["DEFERRED"]
    assert peer.mails == []


def test_a_cancelled_session_leaves_no_connection_and_each_message_once() -> None:
    async def use() -> None:
        async with scripted_peer({"dot": SILENCE}) as peer:
            world = DispatchWorld(hosts=[host(peer)])
            message = world.add()
            task = asyncio.ensure_future(SmtpDispatcher(world, world.services).run())
            while not peer.said("DATA"):
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert world.ends(message) == 1
            assert world.dispositions(message) == {}

    on_production_loop(use)


# -- a whole node ---------------------------------------------------------------------------------


class Running:
    """A node, its host, and the records it made."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self.node = node
        self.peer = peer
        self.sink = ListSink()
        node.recorder.add_sink(self.sink)

    async def submit(self, *recipients: str, body: bytes = b"Subject: x\r\n\r\nx\r\n") -> None:
        address, port = next(iter(self.node.declared.listeners.values())).address
        client = Client(*await asyncio.open_connection(address, port))
        await client.reply()
        await client.command(b"EHLO c.test")
        reply = await client.deliver(body, to=tuple(one.encode() for one in recipients))
        assert reply.code == 250
        client.close()

    def of(self, kind: RecordKind) -> list[LogRecord]:
        return [record for record in self.sink.records if record.kind is kind]

    async def wait(self, kind: RecordKind, count: int = 1) -> list[LogRecord]:
        while len(self.of(kind)) < count:
            await asyncio.sleep(0.01)
        return self.of(kind)


@contextlib.asynccontextmanager
async def running(folder: Path, playbook: dict[str, Any], **path: Any) -> AsyncIterator[Running]:
    async with scripted_peer(playbook) as peer:
        options = {"prohibited_hosts": [], "enable_tls": "Disabled", "smtp_port": peer.port, **path}
        text = POLICY.format(spool=str(folder / "spool"), zone=ZONE, path=options)
        (folder / "policy.py").write_text(text)
        node = Node(Settings(policy=folder / "policy.py", drain_s=3.0))
        await node.start()
        try:
            yield Running(node, peer)
        finally:
            await node.stop()


def test_a_deferred_recipient_alone_is_tried_again(tmp_path: Path) -> None:
    async def use() -> None:
        codes = ["250 ok", "450 4.2.1 busy", "550 5.1.1 who", "250 ok"]
        async with running(tmp_path, {"RCPT": codes}) as world:
            await world.submit("a@y.test", "b@y.test", "c@y.test")
            delivered = await world.wait(RecordKind.DELIVERY, 2)
            (deferred,) = world.of(RecordKind.TRANSIENT_FAILURE)
            (bounced,) = world.of(RecordKind.BOUNCE)
            assert [mail.recipients for mail in world.peer.mails] == [["a@y.test"], ["b@y.test"]]
            assert [record.num_attempts for record in delivered] == [0, 1]
            assert (deferred.response.code, bounced.response.code) == (450, 550)

    on_production_loop(use)


def test_mail_that_met_a_421_is_delivered_once(tmp_path: Path) -> None:
    async def use() -> None:
        playbook = {"dot": [("421 4.3.2 bye", CLOSE), HEARD]}
        async with running(tmp_path, playbook) as world:
            for number in range(5):
                await world.submit(f"r{number}@y.test")
            await world.wait(RecordKind.DELIVERY, 5)
            got = sorted(mail.recipients[0] for mail in world.peer.mails)
            assert got == [f"r{number}@y.test" for number in range(5)]
            assert len(world.of(RecordKind.TRANSIENT_FAILURE)) == 1

    on_production_loop(use)


def test_a_stop_in_the_middle_of_a_delivery_keeps_the_message(tmp_path: Path) -> None:
    async def use() -> None:
        async with running(tmp_path, {"MAIL": SILENCE}) as world:
            await world.submit("a@y.test")
            while not world.peer.said("MAIL"):
                await asyncio.sleep(0.01)
            assert world.of(RecordKind.TRANSIENT_FAILURE) == []
        async with running(tmp_path, {}) as world:
            while waiting_in(world.node) + len(world.peer.mails) == 0:
                await asyncio.sleep(0.01)

    on_production_loop(use)


def test_a_session_without_progress_is_ended_and_its_message_kept(tmp_path: Path) -> None:
    async def use() -> None:
        path = {"dispatcher_progress_watchdog_timeout": "1s"}
        async with running(tmp_path, {"MAIL": SILENCE}, **path) as world:
            await world.submit("a@y.test")
            while waiting_in(world.node) == 0 or world.node.dispatching.dispatchers:
                await asyncio.sleep(0.05)
            assert world.of(RecordKind.DELIVERY) == []
            assert waiting_in(world.node) == 1

    on_production_loop(use)


def test_too_many_recipients_go_on_at_once(tmp_path: Path) -> None:
    async def use() -> None:
        codes = ["250 ok", "452 4.5.3 too many", "250 ok"]
        async with running(tmp_path, {"RCPT": codes}) as world:
            await world.submit("a@y.test", "b@y.test")
            await world.wait(RecordKind.DELIVERY, 2)
            assert world.of(RecordKind.TRANSIENT_FAILURE) == []
            assert world.peer.connections == 1

    on_production_loop(use)
