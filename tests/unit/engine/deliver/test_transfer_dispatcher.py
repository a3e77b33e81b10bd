"""Transfers of a ready queue: settled by the other node's word, given back otherwise."""

import asyncio
import contextlib
import itertools

import pytest

from engine.control.transfer_targets import TransferTargets
from engine.deliver.transfer_client import Handed, TransferError
from engine.deliver.transfer_dispatcher import TransferDispatcher
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason
from engine.model.message import new_spool_id
from engine.model.queue_config import TRANSFER_RETRY_S, TransferProtocol
from engine.model.transfer_state import INFO, assign
from engine.model.transfer_target import parse_target
from engine.model.transfer_wire import decode_transfer
from tests.fakes.dispatch import BODY, DamagedStore, DispatchWorld

NODE = parse_target("http://10.0.0.2:8000")
NEW_ID = "0195f00000007000800000000000ffff"


class Client:
    """Says what a test has it say."""

    def __init__(self):
        self.targets = TransferTargets(lambda: 0.0)
        self.sent = []
        self.times = []
        self.answers = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, target, pieces, timeout_s):
        assert target == NODE
        self.sent.append(decode_transfer(b"".join(pieces)))
        self.times.append((asyncio.get_running_loop().time(), timeout_s))
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else Handed(NEW_ID)
        if isinstance(answer, Exception):
            raise answer
        return answer


def world_of(**path):
    world = DispatchWorld(idle_timeout="0s", **path)
    world.protocol = TransferProtocol(NODE)
    world.client = Client()
    return world


async def run(world):
    dispatcher = TransferDispatcher(world, world.services, client=world.client, node_id="node-1")
    await dispatcher.run()


async def test_what_the_other_node_has_is_settled_for_all_recipients():
    world = world_of()
    message = world.add("a@y.test", "b@y.test", tenant="shop")
    message.prefix = b"X: 1\r\n"
    assign(message, NODE, 2_000_000_000.0)
    await run(world)

    text = f"DELIVERED 200 transferred to http://10.0.0.2:8000/ as {NEW_ID}"
    assert world.lines == [f"a@y.test {text}", f"b@y.test {text}"]
    assert world.settled[0].where.delivery_protocol == "Xfer"
    (sent,) = world.client.sent
    assert (sent.prior_id, sent.prior_node) == (message.id, "node-1")
    assert (sent.prefix, sent.data, sent.meta) == (b"X: 1\r\n", BODY, message.meta)
    assert world.client.targets.tally(NODE).transferred == 1


async def test_a_body_is_read_when_it_goes():
    world = world_of()
    message = world.add()
    world.store.bodies[message.body_id], message.data = b"stored", None
    await run(world)

    assert world.client.sent[0].data == b"stored"


async def test_mail_that_the_script_has_transferred_goes_with_the_state_it_is_in():
    world = world_of()
    message = world.add(tenant="shop")
    message.attempts = 2
    await run(world)

    info = world.client.sent[0].meta[INFO]
    assert (info["tenant"], info["num_attempts"]) == ("shop", 2)
    assert INFO not in message.meta


async def test_a_node_that_takes_nothing_is_asked_again_after_ten_seconds():
    world = world_of()
    world.client.answers = [TransferError("it answered 503 draining")] * 2
    for name in ("a", "b", "c"):
        world.add(f"{name}@y.test")
    await run(world)

    text = "DEFERRED 451 4.4.1 transfer to http://10.0.0.2:8000/ failed: it answered 503 draining"
    assert world.lines[:2] == [f"a@y.test {text}", f"b@y.test {text}"]
    first, second, third = (at for at, _ in world.client.times)
    assert second - first == pytest.approx(TRANSFER_RETRY_S, abs=0.1)
    assert third - second == pytest.approx(TRANSFER_RETRY_S, abs=0.1)
    tally = world.client.targets.tally(NODE)
    assert (tally.failed, tally.transferred, tally.last_error) == (2, 1, None)


async def test_a_message_that_the_other_node_will_not_have_holds_up_no_other():
    world = world_of()
    refusal = TransferError("it answered 413", is_about_message=True)
    world.client.answers = [refusal]
    first, second = world.add("a@y.test"), world.add("b@y.test")
    await run(world)

    assert world.dispositions(first) == {"a@y.test": Disposition.DEFERRED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}
    (one, _), (other, _) = world.client.times
    assert other - one < 1.0


async def test_a_node_that_will_have_no_message_at_all_is_not_flooded():
    world = world_of()
    refusals = [TransferError("it answered 422", is_about_message=True) for _ in range(25)]
    world.client.answers = list(refusals)
    for number in range(25):
        world.add(f"u{number}@y.test")
    await run(world)

    times = [at for at, _ in world.client.times]
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert [index for index, pause in enumerate(pauses) if pause > 9] == [9, 19]


async def test_metadata_that_cannot_be_sent_defers_its_message_alone():
    world = world_of()
    first, second = world.add("a@y.test"), world.add("b@y.test")
    first.meta["x"] = object()
    await run(world)

    assert world.dispositions(first) == {"a@y.test": Disposition.DEFERRED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}


async def test_a_damaged_message_is_dropped_and_the_next_goes():
    world = world_of()
    world.services.store = DamagedStore(lambda mono: mono)
    broken, good = world.add("a@y.test"), world.add("b@y.test")
    broken.data = None
    await run(world)

    assert world.damaged == [broken]
    assert world.ends(good) == 1


async def test_a_defect_of_ours_defers_what_is_in_hand():
    world = world_of()
    world.client.answers = [RuntimeError("a defect")]
    message = world.add()
    await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DEFERRED}
    assert world.ends(message) == 1


async def test_a_settlement_that_fails_gives_the_message_back():
    world = world_of()
    world.settle_error = RuntimeError("a defect")
    message = world.add()
    world.client.answers = [TransferError("no")]
    await run(world)

    assert world.ends(message) == 1


async def test_a_cancellation_while_the_other_node_is_asked_gives_the_message_back_once():
    world = world_of()
    world.client.gate.clear()
    message = world.add()
    task = asyncio.ensure_future(run(world))
    while not world.client.sent:
        await asyncio.sleep(0)

    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert world.ends(message) == 1
    assert world.given_back[0].reason is InsertReason.DISPATCHER_DROP


async def test_while_it_waits_for_a_node_nothing_is_in_its_hand_and_it_is_idle():
    world = world_of()
    world.client.answers = [TransferError("no")]
    world.add("a@y.test")
    dispatcher = TransferDispatcher(world, world.services, client=world.client, node_id="n")
    task = asyncio.ensure_future(dispatcher.run())
    await asyncio.sleep(5.0)

    assert (dispatcher.phase, dispatcher.held) == ("Idle", 0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_queue_that_wants_no_more_is_left():
    world = world_of()
    world.is_open = False
    world.add()
    await run(world)
    assert world.client.sent == []


async def test_the_rate_of_the_path_holds():
    world = world_of(max_message_rate="1/h")
    first, second = world.add("a@y.test"), world.add("b@y.test")
    await run(world)

    assert world.dispositions(first) == {"a@y.test": Disposition.DELIVERED}
    assert [back.message for back in world.given_back] == [second]


@pytest.mark.parametrize(
    ("size", "least_s", "most_s"),
    [(100, 300.0, 301.0), (100 << 20, 399.0, 401.0), (1 << 30, 540.0, 540.0)],
)
async def test_a_large_message_gets_more_time_but_less_than_the_watchdog_has(size, least_s, most_s):
    world = world_of()
    message = world.add()
    message.size = size
    message.spool_id = new_spool_id()
    await run(world)

    ((_, timeout_s),) = world.client.times
    assert least_s <= timeout_s <= most_s
