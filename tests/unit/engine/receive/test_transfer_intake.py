"""Messages of other nodes: taken with all they have, once, and only when that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import gzip

import aiohttp
import pytest

from engine.base.http_service import HttpService
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_8BIT, Message, decode_envelope, new_spool_id
from engine.model.schedule_window import parse_schedule
from engine.model.transfer_state import INFO, assign
from engine.model.transfer_target import parse_target
from engine.model.transfer_wire import created_of, encode_head
from engine.receive import transfer_intake
from engine.receive.transfer_intake import PATH, TransferIntake
from engine.spool.spool_store import StoredMessage
from tests.fakes.smtp_node import smtp_node

NODE = parse_target("http://10.0.0.2:8000")
CREATED_AT = 1_700_000_000.25


def make_message(*recipients, data=b"Subject: x\r\n\r\n\xe4\r\n", **meta):
    return Message(
        new_spool_id(),
        "a@x.test",
        list(recipients or ("b@y.test",)),
        data=data,
        size=len(data),
        created_at=CREATED_AT,
        meta=meta,
        flags=FLAG_8BIT,
        prefix=b"X-Own: 1\r\n",
    )


def wire(message, node="node-2"):
    return encode_head(message, node, message.meta) + message.prefix + message.data


class Receiver:
    """A node that takes messages of others, and a client that sends them."""

    def __init__(self, node):
        self.node = node
        self.has_recovered = True
        self.intake = TransferIntake(node, node.taken.append, lambda: self.has_recovered)
        self.trusted = ["127.0.0.1"]

    async def start(self):
        self.service = HttpService(
            ("127.0.0.1", 0), "mx.test", trusted_hosts=self.trusted, request_body_limit=1000
        )
        self.intake.add_to(self.service)
        await self.service.start()
        self.session = aiohttp.ClientSession()

    async def stop(self):
        await self.session.close()
        await self.service.stop(1.0)

    async def post(self, raw, *, is_told=True):
        headers = {"Content-Encoding": "gzip"} if is_told else {}
        url = f"http://127.0.0.1:{self.service.port}{PATH}"
        data = gzip.compress(raw)
        async with self.session.post(url, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def take(self, message, **options):
        status, answer = await self.post(wire(message, **options))
        assert status == 200, answer
        return answer["id"]


@contextlib.asynccontextmanager
async def receiving(folder, script="", trusted=("127.0.0.1",)):
    async with smtp_node(folder, script) as node:
        receiver = Receiver(node)
        receiver.trusted = list(trusted)
        await receiver.start()
        try:
            yield receiver
        finally:
            await receiver.stop()


async def test_a_message_goes_on_here_as_it_was_there(tmp_path):
    async with receiving(tmp_path) as receiver:
        clock = receiver.node.clock
        message = make_message("b@y.test", "c@y.test", tenant="shop", x_note=[1])
        message.attempts = 3
        message.schedule = parse_schedule({"expires": "2040-01-02T03:04:05Z"})
        assign(message, NODE, clock.wall() + 500)

        new_id = await receiver.take(message)

        (got,) = receiver.node.taken
        assert got.id == new_id != message.id
        assert (got.sender, got.recipients) == ("a@x.test", ["b@y.test", "c@y.test"])
        assert (got.prefix, got.data, got.size) == (message.prefix, message.data, 27)
        assert (got.attempts, got.schedule.to_dict()) == (3, {"expires": "2040-01-02T03:04:05Z"})
        assert got.due_mono == pytest.approx(clock.mono() + 500, abs=0.5)
        assert got.created_at == CREATED_AT
        assert created_of(got.spool_id) == pytest.approx(CREATED_AT, abs=0.002)
        assert (got.flags, got.context) == (FLAG_8BIT, InsertReason.RECEIVED)
        assert got.queue_name == "shop@y.test"
        assert got.meta == {
            "tenant": "shop",
            "x_note": [1],
            "xfer_from": "127.0.0.1",
            "xfer_via": "127.0.0.1",
            "xfer_auth": "127.0.0.1",
            "xfer_prior_id": message.id,
            "xfer_prior_node": "node-2",
            "xfer_origin_id": message.id,
        }
        assert got.spool_id in receiver.node.store.envelopes
        (record,) = receiver.node.records(RecordKind.XFER_IN)
        assert (record.id, record.queue, record.num_attempts) == (new_id, "shop@y.test", 3)
        assert message.id in record.response.content
        assert record.peer_address.addr == "127.0.0.1"
        assert receiver.node.records(RecordKind.RECEPTION) == []


async def test_a_sender_that_does_not_say_that_it_packs_is_understood(tmp_path):
    async with receiving(tmp_path) as receiver:
        status, _ = await receiver.post(wire(make_message()), is_told=False)
        assert status == 200
        assert receiver.node.bodies() == [b"Subject: x\r\n\r\n\xe4\r\n"]


async def test_large_messages_are_taken_whatever_the_limit_of_injections(tmp_path):
    async with receiving(tmp_path) as receiver:
        data = b"x" * 5_000_000
        await receiver.take(make_message(data=data))
        assert receiver.node.bodies() == [data]


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_message_that_memory_is_too_short_for_is_refused(tmp_path, is_told):
    async with receiving(tmp_path) as receiver:
        memory = receiver.node.memory
        memory.set_limits({"soft_limit": memory.usage + (8 << 20)})
        raw = wire(make_message(data=b"x" * (3 << 20)))
        status, answer = await receiver.post(raw, is_told=is_told)

        assert status == 413
        assert "octets" in answer["error"]
        assert receiver.node.taken == []


async def test_strangers_are_not_let_in(tmp_path):
    async with receiving(tmp_path, trusted=("10.0.0.1",)) as receiver:
        status, _ = await receiver.post(wire(make_message()))
        assert status == 403
        assert receiver.node.taken == []


async def test_a_node_that_takes_no_mail_takes_none_of_other_nodes(tmp_path):
    async with receiving(tmp_path) as receiver:
        receiver.node.trouble = "draining"
        assert await receiver.post(wire(make_message())) == (503, {"error": "draining"})
        receiver.node.trouble, receiver.has_recovered = None, False
        status, answer = await receiver.post(wire(make_message()))
        assert (status, "still being read" in answer["error"]) == (503, True)
        assert receiver.node.store.envelopes == {}


async def test_a_node_refuses_what_it_sends_itself(tmp_path):
    async with receiving(tmp_path) as receiver:
        status, answer = await receiver.post(wire(make_message(), node="node-1"))
        assert (status, "this node itself" in answer["error"]) == (400, True)


@pytest.mark.parametrize("raw", [b"x", b"{}\nbody"])
async def test_what_is_no_message_is_refused(tmp_path, raw):
    async with receiving(tmp_path) as receiver:
        assert (await receiver.post(raw))[0] == 422
        assert receiver.node.store.envelopes == {}


async def test_state_that_makes_no_sense_is_refused(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        message.meta[INFO] = {"num_attempts": "many"}
        status, answer = await receiver.post(wire(message))
        assert (status, "num_attempts" in answer["error"]) == (422, True)


async def test_a_spool_that_takes_nothing_leaves_the_message_with_its_sender(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        receiver.node.store.refusing = "disk full"
        status, answer = await receiver.post(wire(message))
        assert (status, answer) == (503, {"error": "cannot store the message now"})

        receiver.node.store.refusing = None
        await receiver.take(message)
        assert len(receiver.node.taken) == 1


async def test_it_is_flushed_before_the_answer_also_where_durability_is_relaxed(tmp_path):
    async with receiving(tmp_path) as receiver:
        receiver.node.relaxed = True
        receiver.node.store.gate.clear()
        posting = asyncio.ensure_future(receiver.take(make_message()))
        await receiver.node.store.entered.wait()
        assert receiver.intake.under_way == 1
        assert not posting.done()

        receiver.node.store.gate.set()
        await posting
        assert receiver.intake.under_way == 0


# -- the same message again


async def test_a_message_that_is_posted_again_has_one_id_and_is_taken_once(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        first = await receiver.take(message)
        # It has left this node long ago.
        receiver.node.store.envelopes.clear()

        assert await receiver.take(message) == first
        assert await receiver.take(make_message()) != first
        assert len(receiver.node.taken) == 2


async def test_the_same_id_of_another_node_is_another_message(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        first = await receiver.take(message)
        assert await receiver.take(message, node="node-3") != first


async def test_one_that_is_posted_again_while_it_is_taken_waits_for_the_same_answer(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        receiver.node.store.gate.clear()
        posts = [asyncio.ensure_future(receiver.take(message)) for _ in range(3)]
        await receiver.node.store.entered.wait()
        await asyncio.sleep(0.05)
        receiver.node.store.gate.set()

        assert len(set(await asyncio.gather(*posts))) == 1
        assert len(receiver.node.taken) == 1


async def test_a_sender_that_hangs_up_meanwhile_finds_its_message_taken(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        receiver.node.store.gate.clear()
        posting = asyncio.ensure_future(receiver.take(message))
        await receiver.node.store.entered.wait()
        posting.cancel()
        await asyncio.sleep(0.05)
        receiver.node.store.gate.set()

        again = await receiver.take(message)
        assert [one.id for one in receiver.node.taken] == [again]


async def test_what_the_spool_held_at_the_start_is_known_again(tmp_path):
    async with receiving(tmp_path) as receiver:
        message = make_message()
        first = await receiver.take(message)
        ((spool_id, raw),) = receiver.node.store.envelopes.items()
        after_restart = TransferIntake(receiver.node, receiver.node.taken.append, lambda: True)
        after_restart.remember(StoredMessage(spool_id, decode_envelope(raw)))
        receiver.intake._known = after_restart._known

        assert await receiver.take(message) == first
        assert len(receiver.node.taken) == 1


async def test_what_is_remembered_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_intake, "REMEMBERED_MAX", 3)
    async with receiving(tmp_path) as receiver:
        messages = [make_message() for _ in range(5)]
        ids = [await receiver.take(message) for message in messages]
        assert len(receiver.intake._known) == 3
        assert await receiver.take(messages[-1]) == ids[-1]
        assert await receiver.take(messages[0]) != ids[0]


# -- the script


async def test_a_handler_may_edit_the_message_and_move_it(tmp_path):
    script = """
    @on("xfer_message_received")
    def xfer_message_received(msg):
        assert msg.num_attempts == 2
        msg.set_meta("tenant", "moved")
        msg.prepend_header("X-Came", msg.get_meta("xfer_prior_node"))
    """
    async with receiving(tmp_path, script) as receiver:
        message = make_message(tenant="shop")
        message.attempts = 2
        assign(message, NODE, CREATED_AT)
        await receiver.take(message)

        (got,) = receiver.node.taken
        assert got.queue_name == "moved@y.test"
        assert receiver.node.content().startswith(b"X-Came: node-2\r\nX-Own: 1\r\n")
        stored = decode_envelope(receiver.node.store.envelopes[got.spool_id])
        assert stored.meta["tenant"] == "moved"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('mta.reject(550, "5.7.1 not here")', "refused by the policy: 550 5.7.1 not here"),
        ("1 / 0", "policy unavailable, try again later"),
    ],
)
async def test_a_handler_that_refuses_or_fails_leaves_the_message_where_it_is(
    tmp_path, body, error
):
    script = f"""
    @on("xfer_message_received")
    def xfer_message_received(msg):
        {body}
    """
    async with receiving(tmp_path, script) as receiver:
        assert await receiver.post(wire(make_message())) == (422, {"error": error})
        assert receiver.node.store.envelopes == {}
        assert receiver.node.records(RecordKind.XFER_IN) == []


async def test_a_handler_may_discard_the_message(tmp_path):
    script = """
    @on("xfer_message_received")
    async def xfer_message_received(msg):
        msg.set_meta("queue", "null")
    """
    async with receiving(tmp_path, script) as receiver:
        await receiver.take(make_message())
        assert receiver.node.taken == []
        assert receiver.node.store.envelopes == {}
        assert len(receiver.node.records(RecordKind.XFER_IN)) == 1


async def test_a_message_that_moves_on_keeps_the_id_of_the_node_that_took_it_first(tmp_path):
    async with receiving(tmp_path) as receiver:
        await receiver.take(make_message(xfer_origin_id="1" * 32))
        assert receiver.node.taken[0].meta["xfer_origin_id"] == "1" * 32


async def test_message_received_is_not_for_them(tmp_path):
    script = """
    @on("message_received")
    def message_received(msg):
        mta.reject(550, "no")
    """
    async with receiving(tmp_path, script) as receiver:
        await receiver.take(make_message())


async def test_records_that_find_no_room_make_it_wait(tmp_path):
    async with receiving(tmp_path) as receiver:
        room = asyncio.Event()
        sink = receiver.node.sink
        sink.must_wait, sink.wait_capacity = True, room.wait
        posting = asyncio.ensure_future(receiver.take(make_message()))
        await asyncio.sleep(0.05)
        assert receiver.node.taken == []
        sink.must_wait = False
        room.set()
        await posting
