"""The last hour by HTTP: samples since the last look, and why mail failed."""

from __future__ import annotations

import pytest

from engine.admin.history_samples import make_sample
from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.reply import make_reply
from tests.fakes.admin_world import operating
from tests.unit.engine.admin.test_history_samples import STATE, ZERO
from tests.unit.engine.records.test_record_tally import mail

HISTORY = "/api/admin/history/v1"


def fill(world, count: int) -> float:
    start_at = world.clock.wall()
    for number in range(count):
        at = start_at + 10 * number
        world.history.add(at, make_sample(at, 10.0, ZERO, ZERO, STATE, []))
    return start_at


async def test_a_page_opened_just_now_is_shown_the_last_hour(tmp_path):
    async with operating(tmp_path) as operator:
        fill(operator.world, 30)

        shown = await operator.ok("GET", HISTORY)

        assert len(shown["samples"]) == 30
        assert (shown["node_id"], shown["hostname"], shown["version"]) == (
            "node-1",
            "mx.test",
            "1.2.3",
        )
        assert shown["interval"] == 10.0
        assert operator.world.audited() == []


async def test_a_page_that_knows_some_is_shown_the_rest(tmp_path):
    async with operating(tmp_path) as operator:
        fill(operator.world, 5)
        known = (await operator.ok("GET", HISTORY))["samples"]

        shown = await operator.ok("GET", HISTORY, since=known[2]["time"], reasons=0)

        assert shown["samples"] == known[3:]
        assert shown["reasons"] == []


async def test_why_mail_failed_is_told_with_what_and_when(tmp_path):
    async with operating(tmp_path) as operator:
        world = operator.world
        reply = make_reply(451, "4.7.1 greylisted <b>now</b>")
        where = Circumstances(site_name="mx.a.test", provider_name="big")
        for _ in range(3):
            world.recorder.record(
                RecordKind.TRANSIENT_FAILURE, mail("t@a.test"), reply=reply, where=where
            )

        (reason,) = (await operator.ok("GET", HISTORY))["reasons"]

        assert reason.pop("last").endswith("Z")
        assert reason == {
            "is_permanent": False,
            "provider": "big",
            "code": 451,
            "enhanced": "4.7.1",
            "count": 3,
            "text": "greylisted <b>now</b>",
            "queue_name": "t@a.test",
        }


@pytest.mark.parametrize("query", [{"since": "soon"}, {"samples": 361}, {"reasons": -1}])
async def test_a_wrong_wish_is_refused_by_its_name(tmp_path, query):
    async with operating(tmp_path) as operator:
        status, answer = await operator("GET", HISTORY, **query)

        assert (status, answer["field"]) == (422, next(iter(query)))
