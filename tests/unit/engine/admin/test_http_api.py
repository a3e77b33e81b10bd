"""What operators do and see by HTTP, against queues in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.admin.http_api import AdminApi
from engine.base.http_service import HttpService
from engine.model.cidr import CidrSet
from engine.model.log_record import RecordKind
from policy.errors import PolicyLoadError
from tests.fakes.queue_world import QueueWorld, queue_world


class Operator:
    """Somebody with HTTP access to a world."""

    def __init__(self, world: QueueWorld, base: str, session: aiohttp.ClientSession) -> None:
        self.world = world
        self._base = base
        self._session = session

    async def __call__(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        options = {"params": body} if method == "GET" else {"json": body}
        async with self._session.request(method, self._base + path, **options) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def ok(self, method: str, path: str, **body: Any) -> Any:
        status, answer = await self(method, path, **body)
        assert status == 200, answer
        return answer


@contextlib.asynccontextmanager
async def operating(folder: Path, script: str = "") -> AsyncIterator[Operator]:
    async with queue_world(folder, script) as world:
        service = HttpService(
            ("127.0.0.1", 0),
            "mx.test",
            metrics=world.metrics,
            trusted_hosts=CidrSet(["127.0.0.1"]),
        )
        AdminApi(world).add_to(service)
        await service.start()
        async with aiohttp.ClientSession() as session:
            yield Operator(world, f"http://127.0.0.1:{service.port}", session)
        await service.stop(1.0)


BOUNCE = "/api/admin/bounce/v1"
SUSPEND = "/api/admin/suspend/v1"
SUSPEND_READY = "/api/admin/suspend-ready-q/v1"


async def test_a_bounce_ends_waiting_mail_of_its_scope_only(tmp_path):
    async with operating(tmp_path) as operator:
        world = operator.world
        world.gate.clear()
        world.submit(due_in_s=3600)
        world.submit(domain="b.test", due_in_s=3600)

        answer = await operator.ok("POST", BOUNCE, domain="a.test", reason="asked to")
        await asyncio.sleep(1)

        (record,) = world.records(RecordKind.ADMIN_BOUNCE)
        assert (record.queue, record.site, record.response.code) == ("a.test", "localhost", 551)
        assert "asked to" in record.response.content
        assert len(world.store.envelopes) == 1
        (listed,) = await operator.ok("GET", BOUNCE)
        assert (listed["id"], listed["domain"], listed["reason"]) == (
            answer["id"],
            "a.test",
            "asked to",
        )


async def test_a_bounce_without_records_leaves_none(tmp_path):
    async with operating(tmp_path) as operator:
        operator.world.submit(due_in_s=3600)

        await operator.ok("POST", BOUNCE, reason="quietly", suppress_logging=True)
        await asyncio.sleep(1)

        assert operator.world.records(RecordKind.ADMIN_BOUNCE) == []
        assert not operator.world.store.envelopes


async def test_a_bounce_that_was_ended_bounces_no_more(tmp_path):
    async with operating(tmp_path) as operator:
        made = await operator.ok("POST", BOUNCE, reason="x", duration="1h")

        assert await operator.ok("DELETE", BOUNCE, id=made["id"]) == "OK"
        assert await operator.ok("GET", BOUNCE) == []
        assert (await operator("DELETE", BOUNCE, id=made["id"]))[0] == 404
        operator.world.submit()
        await asyncio.sleep(1)
        assert operator.world.records(RecordKind.ADMIN_BOUNCE) == []


async def test_suspended_mail_is_held_with_reason_and_author_until_the_end(tmp_path):
    async with operating(tmp_path) as operator:
        world = operator.world
        await operator.ok("POST", SUSPEND, domain="a.test", reason="slow down", duration="10m")
        world.submit()
        await world.sleep(300)

        (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert record.response.code == 451
        assert "slow down" in record.response.content
        assert world.records(RecordKind.DELIVERY) == []
        await world.sleep(600)
        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_a_suspended_ready_queue_is_listed_with_its_end(tmp_path):
    async with operating(tmp_path) as operator:
        name = "s1->mx.a.test@smtp_client"
        await operator.ok(
            "POST", SUSPEND_READY, name=name, reason="x", expires="2099-01-01T00:00:00Z"
        )

        (listed,) = await operator.ok("GET", SUSPEND_READY)

        assert (listed["name"], listed["reason"]) == (name, "x")
        assert listed["expires"].startswith(("2098-12-31T23:59", "2099-01-01T00:00"))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (BOUNCE, {}, "reason"),
        (BOUNCE, {"reason": "x", "duration": "soon"}, "duration"),
        (BOUNCE, {"reason": "x", "expires": "tomorrow"}, "expires"),
        (BOUNCE, {"reason": "x", "expires": "2099-01-01T00:00:00"}, "expires"),
        (BOUNCE, {"reason": "x", "colour": "red"}, "colour"),
        (SUSPEND, {"reason": "x", "routing_domain": "r.test"}, "routing_domain"),
        (SUSPEND_READY, {"reason": "x"}, "name"),
    ],
)
async def test_a_wrong_request_names_the_field(tmp_path, path, body, field):
    async with operating(tmp_path) as operator:
        status, answer = await operator("POST", path, **body)

        assert status == 422
        assert field in answer["error"] or answer.get("field") == field


async def test_a_message_can_be_looked_at(tmp_path):
    async with operating(tmp_path) as operator:
        (message,) = operator.world.submit(due_in_s=3600)
        path = "/api/admin/inspect-message/v1"

        answer = await operator.ok("GET", path, id=message.id, want_body="true")

        assert answer["id"] == message.id
        assert answer["message"]["recipient"] == message.recipients[0]
        assert "data" in answer["message"]
        assert (await operator("GET", path, id="00" * 16))[0] == 404
        assert (await operator("GET", path, id="nonsense"))[0] == 422


async def test_a_scheduled_queue_can_be_looked_at(tmp_path):
    async with operating(tmp_path) as operator:
        operator.world.submit(due_in_s=3600)
        operator.world.submit(due_in_s=3600)
        path = "/api/admin/inspect-sched-q/v1"

        answer = await operator.ok("GET", path, queue_name="a.test", limit="1")

        assert (answer["num_scheduled"], len(answer["messages"])) == (2, 1)
        assert (await operator("GET", path, queue_name="none.test"))[0] == 404
        status, error = await operator("GET", path, queue_name="a.test", limit="x")
        assert (status, error["field"]) == (422, "limit")


async def test_ready_queues_say_what_limits_them(tmp_path):
    async with operating(tmp_path) as operator:
        operator.world.gate.clear()
        operator.world.submit()
        await asyncio.sleep(1)

        states = (await operator.ok("GET", "/api/admin/ready-q-states/v1"))["states_by_ready_queue"]

        (state,) = states.values()
        assert state["connection_count"] == 1
        assert state["suspended"] is False


async def test_a_rejected_policy_is_an_error_with_its_place(tmp_path):
    async with operating(tmp_path) as operator:

        async def reject() -> None:
            raise PolicyLoadError("init.py", 7, "no such name")

        operator.world.reload_policy = reject
        status, answer = await operator("POST", "/api/admin/bump-config-epoch")
        assert status == 500
        assert "init.py" in answer["error"] and "no such name" in answer["error"]

        operator.world.reload_policy = lambda: asyncio.sleep(0)
        assert await operator.ok("POST", "/api/admin/bump-config-epoch") == "OK"
