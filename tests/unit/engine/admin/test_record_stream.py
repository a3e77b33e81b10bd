"""Watching log records over a websocket."""

from __future__ import annotations

import json

import pytest

from engine.admin.event_stream import watch
from engine.admin.record_stream import PATH, RECORDS
from engine.base import event_hub
from engine.model.log_record import RecordKind, decode_record
from engine.model.record_filter import RecordFilter
from engine.model.reply import make_reply
from tests.fakes.admin_world import ANN, admin_world, operating
from tests.fakes.stream_reader import receive, until

REPLY = make_reply(550, "5.1.1 no such user")


def happen(world, kind=RecordKind.BOUNCE, recipient="ann@a.test"):
    world.recorder.record(kind, None, reply=REPLY, recipients=[recipient])


@pytest.mark.real_time
async def test_who_watches_sees_the_records_that_are_wanted_and_is_in_the_audit(tmp_path):
    async with operating(tmp_path) as operator:
        world = operator.world
        async with operator.session.ws_connect(operator.base + PATH) as socket:
            await socket.send_str('{"type": ["Bounce"], "domain": ["a.test"], "code": ["5xx"]}')
            await until(lambda: world.tracing.records.is_on)
            happen(world, RecordKind.REJECTION)
            happen(world, recipient="ann@b.test")
            happen(world)

            message = await socket.receive(timeout=10)

        record = decode_record(message.data.encode())
        assert (record.kind, record.recipient) == (RecordKind.BOUNCE, "ann@a.test")
        assert "\n" not in message.data
        await until(lambda: not world.tracing.records.is_on)
        (entry,) = world.audited()
        assert (entry.act, entry.origin) == ("watch-records", "127.0.0.1")
        assert entry.arguments["domain"] == ["a.test"]


@pytest.mark.real_time
async def test_a_slow_reader_is_told_how_many_it_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(event_hub, "EVENTS_MAX", 5)
    async with operating(tmp_path) as operator:
        world = operator.world
        async with operator.session.ws_connect(operator.base + PATH) as socket:
            await socket.send_str("{}")
            await until(lambda: world.tracing.records.is_on)
            for _ in range(20):
                happen(world)
            frames = [await receive(socket) for _ in range(6)]

    assert [frame.get("type") for frame in frames[:5]] == ["Bounce"] * 5
    assert frames[5] == {"missed": 15}


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"type": ["Bounces"]}, "type: no record"),
        ({"grep": "("}, "grep: no regular"),
        ({"since": "noon"}, "since:"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_is_no_filter_is_answered_with_its_mistake(tmp_path, frame, complaint):
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + PATH) as socket:
            await socket.send_str(json.dumps(frame))

            assert complaint in (await receive(socket))["error"]
        assert not operator.world.tracing.records.is_on
        assert operator.world.audited() == []


@pytest.mark.real_time
async def test_a_stranger_watches_nothing(tmp_path):
    async with operating(tmp_path, trusted_hosts=[]) as operator:
        assert (await operator("GET", PATH))[0] == 403


async def test_since_counts_from_now(tmp_path):
    async with admin_world(tmp_path) as world:
        subscription = watch(world, RECORDS, ANN, RecordFilter(since="1m"))
        happen(world)

        assert (await subscription.next()).record.kind is RecordKind.BOUNCE
