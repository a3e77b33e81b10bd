"""A node emptied: it takes no mail, sweeps until nothing is left, and says what is."""

import asyncio
import logging
from types import SimpleNamespace

import msgspec
import pytest

from engine.admin import drain as drain_module
from engine.admin.drain import FILE_NAME, Drain, DrainState
from engine.model.errors import SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message, new_spool_id
from engine.model.transfer_state import assigned_target
from engine.model.transfer_target import parse_target
from tests.fakes.transferring_node import QUEUE, TARGET, TransferringNode, transferring_node

STATE = DrainState(TARGET + "/", "decommission", "ann", 1000.0)


@pytest.fixture
async def node(tmp_path):
    async with transferring_node(tmp_path) as made:
        yield made


async def test_all_mail_goes_to_the_target_until_nothing_is_left(node):
    node.submit(count=2, due_in_s=600)
    node.submit("b.test", count=3)
    await node.settle_down()
    node.hands["session"] = SimpleNamespace(held=1)
    node.receiving = 1

    assert node.drain.reason() is None
    node.drain.start(STATE)
    await asyncio.sleep(3)

    report = node.drain.report()
    assert node.drain.reason() == "draining"
    assert (report.draining, report.target, report.is_empty) == (True, TARGET + "/", False)
    assert (report.reason, report.author, report.since) == (
        "decommission",
        "ann",
        "1970-01-01T00:16:40Z",
    )
    assert (report.scheduled, report.ready, report.in_flight, report.receiving) == (0, 5, 1, 1)
    assert report.left == 7

    node.take_all()
    node.hands.clear()
    node.receiving = 0
    assert not node.drain.report().is_empty
    await asyncio.sleep(4)

    report = node.drain.report()
    assert (report.left, report.is_empty) == (0, True)


async def test_what_comes_in_after_that_is_left_again_and_goes_too(node):
    node.drain.start(STATE)
    await asyncio.sleep(4)
    assert node.drain.report().is_empty

    (message,) = node.submit(due_in_s=600)
    report = node.drain.report()
    assert (report.is_empty, report.left) == (False, 1)
    await asyncio.sleep(2)

    assert assigned_target(node.stored(message)) == parse_target(TARGET)


async def test_what_is_deferred_meanwhile_goes_to_the_target_at_once(node):
    node.submit()
    await node.settle_down()
    message = node.only_ready().take_nowait()
    node.drain.start(STATE)

    node.settlement.put_back(message, InsertReason.DISPATCHER_DROP, 60.0)

    assert message.queue_name == QUEUE


async def test_nothing_is_left_only_once_the_spool_was_read(node):
    node.has_recovered = False
    node.drain.start(STATE)
    await asyncio.sleep(5)
    report = node.drain.report()
    assert (report.left, report.is_recovering, report.is_empty) == (0, True, False)

    node.has_recovered = True
    await asyncio.sleep(4)
    assert node.drain.report().is_empty


async def test_mail_that_only_the_spool_knows_is_told_of(node, caplog):
    lost = Message(new_spool_id(), "", ["b@y.test"], data=b"x", size=1, created_at=0.0)
    await node.store.commit([lost])
    node.drain.start(STATE)
    await asyncio.sleep(5)

    report = node.drain.report()
    assert (report.stranded, report.left, report.is_empty) == (1, 1, False)
    assert "1 messages are on disk only" in caplog.text

    node.store.remove(lost)
    await asyncio.sleep(15)
    report = node.drain.report()
    assert (report.stranded, report.is_empty) == (0, True)


async def test_a_spool_that_cannot_be_read_is_not_taken_for_empty(node, monkeypatch):
    def away():
        raise SpoolUnavailableError("the disk is away")

    monkeypatch.setattr(node.store, "enumerate", away)
    node.drain.start(STATE)
    await asyncio.sleep(5)
    assert not node.drain.report().is_empty

    monkeypatch.undo()
    await asyncio.sleep(15)
    assert node.drain.report().is_empty


async def test_a_sweep_that_meets_a_defect_is_followed_by_another(node, monkeypatch, caplog):
    (message,) = node.submit(due_in_s=600)
    with monkeypatch.context() as patch:
        patch.setattr(node.transferring, "move", lambda *_: 1 / 0)
        node.drain.start(STATE)
        await asyncio.sleep(2)
    await asyncio.sleep(2)

    assert "met a defect" in caplog.text
    assert message.spool_id in {one.spool_id for ready in node.ready for one in ready.messages}


async def test_how_the_target_takes_it_is_told(node):
    node.drain.start(STATE)
    target = parse_target(TARGET)
    node.transfers.targets.note_taken(target)
    node.transfers.targets.note_failed(target, "no connection: Connection refused")

    report = node.drain.report()

    assert (report.transferred, report.failed) == (1, 1)
    assert report.last_error == "no connection: Connection refused"
    assert report.last_error_at is not None


async def test_without_a_drain_what_is_on_the_node_is_told_all_the_same(node):
    node.submit(count=2, due_in_s=600)
    report = node.drain.report()
    assert (report.draining, report.scheduled, report.left) == (False, 2, 2)
    assert report.target is None


async def test_another_target_takes_the_place_of_the_first(node):
    (message,) = node.submit(due_in_s=600)
    node.drain.start(STATE)
    await asyncio.sleep(2)
    node.drain.start(msgspec.structs.replace(STATE, target="http://10.0.0.3:8000/"))
    await asyncio.sleep(2)

    assert assigned_target(node.stored(message)) == parse_target("http://10.0.0.3:8000")


async def test_a_cancelled_drain_moves_nothing_more(node):
    node.drain.start(STATE)
    await asyncio.sleep(2)

    assert node.drain.cancel() == STATE
    node.submit(count=2, due_in_s=600)
    await asyncio.sleep(5)

    assert node.drain.reason() is None
    assert node.transferring.standing is None
    assert len(node.queue("a.test")) == 2
    assert node.drain.cancel() is None


# -- over a restart


def after_restart(node, folder):
    return TransferringNode(node.world, folder).drain


async def test_a_drain_goes_on_after_a_restart(node, tmp_path, caplog):
    node.drain.start(STATE)
    node.drain.begin()
    node.world.supervisor.start(asyncio.sleep(0))
    again = after_restart(node, tmp_path)

    assert again.reason() == "draining"
    assert "still being drained" in caplog.text
    node.drain._end_task()
    (message,) = node.submit(due_in_s=600)
    node.transferring.standing = None
    again.begin()
    await asyncio.sleep(2)
    assert assigned_target(node.stored(message)) == parse_target(TARGET)


async def test_a_cancelled_drain_stays_cancelled_after_a_restart(node, tmp_path):
    node.drain.start(STATE)
    node.drain.cancel()
    assert after_restart(node, tmp_path).reason() is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"target": "x", "reason": "", "author": "", "since_at": 0}']
)
async def test_a_file_that_cannot_be_understood_is_said_and_drains_nothing(
    node, tmp_path, content, caplog
):
    (tmp_path / FILE_NAME).write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert after_restart(node, tmp_path).reason() is None
    assert "cannot be read" in caplog.text


async def test_a_drain_that_cannot_be_kept_does_not_begin(node, monkeypatch):
    def fail(*_):
        raise OSError(28, "no space")

    monkeypatch.setattr(drain_module, "write_private", fail)
    with pytest.raises(OSError, match="no space"):
        node.drain.start(STATE)
    assert node.drain.reason() is None


async def test_before_the_folder_is_known_a_drain_is_of_this_run(node):
    drain = Drain(
        node,
        node.transferring,
        node.transfers.targets,
        receiving=lambda: 0,
        has_recovered=lambda: True,
    )
    drain.begin()
    assert drain.reason() is None
    drain.start(STATE)
    assert drain.cancel() == STATE
