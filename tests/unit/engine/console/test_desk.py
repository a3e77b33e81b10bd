"""The node's side of the console."""

from __future__ import annotations

import msgspec
import pytest

from engine.admin.http_api import ENDPOINTS
from engine.admin.tracing import CLIENT_PATH, SERVER_PATH
from engine.base.event_hub import READERS_MAX
from engine.base.trace_hub import TraceEvent
from engine.cli.errors import NodeRefusedError
from engine.console.desk import role_for
from engine.model.caller import Caller
from engine.model.role import Role
from tests.fakes.admin_world import admin_world
from tests.fakes.console_world import make_desk, operator

ANN = Caller("ann", "192.0.2.1", "console")


async def test_an_answer_is_json_or_text_and_an_act_is_audited(tmp_path):
    async with admin_world(tmp_path) as world:
        desk = make_desk(world)
        ann = operator()
        body = {"domain": "a.test", "reason": "x"}
        raw, text = await desk.call(ann, ANN, "POST", "/api/admin/suspend/v1", body)
        known = {"id": msgspec.json.decode(raw)["id"]}
        ended = await desk.call(ann, ANN, "DELETE", "/api/admin/suspend/v1", known)
        acts = [(one.act, one.channel) for one in world.audited()]

    assert text == ""
    assert ended == (None, "OK")
    assert acts == [("suspend", "console"), ("suspend-cancel", "console")]


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("GET", "/api/admin/nothing/v1", {}, 404),
        ("GET", "/api/admin/queues/v1", {"mistyped": 1}, 422),
        ("GET", "/api/admin/inspect-message/v1", {"id": "0" * 32}, 404),
        ("POST", "/api/admin/suspend/v1", {"reason": "x", "duration": "soon"}, 422),
    ],
)
async def test_what_is_wrong_is_refused_as_by_http(tmp_path, method, path, arguments, status):
    async with admin_world(tmp_path) as world:
        with pytest.raises(NodeRefusedError) as refused:
            await make_desk(world).call(operator(), ANN, method, path, arguments)

    assert refused.value.status == status


async def test_a_viewer_changes_nothing_and_reads_no_content(tmp_path):
    async with admin_world(tmp_path) as world:
        desk = make_desk(world)
        viewer = operator(Role.VIEWER)
        for method, path, arguments in (
            ("POST", "/api/admin/bounce/v1", {"reason": "x"}),
            ("GET", "/api/admin/inspect-message/v1", {"id": "x", "want_body": True}),
        ):
            with pytest.raises(NodeRefusedError, match="for the role operator; you are viewer"):
                await desk.call(viewer, ANN, method, path, arguments)
        with pytest.raises(NodeRefusedError, match="you are viewer"):
            desk.open_watch(viewer, ANN, CLIENT_PATH, {})
        assert world.bounces.is_empty
        assert [one.result for one in world.audited()] == ["denied"] * 3


def test_each_endpoint_has_a_role_and_those_that_change_the_node_are_for_admins():
    roles = {(one.method, one.operation.name): role_for(one, None) for one in ENDPOINTS}

    assert all(role is Role.VIEWER for (method, _), role in roles.items() if method == "GET")
    assert all(role >= Role.OPERATOR for (method, _), role in roles.items() if method != "GET")
    admins = {name for (_, name), role in roles.items() if role is Role.ADMIN}
    assert {"bump-config-epoch", "set-log-filter", "automation-switch", "spool-compact"} <= admins


async def test_sessions_are_watched_and_who_watches_is_audited(tmp_path):
    async with admin_world(tmp_path) as world:
        desk = make_desk(world)
        wanted = {"source_addr": ["192.0.2.0/24"]}
        watch = desk.open_watch(operator(), ANN, SERVER_PATH, wanted)
        for peer in ("192.0.2.1:25", "198.51.100.1:25"):
            world.tracing.server.publish(
                TraceEvent({"received_from": peer}, "Read", b"EHLO x", world.clock.wall())
            )
        frames = [msgspec.json.decode(one) for one in await watch.next_frames()]
        watch.close()
        assert await watch.next_frames() == []
        (act,) = world.audited()

    assert [one["conn_meta"] for one in frames] == [{"received_from": "192.0.2.1:25"}]
    assert (act.act, act.arguments["source_addr"]) == ("trace-smtp-server", ["192.0.2.0/24"])


async def test_watchers_are_few_and_say_what_they_want_properly(tmp_path):
    async with admin_world(tmp_path) as world:
        desk = make_desk(world)
        for wanted in ({"nothing": 1}, {"source_addr": ["here"]}):
            with pytest.raises(NodeRefusedError):
                desk.open_watch(operator(), ANN, SERVER_PATH, wanted)
        for _ in range(READERS_MAX):
            desk.open_watch(operator(), ANN, SERVER_PATH, {})
        with pytest.raises(NodeRefusedError, match="too many"):
            desk.open_watch(operator(), ANN, SERVER_PATH, {})
        with pytest.raises(NodeRefusedError, match="the node has no"):
            desk.open_watch(operator(), ANN, "/api/admin/other/v1", {})


async def test_metrics_are_told_as_text(tmp_path):
    async with admin_world(tmp_path) as world:
        assert "# TYPE " in await make_desk(world).read_metrics()
