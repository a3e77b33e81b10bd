"""Delivery by the script: batches, refusals, defects."""

import asyncio
import contextlib

import pytest

from engine.deliver.script_dispatcher import ScriptDispatcher
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason
from engine.model.queue_config import ScriptProtocol
from engine.model.reply import make_reply
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError
from tests.fakes.dispatch import DamagedStore, DispatchWorld


async def take(_argument):
    return "taken"


def world_of(sender=take, *, path=None, **protocol):
    world = DispatchWorld(**(path or {}))
    world.protocol = ScriptProtocol(sender=sender, **protocol)
    return world


async def run(world):
    await ScriptDispatcher(world, world.services).run()


def refusing(code, text):
    async def refuse(_argument):
        raise SmtpRefusal(make_reply(code, text))

    return refuse


async def test_an_answer_is_delivery_and_stands_in_the_record():
    world = world_of()
    world.add("a@y.test", "b@y.test")
    await run(world)

    assert world.lines == ["a@y.test DELIVERED 200 taken", "b@y.test DELIVERED 200 taken"]
    assert world.settled[0].where.delivery_protocol == "Script"


@pytest.mark.parametrize(
    ("code", "disposition"),
    [(400, "DEFERRED"), (421, "DEFERRED"), (499, "DEFERRED"), (500, "FAILED"), (503, "FAILED")],
)
async def test_a_refusal_defers_or_fails_by_its_code(code, disposition):
    world = world_of(refusing(code, "no"))
    world.add()
    await run(world)

    assert world.lines == [f"b@y.test {disposition} {code} no"]


async def test_421_ends_the_session():
    world = world_of(refusing(421, "4.3.2 busy"))
    world.add()
    world.add()
    await run(world)

    assert len(world.lines) == 1
    assert len(world.messages) == 1


async def test_a_sender_that_fails_defers_and_ends_the_session():
    async def fail(_argument):
        raise HookFailedError("sender", file="p.py", line=1, message="x", overrun=True)

    world = world_of(fail)
    message = world.add()
    world.add()
    await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DEFERRED}
    assert len(world.messages) == 1


async def test_a_sender_gets_a_list_where_batches_are_wanted():
    sizes = []

    async def count(messages):
        sizes.append([str(message.recipient) for message in messages])
        return "ok"

    world = world_of(count, batch_size=2)
    for number in range(3):
        world.add(f"r{number}@y.test")
    await run(world)

    assert sizes == [["r0@y.test", "r1@y.test"], ["r2@y.test"]]
    assert [line.split()[1] for line in world.lines] == ["DELIVERED"] * 3


async def test_a_small_batch_is_waited_for_no_longer_than_its_latency():
    sizes = []

    async def count(messages):
        sizes.append((len(messages), asyncio.get_running_loop().time()))

    world = world_of(
        count,
        batch_size=5,
        min_batch_size=3,
        max_batch_latency_s=20.0,
        path={"idle_timeout": "60s"},
    )
    started = asyncio.get_running_loop().time()
    world.add()
    task = asyncio.ensure_future(run(world))
    await asyncio.sleep(10)
    world.add()
    await task

    ((size, at),) = sizes
    assert size == 2
    assert 19 < at - started < 21


async def test_one_answer_is_for_the_whole_batch():
    world = world_of(refusing(550, "5.1.1 no"), batch_size=10)
    messages = [world.add() for _ in range(4)]
    await run(world)

    assert [world.ends(message) for message in messages] == [1] * 4
    assert {line.split()[1] for line in world.lines} == {"FAILED"}


@pytest.mark.parametrize("answer", [None, 7, ["x"], object(), b"octets", True])
async def test_only_text_gets_into_the_record(answer):
    async def say(_argument):
        return answer

    world = world_of(say)
    world.add()
    await run(world)

    assert world.lines == ["b@y.test DELIVERED 200"]


async def test_an_answer_is_short_and_has_no_controls():
    async def say(_argument):
        return "a\r\n\x1b[2Jb" + "x" * 10_000_000

    world = world_of(say)
    world.add()
    await run(world)

    (line,) = world.lines
    assert len(line) < 5000
    assert line.isprintable()


async def test_a_cancellation_while_the_sender_works_gives_the_batch_back_once():
    async def hang(_argument):
        await asyncio.get_running_loop().create_future()

    world = world_of(hang, batch_size=3)
    messages = [world.add() for _ in range(3)]
    task = asyncio.ensure_future(run(world))
    await asyncio.sleep(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert [world.ends(message) for message in messages] == [1, 1, 1]
    assert {back.reason for back in world.given_back} == {InsertReason.DISPATCHER_DROP}


async def test_a_cancellation_while_a_batch_waits_to_fill_gives_it_back_once():
    world = world_of(
        batch_size=3, min_batch_size=3, max_batch_latency_s=60.0, path={"idle_timeout": "90s"}
    )
    message = world.add()
    task = asyncio.ensure_future(run(world))
    await asyncio.sleep(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert world.ends(message) == 1


async def test_a_settlement_that_fails_keeps_the_answer_for_the_others():
    world = world_of(batch_size=3)
    world.settle_error = RuntimeError("defect")
    messages = [world.add() for _ in range(3)]
    await run(world)

    assert [world.ends(message) for message in messages] == [0, 1, 1]
    assert messages[0].recipients == []
    assert world.given_back == []


async def test_a_deferred_message_whose_settlement_fails_is_given_back():
    world = world_of(refusing(450, "later"), batch_size=2)
    world.settle_error = RuntimeError("defect")
    messages = [world.add() for _ in range(2)]
    await run(world)

    assert [world.ends(message) for message in messages] == [1, 1]


async def test_a_cancelled_settlement_does_not_send_the_rest_of_the_batch_again():
    world = world_of(refusing(450, "later"), batch_size=3)
    world.settle_gate = asyncio.Event()
    messages = [world.add() for _ in range(3)]
    task = asyncio.ensure_future(run(world))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    world.settle_gate.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert [world.ends(message) for message in messages] == [1, 1, 1]


async def test_a_damaged_message_leaves_the_batch():
    world = world_of(batch_size=3)
    world.services.store = DamagedStore(world.services.clock.wall_of)
    damaged, sound = world.add(), world.add()
    damaged.data = None
    await run(world)

    assert world.damaged == [damaged]
    assert world.ends(sound) == 1


async def test_the_rate_of_the_path_holds():
    world = world_of(path={"max_message_rate": "2/h", "idle_timeout": "5s"})
    messages = [world.add() for _ in range(4)]
    await run(world)

    assert len(world.lines) == 2
    assert [world.ends(message) for message in messages] == [1] * 4


async def test_a_session_ends_after_its_share_of_deliveries():
    world = world_of(path={"max_deliveries_per_connection": 2})
    for _ in range(3):
        world.add()
    await run(world)

    assert len(world.lines) == 2
    assert len(world.messages) == 1
