"""What a running TSA shows of its decisions: documents, and frames to its subscribers."""

from __future__ import annotations

import contextlib
import json
import time

import aiohttp
import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.decision import DecisionKind, DecisionScope, parse_frame
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from tests.fakes.tsa_process import TsaProcess
from tests.fakes.tsa_world import record_line, rule_text

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

RATE = '{SetConfig={name="max_message_rate", value="1/s"}}'
LIMIT = '{SetConfig={name="connection_limit", value=3}}'
RULES = "".join(
    [
        rule_text(regex="slow down"),
        rule_text(RATE, regex="slow down|too fast"),
        rule_text(LIMIT, regex="too fast", section='provider."big"'),
        rule_text('"SuspendTenant"', regex="tenant"),
        rule_text('"SuspendCampaign"', regex="campaign"),
        rule_text('"Bounce"', regex="gone"),
        rule_text('"BounceTenant"', regex="unwanted"),
        '[provider."big"]\nmatch = [{MXSuffix=".big.example"}]\n',
    ]
)
REPLIES = ("slow down", "too fast", "tenant", "campaign", "gone", "unwanted")


@pytest.fixture
def tsa(tmp_path):
    with TsaProcess(tmp_path, RULES).running() as daemon:
        yield daemon


def say(tsa, *replies, at=None, **fields):
    """Send records of replies; return when they happened."""
    at = at or time.time()
    fields.setdefault("queue", "weekly:acme@big.example")
    lines = [record_line(at, reply=f"451 {reply}", **fields) for reply in replies]
    assert tsa.publish_batch(lines) == (200, {"refused": 0, "errors": []})
    return at


def of_kind(tsa, kind):
    return [one for one in tsa.decisions() if one["kind"] == kind]


def test_decisions_say_what_why_and_how_long(tsa):
    at = say(tsa, "tenant", record_id="first")
    say(tsa, "tenant", record_id="last", at=at + 10)

    (decision,) = tsa.decisions()

    assert decision["kind"] == "SchedQSuspension"
    assert decision["scope"] == {"domain": "big.example", "tenant": "acme"}
    assert decision["rule"] == "default"
    assert decision["place"].startswith(f"{tsa.rules}:")
    assert "tenant" in decision["reason"]
    assert decision["count"] == 2
    assert decision["first_record"]["id"] == "first"
    assert decision["last_record"]["id"] == "last"
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at + 10 + 3600))
    assert decision["expires"] == expires


def test_an_expiry_never_shrinks_by_an_older_record(tsa):
    at = say(tsa, "tenant")
    before = tsa.decisions()[0]["expires"]

    say(tsa, "tenant", at=at - 1800)

    assert tsa.decisions()[0]["expires"] == before


def test_what_is_over_when_its_record_comes_is_no_decision(tsa):
    say(tsa, *REPLIES, at=time.time() - 7200)

    assert tsa.decisions() == []


def test_the_overlay_is_a_shaping_layer(tsa):
    say(tsa, "too fast")
    text = tsa.http("/get_config_v1/shaping.toml")[1]

    layer = parse_shaping(text, "overlay.toml")
    route = SiteRoute("mx.big.example", ("mx.big.example",))
    shaping, findings = merge_layers([layer], {"big.example": route}, LoadOptions())
    options = shaping.resolve("big.example", "ip-1", "mx.big.example").options()

    assert [one for one in findings if one.severity == "error"] == []
    assert options["max_message_rate"] == "1/s"
    assert options["connection_limit"] == 3


def test_the_overlay_rolls_up_what_a_rule_for_sites_sets(tsa):
    say(tsa, "slow down")

    text = tsa.http("/get_config_v1/shaping.toml")[1].decode()

    assert '["big.example"]\nmx_rollup = true\n' in text
    assert '["big.example".sources."ip-1"]' in text


def test_the_overlay_gives_the_site_what_a_rule_for_a_provider_by_its_hosts_sets(tsa):
    say(tsa, "too fast")

    text = tsa.http("/get_config_v1/shaping.toml")[1].decode()

    assert '["big.example"]\nmx_rollup = true\n' in text


def test_suspensions_and_bounces_have_documents_of_their_own(tsa):
    say(tsa, *REPLIES)

    suspended = tsa.json("/get_suspension_v1/suspended.json")
    bounced = tsa.json("/get_bounce_v1/bounced.json")

    (ready,) = suspended["ready_q"]
    assert (ready["site_name"], ready["source"]) == ("ip-1->mx.big.example@smtp_client", "ip-1")
    assert {(one["domain"], one["tenant"], one["campaign"]) for one in suspended["sched_q"]} == {
        ("big.example", "acme", None),
        ("big.example", "acme", "weekly"),
    }
    assert {(one["domain"], one["tenant"], one["campaign"]) for one in bounced} == {
        ("big.example", None, None),
        ("big.example", "acme", None),
    }
    for one in (ready, *suspended["sched_q"], *bounced):
        assert one["reason"]
        assert one["rule_hash"]
        assert one["expires"].endswith("Z")


@contextlib.asynccontextmanager
async def subscribed(tsa, path="/subscribe_event_v1"):
    async with aiohttp.ClientSession() as session, session.ws_connect(tsa.url + path) as socket:
        yield socket


async def snapshot(socket):
    """Return the frames up to the one that ends what was in force."""
    frames = []
    while not frames or "ShapingChanged" not in frames[-1]:
        frames.append(await socket.receive_json(timeout=10))
    return frames


async def test_a_subscriber_gets_what_is_in_force_then_the_hash_then_what_changes(tsa):
    say(tsa, "tenant", "slow down")
    async with subscribed(tsa) as socket:
        *in_force, end = await snapshot(socket)
        say(tsa, "gone")
        change = await socket.receive_json(timeout=10)

    made = [parse_frame(frame) for frame in in_force]
    assert {one.kind for one in made} == {
        DecisionKind.SUSPEND_READY,
        DecisionKind.SUSPEND_SCHEDULED,
        DecisionKind.OVERRIDE,
    }
    assert set(end["ShapingChanged"]) == {"hash"}
    assert parse_frame(change).scope == DecisionScope(domain="big.example")
    assert list(change) == ["SchedQBounce"]


async def test_an_override_is_followed_by_the_new_hash_of_the_overlay(tsa):
    async with subscribed(tsa) as socket:
        (before,) = await snapshot(socket)
        say(tsa, "too fast")
        *overrides, after = await snapshot(socket)

    assert {frame["ConfigOverride"]["option"] for frame in overrides} == {
        "max_message_rate",
        "connection_limit",
    }
    assert after != before


async def test_a_repeat_that_changes_little_is_told_to_nobody(tsa):
    at = say(tsa, "tenant")
    async with subscribed(tsa) as socket:
        await snapshot(socket)
        for later in range(1, 20):
            say(tsa, "tenant", at=at + later)
        say(tsa, "gone")
        frame = await socket.receive_json(timeout=10)

    assert list(frame) == ["SchedQBounce"]
    assert [one["count"] for one in of_kind(tsa, "SchedQSuspension")] == [20]


async def test_a_deprecated_subscriber_gets_suspensions_by_their_old_names(tsa):
    say(tsa, "tenant", "gone", "slow down")
    async with subscribed(tsa, "/subscribe_suspension_v1") as socket:
        first = [await socket.receive_json(timeout=10) for _ in range(2)]
        say(tsa, "too fast", "unwanted", "campaign")
        third = await socket.receive_json(timeout=10)

    assert {name for frame in first for name in frame} == {"ReadyQ", "SchedQ"}
    assert third["SchedQ"]["campaign"] == "weekly"


async def test_a_subscriber_that_leaves_is_forgotten(tsa):
    async with subscribed(tsa) as socket:
        await snapshot(socket)
        assert b"tsa_subscribers 1" in tsa.http("/metrics")[1]
    say(tsa, "tenant")

    deadline = time.monotonic() + 10
    while b"tsa_subscribers 0" not in tsa.http("/metrics")[1]:
        assert time.monotonic() < deadline


async def test_a_subscriber_sees_the_end_of_the_daemon_as_going_away(tsa):
    async with subscribed(tsa) as socket:
        await snapshot(socket)
        assert tsa.stop() == 0
        ended = await socket.receive(timeout=10)
    tsa.start()

    assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1001)


def test_a_request_without_a_websocket_is_told_so(tsa):
    status, body = tsa.http("/subscribe_event_v1")

    assert status == 426
    assert "websocket" in json.loads(body)["error"]


def test_the_api_describes_itself(tsa):
    paths = set(tsa.json("/api-docs/openapi.json")["paths"])

    assert paths >= {"/publish_log_v1", "/decisions", "/subscribe_event_v1", "/tsa/status"}
