"""The rules at work: what decides at once, what waits for its second, and what is remembered."""

from __future__ import annotations

import pytest

from engine.model.decision import DecisionKind
from tests.fakes.tsa_world import NOON, judged, rule_text, seen, settled, shaping_of
from tsa import rule_engine
from tsa.rule_engine import SETTLE_S, RuleEngine, Verdict

TWENTY = "[default]\nconnection_limit = 20\n"
ADJUST = (
    '{ AdjustConfig = { name = "connection_limit", floor = 2, factor = 0.5, step = 0.25, '
    'quiet = "10 minutes" } }'
)
HALF = '{ Proportion = { of = "Deferred", over = "50%", within = "1m", at_least = 4 } }'
SECOND = int(NOON)


def engine_of(*texts):
    return RuleEngine(shaping_of("".join(texts)))


def see(engine, *records):
    verdict = Verdict()
    for record in records:
        engine.see(record, verdict)
    return verdict


def values(made):
    return [decision.value for decision, _ in made]


# -- at once


def test_a_single_match_and_a_threshold_decide_with_their_record():
    engine = engine_of(rule_text('"Bounce"'), rule_text(trigger='{ Threshold = "3/hour" }'))

    kinds = [[decision.kind for decision, _ in see(engine, seen(NOON + n)).made] for n in range(4)]

    assert kinds[:2] == [[DecisionKind.BOUNCE]] * 2
    assert kinds[2:] == [[DecisionKind.BOUNCE, DecisionKind.SUSPEND_READY]] * 2


def test_what_counts_towards_a_threshold_is_to_be_kept():
    verdict = see(engine_of(rule_text(trigger='{ Threshold = "3/hour" }')), seen(NOON))

    ((window, at, key),) = verdict.marks
    assert (at, key.startswith("r")) == (NOON, True)
    assert "mx.big.example" in window
    assert verdict
    assert not Verdict()


def test_a_record_counts_once_however_often_it_comes():
    engine = engine_of(rule_text(trigger='{ Threshold = "3/hour" }'), rule_text(trigger=HALF))
    record = seen(NOON)

    verdict = see(engine, *[record] * 10)

    assert len(verdict.marks) == 1
    assert settled(engine, NOON + 1) == []


def test_a_record_counts_once_in_a_scope_that_several_of_its_domains_share():
    engine = engine_of(
        rule_text(trigger='{ Threshold = "3/hour" }'),
        rule_text('"Bounce"', trigger='{ Threshold = "2/hour" }'),
    )
    both = ["a@one.example", "b@two.example"]

    first = see(engine, seen(NOON, recipient=both, queue=""))
    second = see(engine, seen(NOON, recipient=both, queue=""))

    assert first.made == []
    assert [decision.scope.domain for decision, _ in second.made] == ["one.example", "two.example"]


def test_scopes_count_apart():
    engine = engine_of(rule_text(trigger='{ Threshold = "2/hour" }'))

    assert see(engine, *(seen(NOON, egress_source=f"ip-{n}") for n in range(9))).made == []


def test_a_late_record_that_completes_a_period_holds_as_long_as_the_newest_asks():
    engine = engine_of(rule_text(trigger='{ Threshold = "3/hour" }'))

    verdict = see(engine, seen(NOON), seen(NOON + 100), seen(NOON + 50))

    ((decision, at),) = verdict.made
    assert (at, decision.expires_at) == (NOON + 50, NOON + 100 + 3600)


def test_switched_off_it_decides_nothing_and_counts_nothing():
    engine = engine_of(rule_text(trigger='{ Threshold = "2/hour" }'), rule_text(trigger=HALF))
    engine.is_switched_off = True
    assert not see(engine, *(seen(NOON) for _ in range(9)))

    engine.is_switched_off = False
    assert see(engine, seen(NOON)).made == []


def test_switched_off_before_a_second_is_over_it_decides_nothing_about_it():
    engine = engine_of(rule_text(trigger=HALF))
    see(engine, *(seen(NOON) for _ in range(9)))
    engine.is_switched_off = True

    assert settled(engine, NOON + 1) == []


# -- by the second


def test_a_share_is_judged_when_its_second_is_over():
    engine = engine_of(rule_text(trigger=HALF))
    verdict = see(engine, *(seen(NOON) for _ in range(4)))
    assert (verdict.made, len(verdict.windows)) == ([], 1)

    assert not engine.is_due(NOON + SETTLE_S)
    assert engine.tick(NOON + SETTLE_S).made == []
    assert engine.is_due(NOON + SETTLE_S + 1)
    ((decision, at),) = engine.tick(NOON + SETTLE_S + 1).made

    assert (decision.kind, decision.count, at) == (DecisionKind.SUSPEND_READY, 4, NOON)
    assert decision.expires_at == NOON + 3600
    assert not engine.is_due(NOON + 1000)


def test_a_share_counts_what_did_not_match_too():
    engine = engine_of(rule_text(trigger=HALF))
    fine = [seen(NOON, type="Delivery", reply="250 fine") for _ in range(4)]

    assert judged(engine, [*(seen(NOON) for _ in range(4)), *fine]) == []


def test_seconds_are_settled_in_order_whatever_order_their_records_come_in():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    see(engine, seen(NOON + 120), seen(NOON), seen(NOON + 60))

    assert values(settled(engine, NOON + 121)) == [10, 5, 2]


def test_an_adjusted_value_rises_at_its_time_and_its_decision_ends_with_it():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    see(engine, seen(NOON))

    made = settled(engine, NOON + 10_000)

    assert [(decision.value, at) for decision, at in made] == [
        (10, NOON),
        (15, NOON + 600),
        (15, NOON + 1200),
    ]
    assert [decision.count for decision, _ in made] == [1, 0, 0]
    assert made[-1].decision.expires_at == NOON + 1200
    assert engine.next_due_at is None


def test_an_adjusted_value_lives_until_well_after_its_next_rise():
    engine = engine_of(TWENTY, rule_text(ADJUST))

    (decision,) = judged(engine, [seen(NOON)])

    assert decision.expires_at > NOON + 600 + SETTLE_S + 1


def test_a_complaint_within_the_second_of_a_rise_comes_first():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    see(engine, seen(NOON), seen(NOON + 599.5))

    assert values(settled(engine, NOON + 700)) == [10, 5]


def test_a_late_complaint_lowers_the_value_and_is_not_the_newest_record():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    see(engine, seen(NOON), seen(NOON + 50), seen(NOON + 70))
    assert values(settled(engine, NOON + 71)) == [10, 10, 5]
    see(engine, seen(NOON + 200), seen(NOON + 290))
    settled(engine, NOON + 291)

    see(engine, seen(NOON + 280))
    ((decision, _),) = settled(engine, NOON + 291)

    assert (decision.value, decision.count) == (2, 0)


def test_an_adjustment_begins_at_what_is_configured_for_the_provider_that_replied():
    provider = "[provider.big]\nmatch = [{ MXSuffix = '.big.example' }]\nconnection_limit = 8\n"
    engine = engine_of(TWENTY, provider, rule_text(ADJUST))

    assert [one.value for one in judged(engine, [seen(NOON)])] == [4]
    other = seen(NOON, site_name="x", peer_address={"name": "mx.other.example", "addr": "::1"})
    assert [one.value for one in judged(engine, [other])] == [10]


def test_only_so_much_is_settled_at_a_time(monkeypatch):
    monkeypatch.setattr(rule_engine, "SETTLED_MAX", 10)
    engine = engine_of(rule_text(trigger=HALF))
    see(engine, *(seen(NOON, egress_source=f"ip-{n}") for n in range(25)))
    rounds = 0
    while engine.is_due(NOON + 100):
        engine.tick(NOON + 100)
        rounds += 1

    assert rounds == 3


def test_a_day_is_held_by_the_time_of_the_last_record_of_its_period():
    warmup = '[warmup.ip-1]\nstart = "2027-01-01"\nschedule = [{ day = 1, max_ready = 5 }]\n'
    warmup = warmup.replace("max_ready", "connection_limit")
    midnight = NOON - NOON % 86_400 + 86_400
    for order in ((-30, 30), (30, -30)):
        engine = engine_of(warmup, rule_text('"PauseWarmup"', trigger='{ Threshold = "2/hour" }'))
        made = judged(engine, [seen(midnight + offset) for offset in order])

        assert [one.scope.day for one in made] == ["2027-01-16"]


# -- rules come and go


def test_rules_that_stay_go_on_counting():
    counted = rule_text(trigger='{ Threshold = "3/hour" }')
    engine = engine_of(counted)
    see(engine, seen(NOON), seen(NOON))

    engine.replace_rules(shaping_of("# moved\n" + rule_text('"Bounce"', regex="other") + counted))

    assert len(see(engine, seen(NOON)).made) == 1


@pytest.mark.parametrize("now_off", ["", rule_text(trigger=HALF, more="enabled = false\n")])
def test_a_rule_that_is_gone_decides_nothing_about_a_second_that_was_open(now_off):
    engine = engine_of(rule_text(trigger=HALF))
    see(engine, *(seen(NOON) for _ in range(9)))

    engine.replace_rules(shaping_of(now_off))

    assert settled(engine, NOON + 1) == []


def test_an_adjusted_value_outlives_its_rule_and_comes_back():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    judged(engine, [seen(NOON)])

    engine.replace_rules(shaping_of(TWENTY))

    made = settled(engine, NOON + 10_000)
    assert [decision.expires_at for decision, _ in made][-1] == NOON + 1200


def test_the_same_rule_in_two_sections_says_in_which_it_acted():
    sections = "".join(
        f"[provider.{name}]\nmatch = [{{ HostName = 'mx.{name}.example' }}]\n"
        + rule_text(section=f"provider.{name}", trigger=HALF)
        for name in ("one", "two")
    )
    engine = engine_of(sections)
    records = [
        seen(NOON, site_name=host, peer_address={"name": host, "addr": "192.0.2.1"})
        for host in ("mx.two.example", "mx.one.example")
        for _ in range(9)
    ]

    made = judged(engine, records)

    assert sorted((one.rule, one.scope.ready_queue) for one in made) == [
        ("provider.one", "ip-1->mx.one.example@smtp_client"),
        ("provider.two", "ip-1->mx.two.example@smtp_client"),
    ]


# -- memory


def everything(engine, verdict):
    """Return what the store would keep of a verdict."""
    return (
        verdict.marks,
        {name: engine.window_state(name) for name in verdict.windows},
        {name: engine.adjusted_state(name) for name in verdict.adjusted},
    )


def recalled(texts, *kept):
    engine = engine_of(*texts)
    for marks, windows, adjusted in kept:
        for mark in marks:
            engine.recall(mark)
        for name, state in windows.items():
            engine.recall_window(name, state)
        for name, held in adjusted.items():
            if held is not None:
                engine.recall_adjusted(name, *held)
    return engine


def test_after_a_restart_a_threshold_goes_on_and_knows_its_records():
    texts = [rule_text(trigger='{ Threshold = "3/hour" }')]
    engine, records = engine_of(*texts), [seen(NOON), seen(NOON + 1)]
    kept = everything(engine, see(engine, *records))

    again = recalled(texts, kept)

    assert see(again, *records).made == []
    assert len(see(again, seen(NOON + 2)).made) == 1


def test_after_a_restart_an_adjustment_by_a_threshold_knows_its_records_too():
    texts = [TWENTY, rule_text(ADJUST, trigger='{ Threshold = "3/hour" }')]
    engine, records = engine_of(*texts), [seen(NOON), seen(NOON + 1)]
    kept = everything(engine, see(engine, *records))

    again = recalled(texts, kept)

    assert judged(again, records) == []
    assert [one.value for one in judged(again, [seen(NOON + 2)])] == [10]


def test_after_a_restart_open_seconds_are_judged_and_values_rise():
    texts = [TWENTY, rule_text(ADJUST), rule_text(trigger=HALF)]
    engine = engine_of(*texts)
    first = everything(engine, see(engine, *(seen(NOON) for _ in range(9))))

    again = recalled(texts, first)
    made = again.settle(NOON + 1)
    second = everything(again, made)
    assert {decision.kind for decision, _ in made.made} == {
        DecisionKind.OVERRIDE,
        DecisionKind.SUSPEND_READY,
    }

    last = recalled(texts, second)
    assert values(settled(last, NOON + 600)) == [15]


def test_what_no_rule_asks_for_any_more_is_not_recalled():
    texts = [rule_text(trigger='{ Threshold = "3/hour" }'), rule_text(trigger=HALF)]
    engine = engine_of(*texts)
    kept = everything(engine, see(engine, *(seen(NOON) for _ in range(2))))

    again = recalled([rule_text('"Bounce"')], kept)

    assert again.next_due_at is None
    assert again.forget_stale(NOON) == []


def test_a_copy_of_an_adjusted_value_does_not_change_with_it():
    engine = engine_of(TWENTY, rule_text(ADJUST))
    verdict = Verdict()
    engine.see(seen(NOON), verdict)
    (name,) = engine.settle(NOON + 1).adjusted
    before = engine.adjusted_state(name)

    settled(engine, NOON + 600)

    assert before[0].amount == 10
    assert engine.adjusted_state(name)[0].amount == 15


def test_windows_that_can_count_no_more_are_forgotten_and_named():
    engine = engine_of(rule_text(trigger='{ Threshold = "3/hour" }'), rule_text(trigger=HALF))
    names = see(engine, seen(NOON)).windows
    assert engine.forget_stale(NOON + 10_000) == [], "its second was not judged"
    settled(engine, NOON + 1)

    assert engine.forget_stale(NOON + 30) == []
    assert set(engine.forget_stale(NOON + 90)) == names
    assert all(engine.window_state(name) is None for name in names)


@pytest.mark.parametrize("action", ['"Suspend"', ADJUST], ids=["at once", "by the second"])
def test_of_very_many_scopes_those_in_use_go_on_counting(monkeypatch, action):
    monkeypatch.setattr(rule_engine, "WINDOWS_MAX", 10)
    engine = engine_of(TWENTY, rule_text(action, trigger='{ Threshold = "3/hour" }'))
    for number in range(40):
        see(engine, seen(NOON, site_name=f"mx{number}.example"))

    def made_after(count, site):
        return judged(engine, [seen(NOON, site_name=site) for _ in range(count)])

    assert made_after(1, "mx39.example") == []
    assert len(made_after(1, "mx39.example")) == 1, "the third of them"
    assert made_after(2, "mx0.example") == [], "its first was forgotten"
    assert len(made_after(3, "new.example")) == 1, "there is room for new ones"


def test_the_number_of_keys_is_bounded(monkeypatch):
    monkeypatch.setattr(rule_engine, "KEYS_MAX", 10)
    engine = engine_of(rule_text('"Bounce"'))
    first = seen(NOON)
    see(engine, first, *(seen(NOON) for _ in range(20)))

    assert len(see(engine, first).made) == 1


def test_the_longest_period_is_that_of_the_rules_in_force():
    engine = engine_of(rule_text('"Bounce"'))
    assert engine.longest_window_s == 0.0

    engine.replace_rules(
        shaping_of(rule_text(trigger='{ Threshold = "3/2h" }') + rule_text(trigger=HALF))
    )
    assert engine.longest_window_s == 7200.0
