"""The parts of transfers, joined together over a node."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest

from engine.admin.http_api import AdminApi
from engine.base.http_call import Access
from engine.base.http_service import HttpService
from engine.deliver.transfer_dispatcher import TransferDispatcher
from engine.model.log_record import RecordKind
from engine.model.message import Message, decode_envelope, encode_envelope, new_spool_id
from engine.model.queue_config import TransferProtocol
from engine.model.transfer_target import parse_target
from engine.script_transfer import ScriptTransfer
from engine.script_views import MessageView
from engine.spool.spool_store import StoredMessage
from engine.transfers import Transfers
from tests.fakes.admin_world import AdminWorld
from tests.fakes.dispatch import DispatchWorld
from tests.fakes.queue_world import queue_world
from tests.fakes.transferring_node import QUEUE, TARGET

XFER, CANCEL = "/api/admin/xfer/v1", "/api/admin/xfer/cancel/v1"
DRAIN = "/api/admin/drain/v1"


@pytest.fixture
async def node(tmp_path):
    async with queue_world(tmp_path) as world:
        world.node_id = "node-1"
        world.recovery = None
        world.declared = SimpleNamespace(receiving=0)
        world.admission = SimpleNamespace(under_way=0)
        world.dispatching = SimpleNamespace(dispatchers={})
        world.transfers = Transfers(world)
        world.folder = tmp_path
        yield world
        await world.transfers.close()


def report(node):
    return node.transfers.drain.report()


async def test_reception_counts_as_left_once_each(node):
    node.recovery = SimpleNamespace(is_done=True)
    node.declared.receiving, node.admission.under_way = 2, 3
    assert (report(node).receiving, report(node).is_recovering) == (3, False)
    node.admission.under_way = 1
    assert report(node).receiving == 2


async def test_before_the_spool_was_read_nobody_knows_what_is_left(node):
    assert report(node).is_recovering
    node.recovery = SimpleNamespace(is_done=False)
    assert report(node).is_recovering


async def test_what_recovery_finds_is_put_back_and_known_again(node):
    message = Message(
        new_spool_id(),
        "",
        ["b@y.test"],
        data=b"x",
        size=1,
        created_at=0.0,
        meta={"xfer_prior_id": "1" * 32, "xfer_prior_node": "node-2"},
    )
    stored = StoredMessage(message.spool_id, decode_envelope(encode_envelope(message, 0.0)))
    found = []
    reinsert = node.transfers.noting(found.append)

    reinsert(stored)

    assert found == [stored]
    assert node.transfers.intake._known == {("node-2", "1" * 32): message.spool_id}


async def test_scripts_transfer_mail_once_the_node_is_open(node):
    scripts = ScriptTransfer()
    node.transfers.open(node.folder, scripts)
    (message,) = node.submit(due_in_s=60)
    message.queue_name = "a.test"

    scripts.xfer(MessageView(message, None, node.clock), "http://ann:pw@h:8000", "full")

    assert node.transfers.targets.credentials(parse_target("http://h:8000")) == ("ann", "pw")
    (record,) = node.records(RecordKind.ADMIN_REBIND)
    assert record.queue == "http://h:8000/.xfer.kumomta.internal"
    assert "Moved from a.test to http://h:8000/" in record.response.content
    # It is still where it was: the event that goes on with it names its queue anew.
    assert message.queue_name == "a.test"


async def test_a_drain_of_the_last_run_closes_the_gate_at_once_and_moves_mail_when_told(node):
    text = '{"target":"http://h:8000/","reason":"r","author":"a","since_at":0}'
    (node.folder / "drain.json").write_text(text)

    node.transfers.open(node.folder, ScriptTransfer())
    assert node.transfers.drain.reason() == "draining"
    assert node.transferring.standing is None

    node.transfers.begin()
    assert node.transfers.transferring.standing is not None


async def test_its_dispatchers_say_which_node_they_are_of(node):
    world = DispatchWorld()
    world.protocol = TransferProtocol(parse_target("http://h:8000"))
    made = node.transfers.make_dispatcher(world, world.services)
    assert isinstance(made, TransferDispatcher)
    assert made._node_id == "node-1"


class Operator:
    def __init__(self, node, base, session):
        self.node, self._base, self._session = node, base, session

    async def __call__(self, method, path, body=None):
        async with self._session.request(method, self._base + path, json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def call(node):
    node.gate.clear()
    node.recovery = SimpleNamespace(is_done=True)
    world = AdminWorld(node, node.folder)
    node.admin = AdminApi(world)
    service = HttpService(("127.0.0.1", 0), "mx.test", trusted_hosts=["127.0.0.1"])
    node.transfers.add_to(service)
    await service.start()
    async with aiohttp.ClientSession() as session:
        yield Operator(node, f"http://127.0.0.1:{service.port}", session)
    await service.stop(1.0)
    world.audit.close()


async def test_each_listener_takes_messages_of_other_nodes(call):
    service = HttpService(("127.0.0.1", 0), "mx.test")
    call.node.transfers.add_to(service)
    (route,) = [one for one in service._routes if one.path == "/api/xfer/inject/v1"]
    assert (route.method, route.access, route.limits is None) == ("POST", Access.ADMIN, False)


async def test_a_transfer_is_ordered_listed_and_cancelled_by_http(call):
    call.node.submit(tenant="shop", due_in_s=600)

    body = {"target": TARGET, "reason": "full", "tenant": "shop", "campaign": None}
    assert await call("POST", XFER, body) == (200, {"queue_name": QUEUE})
    await asyncio.sleep(1)
    status, (listed,) = await call("GET", XFER)
    assert (status, listed["queue_name"], listed["ready"]) == (200, QUEUE, 1)

    assert await call("POST", CANCEL, {"queue_name": QUEUE, "reason": "no"}) == (200, {})
    await asyncio.sleep(1)
    assert len(call.node.queue("shop@a.test")) == 1


async def test_a_drain_is_started_watched_and_cancelled_by_http(call):
    call.node.submit(due_in_s=600)

    status, begun = await call("POST", DRAIN, {"target": TARGET})
    assert (status, begun["draining"], begun["left"]) == (200, True, 1)
    assert begun["author"] == "127.0.0.1"
    assert (await call("GET", DRAIN))[1]["draining"] is True
    assert (await call("POST", XFER, {"target": TARGET, "reason": "r"}))[0] == 503
    status, ended = await call("DELETE", DRAIN)
    assert (status, ended["draining"]) == (200, False)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", XFER, {"target": "x", "reason": "r"}, 422, "target"),
        ("POST", XFER, {"target": TARGET}, 422, "reason"),
        ("POST", XFER, {"target": TARGET, "reason": "r", "domian": "d"}, 422, "domian"),
        ("POST", CANCEL, {"queue_name": "a.test", "reason": "r"}, 400, "queue_name"),
        ("POST", CANCEL, {"queue_name": QUEUE, "reason": "r"}, 404, "queue_name"),
        ("POST", DRAIN, {"target": "x"}, 422, "target"),
        ("DELETE", DRAIN, None, 404, None),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(
    call, method, path, body, status, field
):
    found, answer = await call(method, path, body)
    assert (found, answer.get("field")) == (status, field)
    assert answer["error"]
