"""What admission refuses before a handler sees it, and what it takes together or not at all."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from engine.base.clock import Clock
from engine.model.listener_options import TraceHeaders
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_8BIT, FLAG_SMTPUTF8
from engine.receive.admission import SLICE_S, _RefusedError, judge_hops
from engine.receive.incoming import Incoming, Phase
from tests.fakes.dkim_oracle import rsa_pair
from tests.fakes.smtp_node import smtp_node


def incoming(node, **changes) -> Incoming:
    values = {
        "sender": "a@x.test",
        "recipients": ["b@y.test"],
        "content": b"Subject: s\r\n\r\nx\r\n",
        "conn_meta": {"k": 1},
        "epoch": node.runtime.epoch,
        "trace": TraceHeaders(supplemental_header=False),
        "hostname": "mx.test",
        "client": "c.test",
        "peer_ip": "127.0.0.1",
        "own_ip": "127.0.0.2",
        "protocol": "ESMTP",
        **changes,
    }
    return Incoming(**values)


@pytest.mark.parametrize(
    ("header", "loops"),
    [
        (b"Received: x\r\n" * 100, False),
        (b"Received: x\r\n" * 101, True),
        (b"a: b\r\n" + b"rEcEiVeD: x\r\n" * 101, True),
        (b"X-Received: x\r\n" * 150, False),
        (b"a: b\r\n Received: folded\r\n" * 150, False),
        (b"\r\n" + b"Received: body\r\n" * 150, False),
    ],
)
def test_hops_are_counted_in_the_header_only(header, loops):
    content = header + b"\r\n" + b"Received: body\r\n" * 200
    if loops:
        with pytest.raises(_RefusedError):
            judge_hops(content)
    else:
        judge_hops(content)


async def test_what_is_taken_is_stored_recorded_and_queued_in_this_order(tmp_path):
    async with smtp_node(tmp_path) as node:
        node.store.gate.clear()
        work = incoming(node, recipients=["b@y.test", "c@z.test"])
        task = node.supervisor.start(node.admission.admit(work))
        await node.store.entered.wait()
        assert (work.phase, node.taken, node.sink.records) == (Phase.SPOOL, [], [])
        assert node.admission.under_way == 1

        node.store.gate.set()
        admitted = await task

    assert admitted.reply.code == 250
    assert work.phase is Phase.INSERT
    assert [message.spool_id for message in node.taken] == admitted.spool_ids
    assert node.admission.under_way == 0
    assert [record.kind for record in node.sink.records] == [RecordKind.RECEPTION] * 2
    assert {message.body_id for message in node.taken} == {node.taken[0].body_id}
    assert all(message.meta == {"k": 1} for message in node.taken)


async def test_handlers_of_many_recipients_let_others_have_the_loop(tmp_path):
    handler = '@on("message_received")\ndef received(msg):\n    msg.set_meta("tenant", "t")\n'
    async with smtp_node(tmp_path, handler) as node:
        ticks = itertools.count()
        node.admission._clock = Clock(lambda: next(ticks) * SLICE_S, node.clock.wall)
        names = [f"u{number}@d{number}.test" for number in range(50)]
        task = node.supervisor.start(node.admission.admit(incoming(node, recipients=names)))
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1

    assert turns > 10
    assert len(node.taken) == 50


async def test_an_abandoned_transaction_is_taken_back(tmp_path):
    async with smtp_node(tmp_path) as node:
        node.store.gate.clear()
        work = incoming(node)
        task = node.supervisor.start(node.admission.admit(work))
        await node.store.entered.wait()

        work.abandoned = True
        node.store.gate.set()
        admitted = await task

    assert admitted.reply.code == 451
    assert (node.taken, node.store.envelopes, node.store.bodies, node.sink.records) == (
        [],
        {},
        {},
        [],
    )


async def test_the_end_of_a_waiter_does_not_end_the_admission(tmp_path):
    async with smtp_node(tmp_path) as node:
        node.store.gate.clear()
        task = node.supervisor.start(node.admission.admit(incoming(node)))
        await node.store.entered.wait()
        waiter = node.supervisor.start(_shielded(task))
        await asyncio.sleep(0)
        waiter.cancel()
        node.store.gate.set()
        await task

    assert len(node.taken) == 1


async def _shielded(task):
    await asyncio.shield(task)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, 0),
        ({"content": b"s: t\r\n\r\n\xe9\r\n"}, FLAG_8BIT),
        ({"smtputf8": True}, FLAG_SMTPUTF8),
        ({"recipients": ["b@b\u00fccher.test"], "smtputf8": True}, FLAG_8BIT | FLAG_SMTPUTF8),
    ],
)
async def test_flags_tell_what_the_way_on_needs(tmp_path, changes, flags):
    async with smtp_node(tmp_path) as node:
        await node.admission.admit(incoming(node, **changes))

        assert node.taken[0].flags == flags


async def test_an_injected_message_fires_no_smtp_event(tmp_path):
    script = "@on('smtp_data')\ndef d(msg, conn):\n    mta.reject(550, 'no')\n"
    async with smtp_node(tmp_path, script) as node:
        admitted = await node.admission.admit(incoming(node, is_smtp=False, protocol="HTTP"))

        assert admitted.reply.code == 250
        counted = node.metrics.counter("total_messages_received").labels("http_listener")
        assert counted.value == 1


async def test_size_counts_what_was_put_in_front(tmp_path):
    async with smtp_node(tmp_path) as node:
        await node.admission.admit(incoming(node, trace=TraceHeaders()))

        assert node.taken[0].size == len(node.content())


@pytest.mark.real_time
async def test_the_time_that_signing_takes_is_measured(tmp_path):
    key = tmp_path / "r.key"
    key.write_text(rsa_pair().pem)
    script = f"""
@on("message_received")
def sign(msg):
    if msg.sender.user == "signed":
        msg.dkim_sign(mta.dkim.rsa_sha256_signer(
            domain="x.test", selector="s", headers=["From"], key={str(key)!r}
        ))
"""
    async with smtp_node(tmp_path, script) as node:
        await node.admission.admit(incoming(node))
        await node.admission.admit(
            incoming(node, sender="signed@x.test", content=b"From: a@x.test\r\n\r\nx\r\n")
        )

        assert node.metrics.histogram("dkim_signer_sign").labels().count == 1
