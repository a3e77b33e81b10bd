"""What operators order about mail and other nodes, and what makes no sense."""

import asyncio

import pytest

from engine.admin import transfer_acts
from engine.admin.transfer_acts import (
    ActRefusedError,
    CancelRequest,
    DrainRequest,
    InTheWayError,
    NothingThereError,
    TransferRequest,
)
from engine.model.log_record import RecordKind
from engine.model.transfer_state import assigned_target
from engine.model.transfer_target import parse_target
from tests.fakes.transfer_acts import QUEUE, TARGET, transferring_node


@pytest.fixture
async def node(tmp_path):
    async with transferring_node(tmp_path) as made:
        yield made


def request(**changes):
    return TransferRequest(**{"target": TARGET, "reason": "full", **changes})


async def test_mail_of_matching_queues_is_transferred_with_reason_and_author(node):
    node.submit(tenant="shop", count=2, due_in_s=600)
    node.submit(tenant="other", due_in_s=600)

    answer = transfer_acts.transfer(node, request(tenant="shop"), "ann")
    await asyncio.sleep(1)

    assert answer.queue_name == QUEUE
    records = node.records(RecordKind.ADMIN_REBIND)
    assert len(records) == 2
    assert records[0].response.content.endswith("full (by ann)")
    assert len(node.queue("other@a.test")) == 1


@pytest.mark.parametrize("options", [{}, {"everything": True}])
async def test_without_criteria_everything_is_meant(node, options):
    node.submit(count=2, due_in_s=600)
    transfer_acts.transfer(node, request(**options), "ann")
    await asyncio.sleep(1)
    assert node.drain.report().ready == 2


async def test_credentials_of_the_target_are_remembered_and_shown_nowhere(node):
    node.submit(due_in_s=600)
    target = "http://ann:s3cret@10.0.0.2:8000"
    answer = transfer_acts.transfer(node, request(target=target), "ann")
    await asyncio.sleep(1)

    assert answer.queue_name == QUEUE
    assert node.transfers.targets.credentials(parse_target(TARGET)) == ("ann", "s3cret")
    (record,) = node.records(RecordKind.ADMIN_REBIND)
    assert "s3cret" not in record.response.content + record.queue


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
    with pytest.raises(ActRefusedError) as caught:
        transfer_acts.transfer(node, request(**options), "ann")
    await asyncio.sleep(1)

    assert caught.value.field == field
    assert len(node.queue("a.test")) == 1


async def test_how_transfers_go_is_listed(node):
    node.submit(count=3, due_in_s=600)
    assert transfer_acts.list_transfers(node) == []
    transfer_acts.transfer(node, request(), "ann")
    await asyncio.sleep(1)
    node.transfers.targets.note_failed(parse_target(TARGET), "no connection")

    (state,) = transfer_acts.list_transfers(node)

    assert (state.queue_name, state.target) == (QUEUE, TARGET + "/")
    assert (state.scheduled, state.ready, state.transferred, state.failed) == (0, 3, 0, 1)
    assert state.last_error == "no connection"


async def test_what_waits_to_be_transferred_is_brought_back(node):
    (message,) = node.submit(tenant="shop", due_in_s=600)
    transfer_acts.transfer(node, request(), "ann")
    await asyncio.sleep(1)

    transfer_acts.cancel_transfer(node, CancelRequest(queue_name=QUEUE, reason="no"), "bob")
    await asyncio.sleep(1)

    assert node.stored(message).meta == {"tenant": "shop"}
    last = node.records(RecordKind.ADMIN_REBIND)[-1]
    assert (last.queue, last.response.content.endswith("no (by bob)")) == ("shop@a.test", True)


@pytest.mark.parametrize(
    ("name", "error"),
    [("a.test", ActRefusedError), (QUEUE, NothingThereError)],
)
async def test_only_a_transfer_that_is_there_can_be_cancelled(node, name, error):
    with pytest.raises(error):
        transfer_acts.cancel_transfer(node, CancelRequest(queue_name=name, reason="no"), "bob")


async def test_a_drain_excludes_other_transfers_until_it_is_cancelled(node):
    (message,) = node.submit(tenant="shop", due_in_s=600)

    report = transfer_acts.start_drain(node, DrainRequest(target=TARGET), "ann")
    await asyncio.sleep(1)

    assert (report.draining, report.author) == (True, "ann")
    with pytest.raises(InTheWayError):
        transfer_acts.transfer(node, request(target="http://10.0.0.3"), "ann")
    with pytest.raises(InTheWayError):
        transfer_acts.cancel_transfer(node, CancelRequest(queue_name=QUEUE, reason="no"), "bob")
    assert transfer_acts.report_drain(node).left == 1

    report = transfer_acts.cancel_drain(node, "bob")
    await asyncio.sleep(1)

    assert not report.draining
    assert assigned_target(node.stored(message)) is None
    assert node.stored(message).meta == {"tenant": "shop"}
    last = node.records(RecordKind.ADMIN_REBIND)[-1]
    assert last.response.content.endswith("the drain was cancelled (by bob)")


async def test_a_drain_keeps_credentials_apart(node, tmp_path):
    target = "http://ann:s3cret@10.0.0.2:8000"
    report = transfer_acts.start_drain(node, DrainRequest(target=target), "ann")

    assert report.target == TARGET + "/"
    assert node.transfers.targets.credentials(parse_target(TARGET)) == ("ann", "s3cret")
    assert b"s3cret" not in (tmp_path / "drain.json").read_bytes()


async def test_a_drain_to_nowhere_is_refused(node):
    with pytest.raises(ActRefusedError):
        transfer_acts.start_drain(node, DrainRequest(target="nowhere"), "ann")
    assert node.drain.reason() is None
    with pytest.raises(NothingThereError):
        transfer_acts.cancel_drain(node, "ann")
