"""What operators order about mail and other nodes, and what makes no sense."""

import asyncio

import pytest

from engine.admin import drain as drain_module
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.node_transfers import (
    DRAIN,
    DRAIN_CANCEL,
    DRAIN_STATUS,
    XFER,
    XFER_CANCEL,
    XFER_LIST,
)
from engine.model.caller import Caller
from engine.model.log_record import RecordKind
from engine.model.transfer_state import assigned_target
from engine.model.transfer_target import parse_target
from tests.fakes.transferring_node import QUEUE, TARGET, transferring_node

BOB = Caller("bob")
WANTED = {"target": TARGET, "reason": "full"}


@pytest.fixture
async def node(tmp_path):
    async with transferring_node(tmp_path) as made:
        yield made


async def refusal_of(acting):
    with pytest.raises(OperationRefusedError) as caught:
        await acting
    return caught.value.refusal, caught.value.field


async def test_mail_of_matching_queues_is_transferred_with_reason_and_author(node):
    node.submit(tenant="shop", count=2, due_in_s=600)
    node.submit(tenant="other", due_in_s=600)

    answer = await node.act(XFER, **WANTED, tenant="shop")
    await asyncio.sleep(1)

    assert answer.queue_name == QUEUE
    records = node.records(RecordKind.ADMIN_REBIND)
    assert len(records) == 2
    assert records[0].response.content.endswith("full (by ann)")
    assert len(node.queue("other@a.test")) == 1


async def test_a_transfer_is_cancelled_before_it_has_moved_anything(node):
    node.submit(count=5, due_in_s=600)
    await node.act(XFER, **WANTED)
    await node.act(XFER_CANCEL, queue_name=QUEUE, reason="oops")
    await asyncio.sleep(1)

    assert len(node.queue("a.test")) == 5
    assert QUEUE not in node.transfers.transferring.orders


@pytest.mark.parametrize("options", [{}, {"everything": True}])
async def test_without_criteria_everything_is_meant(node, options):
    node.submit(count=2, due_in_s=600)
    await node.act(XFER, **WANTED, **options)
    await asyncio.sleep(1)
    assert node.drain.report().ready == 2


async def test_credentials_of_the_target_are_remembered_and_shown_nowhere(node):
    node.submit(due_in_s=600)
    target = "http://ann:s3cret@10.0.0.2:8000"
    answer = await node.act(XFER, target=target, reason="full")
    await asyncio.sleep(1)

    assert answer.queue_name == QUEUE
    assert node.transfers.targets.credentials(parse_target(TARGET)) == ("ann", "s3cret")
    (record,) = node.records(RecordKind.ADMIN_REBIND)
    assert "s3cret" not in record.response.content + record.queue
    (entry,) = node.audited()
    assert (entry.act, entry.arguments["target"]) == ("xfer", "http://***@10.0.0.2:8000")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"target": "nowhere"}, "target"),
        ({"everything": True, "domain": "a.test"}, "everything"),
        ({"everything": True, "queue_names": ["a.test"]}, "everything"),
    ],
)
async def test_a_transfer_that_makes_no_sense_is_refused(node, options, field):
    node.submit(due_in_s=600)
    assert await refusal_of(node.act(XFER, **{**WANTED, **options})) == (Refusal.WRONG, field)
    await asyncio.sleep(1)
    assert len(node.queue("a.test")) == 1


async def test_how_transfers_go_is_listed(node):
    node.submit(count=3, due_in_s=600)
    assert await node.act(XFER_LIST) == []
    await node.act(XFER, **WANTED)
    await asyncio.sleep(1)
    node.transfers.targets.note_failed(parse_target(TARGET), "no connection")

    (state,) = await node.act(XFER_LIST)

    assert (state.queue_name, state.target) == (QUEUE, TARGET + "/")
    assert (state.scheduled, state.ready, state.transferred, state.failed) == (0, 3, 0, 1)
    assert state.last_error == "no connection"


async def test_what_waits_to_be_transferred_is_brought_back(node):
    (message,) = node.submit(tenant="shop", due_in_s=600)
    await node.act(XFER, **WANTED)
    await asyncio.sleep(1)

    assert await node.act(XFER_CANCEL, BOB, queue_name=QUEUE, reason="no") == {}
    await asyncio.sleep(1)

    assert node.stored(message).meta == {"tenant": "shop"}
    last = node.records(RecordKind.ADMIN_REBIND)[-1]
    assert (last.queue, last.response.content.endswith("no (by bob)")) == ("shop@a.test", True)


@pytest.mark.parametrize(
    ("name", "refusal"), [("a.test", Refusal.WRONG), (QUEUE, Refusal.NOT_FOUND)]
)
async def test_only_a_transfer_that_is_there_can_be_cancelled(node, name, refusal):
    cancelling = node.act(XFER_CANCEL, queue_name=name, reason="no")
    assert await refusal_of(cancelling) == (refusal, "queue_name")


async def test_a_drain_excludes_other_transfers_until_it_is_cancelled(node):
    (message,) = node.submit(tenant="shop", due_in_s=600)

    report = await node.act(DRAIN, target=TARGET)
    await asyncio.sleep(1)

    assert (report.draining, report.author) == (True, "ann")
    other = node.act(XFER, target="http://10.0.0.3", reason="r")
    assert await refusal_of(other) == (Refusal.UNAVAILABLE, None)
    cancelling = node.act(XFER_CANCEL, queue_name=QUEUE, reason="no")
    assert await refusal_of(cancelling) == (Refusal.UNAVAILABLE, None)
    assert (await node.act(DRAIN_STATUS)).left == 1

    report = await node.act(DRAIN_CANCEL, BOB)
    await asyncio.sleep(1)

    assert not report.draining
    assert assigned_target(node.stored(message)) is None
    assert node.stored(message).meta == {"tenant": "shop"}
    last = node.records(RecordKind.ADMIN_REBIND)[-1]
    assert last.response.content.endswith("the drain was cancelled (by bob)")
    assert [entry.act for entry in node.audited()] == [
        *("drain", "xfer", "xfer-cancel", "drain-cancel")
    ]


async def test_a_drain_keeps_credentials_apart(node, tmp_path):
    report = await node.act(DRAIN, target="http://ann:s3cret@10.0.0.2:8000")

    assert report.target == TARGET + "/"
    assert node.transfers.targets.credentials(parse_target(TARGET)) == ("ann", "s3cret")
    assert b"s3cret" not in (tmp_path / "drain.json").read_bytes()


async def test_a_drain_to_nowhere_is_refused(node):
    assert await refusal_of(node.act(DRAIN, target="nowhere")) == (Refusal.WRONG, "target")
    assert node.drain.reason() is None
    assert await refusal_of(node.act(DRAIN_CANCEL)) == (Refusal.NOT_FOUND, None)


async def test_a_drain_that_cannot_be_kept_is_not_begun(node, monkeypatch):
    def fail(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(drain_module, "write_private", fail)
    assert await refusal_of(node.act(DRAIN, target=TARGET)) == (Refusal.UNAVAILABLE, None)
    assert node.drain.reason() is None
