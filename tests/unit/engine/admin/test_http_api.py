"""Administration by HTTP: operations behind paths, refusals as statuses, callers in the audit."""

from __future__ import annotations

import aiohttp
import pytest

from engine.admin.http_api import ENDPOINTS
from engine.base.http_call import AuthInfo
from policy.errors import PolicyLoadError
from tests.fakes.admin_world import operating

BOUNCE = "/api/admin/bounce/v1"
SUSPEND = "/api/admin/suspend/v1"
SUSPEND_READY = "/api/admin/suspend-ready-q/v1"


async def judge(credentials):
    return AuthInfo("ann", ("operators",)) if credentials.password == "right" else None


async def test_a_directive_is_made_listed_and_ended(tmp_path):
    async with operating(tmp_path) as operator:
        made = await operator.ok("POST", BOUNCE, domain="a.test", reason="asked to")

        (listed,) = await operator.ok("GET", BOUNCE)
        assert set(made) == {"id", "bounced", "total_bounced"}
        assert (listed["id"], listed["domain"], listed["author"]) == (
            made["id"],
            "a.test",
            "127.0.0.1",
        )
        assert await operator.ok("DELETE", BOUNCE, id=made["id"]) == "OK"
        assert await operator.ok("GET", BOUNCE) == []
        assert (await operator("DELETE", BOUNCE, id=made["id"]))[0] == 404


async def test_acts_are_in_the_audit_with_who_and_from_where(tmp_path):
    async with operating(tmp_path, authenticate=judge) as operator:
        auth = aiohttp.BasicAuth("ann", "right")
        async with operator.session.post(
            operator.base + SUSPEND, json={"reason": "x"}, auth=auth
        ) as answer:
            made = await answer.json()

        (entry,) = (await operator.ok("GET", "/api/admin/audit/v1"))["entries"]
        assert (entry["act"], entry["identity"], entry["origin"]) == ("suspend", "ann", "127.0.0.1")
        assert (entry["result"], entry["detail"]) == ("done", made["id"])
        assert "right" not in str(entry)


async def test_who_is_turned_away_from_administration_is_in_the_audit_too(tmp_path):
    async with operating(tmp_path, trusted_hosts=[], authenticate=judge) as operator:
        statuses = [(await operator("GET", SUSPEND))[0]]
        for password in ("right", "wrong"):
            auth = aiohttp.BasicAuth("ann", password)
            async with operator.session.post(
                operator.base + SUSPEND, json={"reason": "x"}, auth=auth
            ) as answer:
                statuses.append(answer.status)

        found = [(one.act, one.identity, one.result) for one in operator.world.audited()]
        assert statuses == [401, 403, 401]
        assert found == [
            ("GET /api/admin/suspend/v1", "127.0.0.1", "denied"),
            ("POST /api/admin/suspend/v1", "ann", "denied"),
            ("POST /api/admin/suspend/v1", "127.0.0.1", "denied"),
        ]
        assert operator.world.suspensions.is_empty


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (BOUNCE, {}, "reason"),
        (BOUNCE, {"reason": "x", "duration": "soon"}, "duration"),
        (BOUNCE, {"reason": "x", "colour": "red"}, "colour"),
        (SUSPEND, {"reason": "x", "routing_domain": "r.test"}, "routing_domain"),
        (SUSPEND_READY, {"reason": "x"}, "name"),
    ],
)
async def test_a_wrong_request_names_the_field_and_changes_nothing(tmp_path, path, body, field):
    async with operating(tmp_path) as operator:
        status, answer = await operator("POST", path, **body)

        assert (status, answer["field"]) == (422, field)
        assert operator.world.suspensions.is_empty and operator.world.bounces.is_empty


async def test_a_query_is_checked_like_a_body(tmp_path):
    async with operating(tmp_path) as operator:
        operator.world.submit(due_in_s=3600)
        path = "/api/admin/inspect-sched-q/v1"

        shown = await operator.ok("GET", path, queue_name="a.test", limit="1")
        assert (shown["num_scheduled"], len(shown["messages"])) == (1, 1)
        assert (await operator("GET", path, queue_name="none.test"))[0] == 404
        status, error = await operator("GET", path, queue_name="a.test", limit="x")
        assert (status, error["field"]) == (422, "limit")
        status, error = await operator("GET", path, queue_nam="a.test")
        assert (status, error["field"]) == (422, "queue_nam")


async def test_a_rejected_policy_is_an_error_with_its_place(tmp_path):
    async with operating(tmp_path) as operator:
        operator.world.reload = PolicyLoadError("init.py", 7, "no such name")
        status, answer = await operator("POST", "/api/admin/bump-config-epoch")

        assert status == 500
        assert "init.py" in answer["error"] and "no such name" in answer["error"]
        operator.world.reload = None
        assert await operator.ok("POST", "/api/admin/bump-config-epoch") == "OK"


async def test_each_endpoint_is_described_with_what_goes_in_and_out(tmp_path):
    async with operating(tmp_path) as operator:
        document = await operator.ok("GET", "/api-docs/openapi.json")

        for method, path, operation in ENDPOINTS:
            described = document["paths"][path][method.lower()]
            assert described["summary"] == operation.summary
            assert "content" in described["responses"]["200"], path
        (limit,) = [
            one
            for one in document["paths"]["/api/admin/inspect-sched-q/v1"]["get"]["parameters"]
            if one["name"] == "limit"
        ]
        assert (limit["in"], limit["required"], limit["schema"]["type"]) == (
            "query",
            False,
            "integer",
        )
