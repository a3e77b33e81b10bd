"""Transfers and the drain by HTTP: methods, paths, bodies and refusals."""

import asyncio
import contextlib

import aiohttp
import pytest

from engine.admin import drain as drain_module
from engine.admin.transfer_api import CANCEL, DRAIN, XFER, TransferApi
from engine.base.http_service import HttpService
from tests.fakes.transfer_acts import QUEUE, TARGET, transferring_node


class Operator:
    def __init__(self, node, base, session):
        self.node, self._base, self._session = node, base, session

    async def __call__(self, method, path, body=None):
        async with self._session.request(method, self._base + path, json=body) as answer:
            return answer.status, await answer.json()


@contextlib.asynccontextmanager
async def operating(folder, trusted=("127.0.0.1",)):
    async with transferring_node(folder) as node:
        service = HttpService(("127.0.0.1", 0), "mx.test", trusted_hosts=trusted)
        TransferApi(node).add_to(service)
        await service.start()
        async with aiohttp.ClientSession() as session:
            yield Operator(node, f"http://127.0.0.1:{service.port}", session)
        await service.stop(1.0)


async def test_a_transfer_is_ordered_listed_and_cancelled(tmp_path):
    async with operating(tmp_path) as call:
        call.node.submit(tenant="shop", due_in_s=600)

        body = {"target": TARGET, "reason": "full", "tenant": "shop", "campaign": None}
        assert await call("POST", XFER, body) == (200, {"queue_name": QUEUE})
        await asyncio.sleep(1)
        status, (listed,) = await call("GET", XFER)
        assert (status, listed["queue_name"], listed["ready"]) == (200, QUEUE, 1)

        assert await call("POST", CANCEL, {"queue_name": QUEUE, "reason": "no"}) == (200, {})
        await asyncio.sleep(1)
        assert len(call.node.queue("shop@a.test")) == 1


async def test_a_drain_is_started_watched_and_cancelled(tmp_path):
    async with operating(tmp_path) as call:
        call.node.submit(due_in_s=600)

        status, begun = await call("POST", DRAIN, {"target": TARGET})
        assert (status, begun["draining"], begun["left"], begun["author"]) == (
            *(200, True, 1),
            "127.0.0.1",
        )
        assert (await call("GET", DRAIN))[1]["draining"] is True
        status, ended = await call("DELETE", DRAIN)
        assert (status, ended["draining"]) == (200, False)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", XFER, {"target": "x", "reason": "r"}, 422, "target"),
        ("POST", XFER, {"target": TARGET}, 422, "reason"),
        ("POST", XFER, {"target": TARGET, "reason": "r", "domian": "d"}, 422, "domian"),
        ("POST", CANCEL, {"queue_name": "a.test", "reason": "r"}, 400, "queue_name"),
        ("POST", CANCEL, {"queue_name": QUEUE, "reason": "r"}, 404, None),
        ("POST", DRAIN, {"target": "x"}, 422, "target"),
        ("DELETE", DRAIN, None, 404, None),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(
    tmp_path, method, path, body, status, field
):
    async with operating(tmp_path) as call:
        found, answer = await call(method, path, body)
        assert (found, answer.get("field")) == (status, field)
        assert answer["error"]


async def test_a_transfer_beside_a_drain_is_a_conflict(tmp_path):
    async with operating(tmp_path) as call:
        await call("POST", DRAIN, {"target": TARGET})
        assert (await call("POST", XFER, {"target": TARGET, "reason": "r"}))[0] == 409


async def test_a_drain_that_cannot_be_kept_is_not_begun(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "no space left on device")

    async with operating(tmp_path) as call:
        monkeypatch.setattr(drain_module, "write_private", fail)
        status, answer = await call("POST", DRAIN, {"target": TARGET})
        assert status == 503
        assert "No space left" in answer["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", XFER), ("GET", DRAIN), ("DELETE", DRAIN)])
async def test_strangers_order_nothing(tmp_path, method, path):
    async with operating(tmp_path, trusted=("10.0.0.1",)) as call:
        assert (await call(method, path))[0] == 403
