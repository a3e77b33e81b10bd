"""Rules decide as a second, obvious implementation says: in any order, and over a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.decision import Decision, DecisionKind
from engine.model.shaping import Shaping
from tests.fakes import slow_rules
from tests.fakes.shaping_text import to_toml
from tests.fakes.tsa_world import NOON, seen, settled, shaping_of
from tsa.decision_store import Batch, DecisionStore
from tsa.rule_engine import SETTLE_S, RuleEngine, Verdict
from tsa.seen_record import SeenRecord, decode_seen

#: Records lie within so many seconds: around a midnight, so that days are held on either side.
SPAN_S = 24
BEGIN = NOON - NOON % 86_400 + 86_400 - SPAN_S / 2
WORLD = {
    "default": {"connection_limit": 20},
    "provider": {"big": {"match": [{"MXSuffix": ".big.test"}]}},
    "warmup": {"ip-1": {"start": "2027-01-01", "schedule": [{"day": 1, "connection_limit": 50}]}},
}

ADJUST = st.builds(
    lambda factor, step, quiet: {
        "AdjustConfig": {
            "name": "connection_limit",
            "floor": 2,
            "factor": factor,
            "step": step,
            "quiet": quiet,
        }
    },
    st.sampled_from([0.5, 0.8]),
    st.sampled_from([0.1, 0.25]),
    st.sampled_from([2, 5, 12]),
)
ACTIONS = st.one_of(
    st.sampled_from(
        [
            "Suspend",
            "SuspendTenant",
            "BounceCampaign",
            "Bounce",
            "PauseWarmup",
            {"SetConfig": {"name": "max_ready", "value": 7}},
            {"SetDomainConfig": {"name": "max_ready", "value": 8}},
        ]
    ),
    st.sampled_from(["SuspendCampaign", "BounceTenant", "PauseWarmup"]),
    ADJUST,
    ADJUST,
)
THRESHOLDS = st.builds(
    lambda count, unit: {"Threshold": f"{count}/{unit}"},
    st.integers(1, 5),
    st.sampled_from(["3s", "10s"]),
)
PROPORTIONS = st.builds(
    lambda of, over, within, least: {
        "Proportion": {"of": of, "over": over, "within": within, "at_least": least}
    },
    st.sampled_from([["Deferred"], ["Failed"], ["Deferred", "Failed"]]),
    st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    st.sampled_from([2, 5, 90]),
    st.integers(1, 5),
)
TRIGGERS = st.one_of(st.just("Immediate"), THRESHOLDS, THRESHOLDS, PROPORTIONS, PROPORTIONS)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "section": st.sampled_from(["default", "default", "provider.big"]),
            "regex": st.lists(
                st.sampled_from([".", ".", "slow", "^45", "5[.]7", "gone$", "internal"]),
                min_size=1,
                max_size=2,
                unique=True,
            ),
            "action": st.lists(ACTIONS, min_size=1, max_size=2, unique_by=json.dumps),
            "trigger": TRIGGERS,
            "duration": st.sampled_from([9, 600, 100_000]),
            "match_internal": st.booleans(),
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda rule: json.dumps({**rule, "section": rule["section"] == "default"}),
)
REPLIES = st.sampled_from(
    [(451, "slow down"), (450, "mailbox gone"), (554, "5.7.1 blocked"), (550, "no such user")]
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "offset": st.integers(0, SPAN_S * 4).map(lambda quarter: quarter / 4),
            "reply": REPLIES,
            "type": st.sampled_from(
                ["TransientFailure"] * 5 + ["Bounce", "Expiration", "Delivery", "Delivery"]
            ),
            "internal": st.sampled_from([False, False, False, True]),
            "domain": st.sampled_from(["a.test", "a.test", "a.test", "b.test"]),
            "tenant": st.sampled_from([None, "t1", "t1", "t1", "t2"]),
            "campaign": st.sampled_from([None, "c1"]),
            "source": st.sampled_from(["ip-1", "ip-1", "ip-1", "ip-2"]),
            "peer": st.sampled_from(["mx.big.test", "mx.big.test", "mx.big.test", "mx.other.test"]),
            # How much later than it happened it comes.
            "delay": st.integers(0, int(SETTLE_S * 4)).map(lambda quarter: quarter / 4),
        }
    ),
    min_size=5,
    max_size=60,
)


def shaping_from(rules: Sequence[dict[str, Any]]) -> Shaping:
    world = json.loads(json.dumps(WORLD))
    for rule in rules:
        section = world["default"] if rule["section"] == "default" else world["provider"]["big"]
        table = {key: value for key, value in rule.items() if key != "section"}
        section.setdefault("automation", []).append(table)
    return shaping_of(to_toml(world))


def plain_records(drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    records = []
    for number, one in enumerate(drawn):
        code, text = one["reply"]
        if one["type"] == "Delivery":
            code, text = 250, "slow but taken"
        records.append(
            one
            | {
                "id": f"r{number}",
                "at": BEGIN + one["offset"],
                "code": code,
                "text": f"internal: {text}" if one["internal"] else text,
                "site": one["peer"],
                # A queue has no campaign without a tenant.
                "campaign": one["campaign"] if one["tenant"] else None,
            }
        )
    return records


def as_seen(record: dict[str, Any]) -> SeenRecord:
    queue = record["domain"]
    if record["tenant"]:
        queue = f"{record['tenant']}@{queue}"
    if record["campaign"]:
        queue = f"{record['campaign']}:{queue}"
    command = None if record["internal"] else "RCPT TO:<user@x>"
    return seen(
        record["at"],
        record_id=record["id"],
        type=record["type"],
        response={"code": record["code"], "content": record["text"], "command": command},
        recipient=f"user@{record['domain']}",
        queue=queue,
        egress_source=record["source"],
        site_name=record["site"],
        peer_address={"name": record["peer"], "addr": "192.0.2.1"},
    )


def shown(store: DecisionStore, rules: Sequence[dict[str, Any]], shaping: Shaping, now: float):
    """Return the decisions in force as the obvious implementation names them."""
    numbers = {}
    counts: dict[str, int] = {}
    for one in shaping.all_rules():
        section = one.rule.section
        inside = [n for n, rule in enumerate(rules) if rule["section"] == section]
        numbers[one.digest[:24]] = inside[counts.get(section, 0)]
        counts[section] = counts.get(section, 0) + 1
    return {key_of(one, numbers): (one.value, one.expires_at) for one in store.active(now)}


def key_of(decision: Decision, numbers: dict[str, int]) -> Any:
    digest, _, index = decision.rule_hash.rpartition("-")
    who, scope = (numbers[digest], int(index)), decision.scope
    match decision.kind:
        case DecisionKind.SUSPEND_READY:
            assert scope.ready_queue is not None
            site = scope.ready_queue.partition("->")[2].removesuffix("@smtp_client")
            return *who, ("ready", scope.source, site)
        case DecisionKind.OVERRIDE if scope.site_name is not None:
            return *who, ("override", "site", scope.site_name, scope.source, scope.option)
        case DecisionKind.OVERRIDE:
            return *who, ("override", "domain", scope.domain, scope.source, scope.option)
        case DecisionKind.WARMUP_HOLD:
            return *who, ("warmup", scope.source), scope.day
        case DecisionKind.BOUNCE if scope.tenant is None:
            return *who, ("bounce", scope.domain)
    kind = "bounce" if decision.kind is DecisionKind.BOUNCE else "suspend"
    return *who, (kind, scope.domain, scope.tenant, scope.campaign)


class Daemon:
    """Rules and decisions, told the time, with what it keeps passed through its file's forms."""

    def __init__(self, shaping: Shaping, folder: Path | None = None) -> None:
        self.shaping = shaping
        self.engine = RuleEngine(shaping)
        self.store = DecisionStore(folder or Path())
        self.folder = folder
        if folder is not None:
            kept = self.store.open()
            for mark in kept.marks:
                self.engine.recall(mark)
            for name, state in kept.windows.items():
                self.engine.recall_window(name, state)
            for name, held in kept.adjusted.items():
                self.engine.recall_adjusted(name, *held)

    def see(self, record: SeenRecord) -> None:
        verdict = Verdict()
        self.engine.see(record, verdict)
        self._take(verdict)

    def tick(self, now: float) -> None:
        self._take(self.engine.tick(now))

    def _take(self, verdict: Verdict) -> None:
        taken = [self.store.take(decision)[0] for decision, _ in verdict.made]
        if self.folder is not None:
            self.store.save(
                Batch(
                    {one.key: one for one in taken},
                    verdict.marks,
                    {name: self.engine.window_state(name) for name in verdict.windows},
                    {name: self.engine.adjusted_state(name) for name in verdict.adjusted},
                )
            )

    def restarted(self) -> Daemon:
        """Return what a daemon is after a kill."""
        self.store.close()
        return Daemon(self.shaping, self.folder)


#: When everything is settled.
END = BEGIN + SPAN_S + 2


def in_order_of_arrival(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda one: one["at"] + one["delay"])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(RULES, RECORDS)
def test_rules_decide_as_the_obvious_way_says(rules, drawn):
    records = plain_records(drawn)
    shaping = shaping_from(rules)
    daemon = Daemon(shaping)
    waiting = sorted(records, key=lambda one: one["at"])
    for now in (*range(int(BEGIN), int(END), 4), END):
        while waiting and waiting[0]["at"] < now:
            daemon.see(as_seen(waiting.pop(0)))
        for decision, _ in settled(daemon.engine, now):
            daemon.store.take(decision)
        known = [one for one in records if one["at"] < now]
        expected = slow_rules.decisions(rules, known, now)
        assert shown(daemon.store, rules, shaping, now) == expected


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(RULES, RECORDS, st.data())
def test_records_that_come_in_time_decide_the_same_in_whatever_order(rules, drawn, data):
    """Records come up to ``SETTLE_S`` late and some twice; ticks come when they like."""
    records = plain_records(drawn)
    shaping = shaping_from(rules)
    expected = slow_rules.decisions(rules, records, END)
    daemon = Daemon(shaping)
    phase = data.draw(st.floats(0, 1))
    again = data.draw(st.lists(st.sampled_from(records), max_size=5))
    now = BEGIN
    for one in in_order_of_arrival([*records, *again]):
        while now + phase + 1 <= one["at"] + one["delay"]:
            now += 1
            daemon.tick(now + phase)
        daemon.see(as_seen(one))
    while now < END + SETTLE_S:
        now += 1
        daemon.tick(min(now + phase, END + SETTLE_S))

    assert shown(daemon.store, rules, shaping, END) == expected


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(RULES, RECORDS, st.data())
def test_a_kill_at_any_moment_changes_nothing(tmp_path_factory, rules, drawn, data):
    records = in_order_of_arrival(plain_records(drawn))
    shaping = shaping_from(rules)
    expected = slow_rules.decisions(rules, records, END)
    daemon = Daemon(shaping, tmp_path_factory.mktemp("state"))
    kills = data.draw(st.sets(st.integers(0, len(records) - 1), max_size=3))
    for number, one in enumerate(records):
        daemon.tick(one["at"] + one["delay"])
        daemon.see(as_seen(one))
        if number in kills:
            daemon = daemon.restarted()
    daemon = daemon.restarted()
    daemon.tick(END + SETTLE_S)

    assert shown(daemon.store, rules, shaping, END) == expected
    daemon.store.close()


@given(RECORDS)
def test_a_record_is_the_same_record_however_it_is_written(drawn):
    for one in map(as_seen, plain_records(drawn)):
        fields = {"type": one.kind.value, "record_id": one.record_id, "timestamp": one.timestamp}
        assert decode_seen(json.dumps(fields).encode()).key == one.key
