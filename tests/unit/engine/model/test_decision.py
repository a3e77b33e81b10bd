"""Decisions keep apart what differs, never end earlier by a repeat, and travel as frames."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from engine.model.decision import (
    Decision,
    DecisionKind,
    DecisionScope,
    format_instant,
    frame_of,
    parse_frame,
    parse_instant,
    renew,
)


def decision(**given: Any) -> Decision:
    values: dict[str, Any] = {
        "kind": DecisionKind.SUSPEND_SCHEDULED,
        "scope": DecisionScope(domain="a.test", tenant="t"),
        "rule_hash": "h",
        "reason": "too fast",
        "expires_at": 2000.0,
        "first_record_at": 1000.0,
        "last_record_at": 1000.0,
        "first_record_id": "r1",
        "last_record_id": "r1",
    }
    return Decision(**values | given)


def test_the_key_tells_scopes_rules_and_kinds_apart():
    scopes = [
        DecisionScope(domain="a.test"),
        DecisionScope(domain="a.test", tenant="None"),
        DecisionScope(domain="a.test", tenant="t", campaign="c"),
        DecisionScope(domain="a.test", tenant="t\0c"),
        DecisionScope(domain="a.test", tenant="t', 'c"),
        DecisionScope(domain="a.test", tenant="\ud800"),
        DecisionScope(domain="a.test", tenant="\ud801"),
        DecisionScope(site_name="a.test"),
        DecisionScope(ready_queue="a.test"),
    ]
    kinds = (DecisionKind.SUSPEND_SCHEDULED, DecisionKind.BOUNCE)
    made = [
        decision(scope=scope, rule_hash=rule, kind=kind).key
        for scope, rule, kind in itertools.product(scopes, ("h", "i"), kinds)
    ]
    assert len(set(made)) == len(scopes) * 4


def test_the_key_does_not_depend_on_when_and_why():
    assert (
        decision().key
        == decision(reason="other", expires_at=9.0, value=3, count=7, place="f:1").key
    )


def test_an_older_record_never_shortens_a_decision():
    known = decision(expires_at=5000.0, last_record_at=1400.0, last_record_id="r9", value="new")
    older = decision(
        expires_at=4000.0,
        first_record_at=900.0,
        last_record_at=900.0,
        first_record_id="r0",
        last_record_id="r0",
        value="old",
    )
    made = renew(known, older)
    assert (made.expires_at, made.value, made.count) == (5000.0, "new", 2)
    assert (made.first_record_id, made.last_record_id) == ("r0", "r9")


def test_a_newer_record_extends_a_decision_and_brings_its_value():
    newer = decision(expires_at=7000.0, last_record_at=1500.0, last_record_id="r2", value="new")
    made = renew(decision(value="old"), newer)
    assert (made.expires_at, made.value) == (7000.0, "new")
    assert (made.first_record_at, made.last_record_at) == (1000.0, 1500.0)


def test_the_order_of_repeats_does_not_matter():
    repeats = [
        decision(
            expires_at=2000.0 + at,
            first_record_at=at,
            last_record_at=at,
            first_record_id=name,
            last_record_id=name,
            value=name,
        )
        for at, name in ((1000.0, "b"), (1000.0, "a"), (1010.0, "c"), (990.0, "d"))
    ]
    results = set()
    for order in itertools.permutations(repeats):
        made = order[0]
        for one in order[1:]:
            made = renew(made, one)
        results.add(msgspec.json.encode(made))
    assert len(results) == 1


SCOPES = {
    DecisionKind.SUSPEND_READY: DecisionScope(ready_queue="ip-1->mx@smtp_client", source="ip-1"),
    DecisionKind.SUSPEND_SCHEDULED: DecisionScope(domain="a.test", tenant="t", campaign="c"),
    DecisionKind.BOUNCE: DecisionScope(domain="a.test"),
    DecisionKind.OVERRIDE: DecisionScope(site_name="mx", source="ip-1", option="max_message_rate"),
    DecisionKind.WARMUP_HOLD: DecisionScope(source="ip-1", provider="big", day="2026-12-01"),
}
#: Kinds whose frames have a value.
VALUED = (DecisionKind.OVERRIDE, DecisionKind.WARMUP_HOLD)


@pytest.mark.parametrize("kind", list(DecisionKind))
def test_a_frame_carries_what_the_node_needs(kind):
    made = decision(kind=kind, scope=SCOPES[kind], value={"a": [1, "x"]})
    frame = msgspec.json.decode(msgspec.json.encode(frame_of(made)))
    read = parse_frame(frame)
    assert read is not None
    assert (read.kind, read.scope, read.key) == (made.kind, made.scope, made.key)
    assert (read.reason, read.expires_at) == ("too fast", 2000.0)
    assert read.value == ({"a": [1, "x"]} if kind in VALUED else None)


def test_a_frame_tells_which_rule_it_was_and_where_that_stands():
    made = decision(rule="provider.big", place="/etc/shaping.toml:7")
    read = parse_frame(frame_of(made))
    assert read is not None
    assert (read.rule, read.place) == (made.rule, made.place)


def test_frames_are_those_that_clients_know():
    made = decision(kind=DecisionKind.SUSPEND_READY, scope=SCOPES[DecisionKind.SUSPEND_READY])
    assert frame_of(made) == {
        "ReadyQSuspension": {
            "rule_hash": "h",
            "reason": "too fast",
            "expires": "1970-01-01T00:33:20Z",
            "site_name": "ip-1->mx@smtp_client",
            "source": "ip-1",
        }
    }
    assert frame_of(decision(kind=DecisionKind.BOUNCE)) == {
        "SchedQBounce": {
            "rule_hash": "h",
            "reason": "too fast",
            "expires": "1970-01-01T00:33:20Z",
            "tenant": "t",
            "domain": "a.test",
            "campaign": None,
        }
    }


@pytest.mark.parametrize("frame", [{"ShapingChanged": {"hash": "x"}}, {"FromTheFuture": []}])
def test_frames_of_unknown_kinds_are_skipped(frame):
    assert parse_frame(frame) is None


GOOD = {"domain": "a.test", "reason": "", "rule_hash": "", "expires": "2030-01-31T09:00:00Z"}


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        {},
        {"SchedQBounce": GOOD, "SchedQSuspension": GOOD},
        {"SchedQBounce": "text"},
        {"SchedQBounce": {**GOOD, "domain": None}},
        {"SchedQBounce": {**GOOD, "domain": 7}},
        {"SchedQBounce": {**GOOD, "tenant": ["t"]}},
        {"SchedQBounce": {**GOOD, "expires": None}},
        {"SchedQBounce": {**GOOD, "expires": "tomorrow"}},
        {"SchedQBounce": {**GOOD, "expires": "2030-01-31T09:00:00"}},
        {"SchedQBounce": {**GOOD, "expires": 7}},
        {"ReadyQSuspension": GOOD},
        {"ConfigOverride": GOOD},
    ],
)
def test_a_damaged_frame_is_one_error(frame):
    with pytest.raises(ValueError, match=r".+"):
        parse_frame(frame)


@pytest.mark.parametrize("at", [0.0, 1_800_000_000.0, -1.0])
def test_instants_survive_the_wire_in_whole_seconds(at):
    assert parse_instant(format_instant(at + 0.25)) == at


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (1e18, "9999-12-31T23:59:59Z"),
        (253402387139.0, "9999-12-31T23:59:59Z"),
        (-1e18, "0001-01-01T00:00:00Z"),
    ],
)
def test_an_instant_beyond_the_format_is_shown_as_its_end(at, shown):
    assert format_instant(at) == shown
