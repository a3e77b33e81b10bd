"""Gates, deadlines, silence, and clients that leave in the middle."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.log_record import RecordKind

BODY = b"Subject: s\r\n\r\nhello\r\n"


async def test_a_silent_client_is_told_and_closed(start_node):
    node = await start_node(client_timeout="5 minutes")
    client = await node.greeted()
    loop = asyncio.get_running_loop()
    before = loop.time()

    assert await client.rest() == b"421 4.3.2 mx.test idle too long\r\n"

    assert 299 <= loop.time() - before <= 305
    assert node.rejections == []


@pytest.mark.parametrize(
    "sent", [b"NOO", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nhalf a body"]
)
async def test_silence_in_the_middle_ends_the_same_way(start_node, sent):
    node = await start_node(client_timeout=60)
    client = await node.greeted()

    await client.send(sent)

    assert (await client.rest()).endswith(b"421 4.3.2 mx.test idle too long\r\n")
    assert node.taken == []


async def test_silence_in_a_chunk_ends_the_same_way(start_node):
    node = await start_node(client_timeout=60)
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

    await client.send(b"BDAT 100 LAST\r\nhalf")

    assert (await client.rest()).endswith(b"421 4.3.2 mx.test idle too long\r\n")
    assert node.taken == []


async def test_a_client_that_speaks_now_and_then_is_not_idle(start_node):
    node = await start_node(client_timeout=60)
    client = await node.greeted()

    for _ in range(5):
        await asyncio.sleep(50)
        assert await client.codes(b"NOOP") == [250]


@pytest.mark.slow
async def test_a_client_that_does_not_read_its_replies_is_dropped(start_node):
    node = await start_node(client_timeout=60)
    client = await node.greeted()
    client.writer.transport.pause_reading()
    for _ in range(200):
        client.writer.write(b"NOOP\r\n" * 20_000)
        await asyncio.sleep(0.01)
        if not node.listener.sessions:
            break

    await asyncio.sleep(200)

    assert not node.listener.sessions
    client.reset()


@pytest.mark.parametrize("timeout", [10, 120])
async def test_a_slow_store_is_451_and_the_message_is_nowhere(start_node, timeout):
    node = await start_node(data_processing_timeout=timeout)
    client = await node.greeted()
    node.store.gate.clear()
    loop = asyncio.get_running_loop()
    before = loop.time()

    reply = await client.deliver(BODY)

    assert repr(reply) == "451 4.4.5 processing took too long (spool)"
    assert timeout - 1 <= loop.time() - before <= timeout + 61
    node.store.gate.set()
    await asyncio.sleep(1)
    assert node.taken == []
    assert not node.store.envelopes
    assert not node.store.bodies
    assert node.records(RecordKind.RECEPTION) == []
    assert (await client.deliver(BODY)).code == 250


async def test_a_store_that_refuses_is_452(start_node):
    node = await start_node()
    client = await node.greeted()
    node.store.refusing = "the disk is full"

    assert (await client.deliver(BODY)).code == 452
    assert node.taken == []
    node.store.refusing = None
    assert (await client.deliver(BODY)).code == 250


async def test_one_connection_too_many_is_turned_away(start_node):
    node = await start_node(max_connections=2)
    first, _second = await node.greeted(), await node.greeted()

    third = await node.connect()
    assert repr(await third.reply()) == "421 4.3.2 mx.test too many connections"
    assert await third.rest() == b""

    assert await first.codes(b"QUIT") == [221]
    await first.rest()
    assert await (await node.greeted()).codes(b"NOOP") == [250]
    assert node.rejections == []


async def test_a_closed_gate_turns_clients_away_at_every_door(start_node):
    node = await start_node()
    in_mail, in_data, in_chunk = [await node.greeted() for _ in range(3)]
    for client in (in_data, in_chunk):
        await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")
    node.trouble = "load shedding, memory is short"

    fresh = await node.connect()
    told = "421 4.3.2 mx.test load shedding, memory is short"
    assert repr(await fresh.reply()) == told
    assert repr(await in_mail.command(b"MAIL FROM:<a@x.test>")) == told
    assert repr(await in_data.command(b"DATA")) == told
    await in_chunk.send(b"BDAT 3 LAST\r\nx\r\n")
    assert (await in_chunk.reply()).code in (421, 451)
    for client in (fresh, in_mail, in_data):
        assert await client.rest() == b""
    assert node.taken == []


async def test_over_a_hundred_received_fields_are_a_loop(start_node):
    node = await start_node()
    client = await node.greeted()

    for name in (b"Received", b"received", b"RECEIVED"):
        looping = b"Subject: x\r\n" + (name + b": from a\r\n by b\r\n") * 101 + b"\r\nx\r\n"
        assert (
            repr(await client.deliver(looping))
            == "554 5.4.6 too many hops, this message is in a loop"
        )
    fine = b"Received: from a\r\n by b\r\n" * 100 + b"\r\n" + b"Received: in the body\r\n" * 50
    assert (await client.deliver(fine)).code == 250
    assert (await client.deliver(b"\r\n" + b"Received: in the body\r\n" * 150)).code == 250
    assert len(node.taken) == 2


async def test_rejections_tell_who_what_and_why(start_node):
    node = await start_node(relay_hosts=["127.0.0.1"], max_recipients_per_message=1)
    client = await node.greeted(hello=b"EHLO the.client")

    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"RCPT TO:<c@y.test>")

    (record,) = node.rejections
    assert (record.sender, record.recipient) == ("a@x.test", "b@y.test")
    assert record.response.code == 452
    assert record.response.command == "RCPT TO:<c@y.test>"
    assert (record.peer_address.name, record.peer_address.addr) == ("the.client", "127.0.0.1")
    assert record.reception_protocol == "ESMTP"
    assert record.session_id


async def test_a_refused_chunk_is_recorded_with_its_sender(start_node):
    node = await start_node(max_message_size=10)
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

    await client.send(b"BDAT 20 LAST\r\n" + b"x" * 20)
    await client.reply()

    assert (node.rejections[0].sender, node.rejections[0].recipient) == ("a@x.test", "b@y.test")


async def test_every_message_taken_has_one_reception_record(start_node):
    node = await start_node()
    client = await node.greeted()
    await client.deliver(BODY)

    (record,) = node.records(RecordKind.RECEPTION)
    (message,) = node.taken

    assert (record.id, record.queue, record.size) == (message.id, "y.test", len(node.content()))
    assert (record.response.code, record.reception_protocol) == (250, "ESMTP")


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.parametrize("before_commit", [True, False])
async def test_a_client_that_leaves_before_our_reply_leaves_a_whole_message(
    start_node, leave, before_commit
):
    node = await start_node()
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")
    node.store.gate.clear()
    await client.send(BODY + b".\r\n")
    if before_commit:
        await node.store.entered.wait()

    if leave == "close":
        client.close()
    elif leave == "reset":
        client.reset()
    else:
        client.writer.write_eof()
    await asyncio.sleep(1)
    node.store.gate.set()
    await asyncio.sleep(1)

    assert node.bodies() == [BODY]
    assert len(node.store.envelopes) == 1
    if leave == "half_close":
        assert (await client.rest()).startswith(b"250 ")
    assert not node.listener.sessions


@pytest.mark.parametrize("cut", [b"", b".", b".\r"])
async def test_a_client_that_leaves_before_its_last_octet_leaves_nothing(start_node, cut):
    node = await start_node()
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")

    await client.send(BODY + cut)
    client.writer.write_eof()
    await client.rest()

    assert node.taken == []
    assert not node.listener.sessions


async def test_draining_lets_a_transaction_finish_and_closes_idle_sessions(start_node):
    node = await start_node()
    idle, busy = await node.greeted(), await node.greeted()
    await busy.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")

    drain = node.supervisor.start(node.listener.drain(30, asyncio.sleep))
    assert await idle.rest() == b"421 4.3.2 mx.test shutting down\r\n"
    await busy.send(BODY + b".\r\n")
    assert (await busy.reply()).code == 250
    assert b"421 4.3.2" in await busy.rest()
    await drain

    assert len(node.taken) == 1
    with pytest.raises(ConnectionRefusedError):
        await node.connect()


async def test_draining_begins_no_transaction(start_node):
    node = await start_node()
    busy = await node.greeted()
    await busy.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

    drain = node.supervisor.start(node.listener.drain(30, asyncio.sleep))
    await asyncio.sleep(0.1)
    await busy.send(b"DATA\r\n" + BODY + b".\r\nMAIL FROM:<a@x.test>\r\n")
    codes = [(await busy.reply()).code for _ in range(3)]
    await drain

    assert codes == [354, 250, 421]
    assert len(node.taken) == 1


async def test_draining_ends_after_its_deadline(start_node):
    node = await start_node()
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")

    await node.listener.drain(5, asyncio.sleep)
    await client.rest()

    assert not node.listener.sessions
    assert node.taken == []
