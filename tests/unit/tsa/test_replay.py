"""What rules would have decided about records of the past."""

from __future__ import annotations

from engine.base.shaping_source import parse_shaping
from engine.model.decision import DecisionKind
from engine.model.log_record import RecordKind
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_warmup import day_of
from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.publication import format_overlay
from tsa.replay import Replay, compare, describe_subject, unwanted_kinds

ADJUST = (
    '{ AdjustConfig = { name = "connection_limit", floor = 2, factor = 0.5, step = 0.25, '
    'quiet = "10 minutes" } }'
)
TWENTY = "[default]\nconnection_limit = 20\n"


def replayed(text, records, *, until=None):
    replay = Replay(shaping_of(text))
    for one in records:
        replay.see(one)
    replay.finish(until if until is not None else max(one.at for one in records))
    return replay.episodes


def test_a_threshold_decides_with_the_record_that_completes_it():
    records = [seen(NOON + 60 * number) for number in range(5)]

    (one,) = replayed(rule_text(trigger='{ Threshold = "3/hour" }'), records)

    assert one.decision.kind is DecisionKind.SUSPEND_READY
    assert one.begins_at == NOON + 120
    assert one.ends_at == NOON + 240 + 3600
    assert one.decision.count == 3
    assert one.decision.place == "rules.toml:1"
    assert one.decision.first_record_id == records[2].record_id
    assert describe_subject(one.decision) == "ip-1->mx.big.example@smtp_client"


def test_a_decision_that_ran_out_and_is_made_again_is_another_one():
    found = replayed(rule_text(duration="10 minutes"), [seen(NOON), seen(NOON + 601)])

    assert [(one.begins_at, one.ends_at) for one in found] == [
        (NOON, NOON + 600),
        (NOON + 601, NOON + 1201),
    ]


def test_an_adjusted_value_falls_with_complaints_and_rises_at_its_exact_times():
    records = [seen(NOON), seen(NOON + 90), seen(NOON + 100_000, reply="250 fine")]

    (one,) = replayed(TWENTY + rule_text(ADJUST), records)

    assert one.changes == [
        (NOON, 10),
        (NOON + 90, 5),
        (NOON + 690, 10),
        (NOON + 1290, 15),
    ]
    assert one.ends_at == NOON + 1890


def test_an_adjusted_value_rises_also_after_the_last_record_up_to_the_end_of_the_log():
    (one,) = replayed(TWENTY + rule_text(ADJUST), [seen(NOON)], until=NOON + 700)

    assert one.changes == [(NOON, 10), (NOON + 600, 15)]


def test_an_adjusted_value_that_is_back_at_once_ends_then():
    fast = ADJUST.replace("0.25", "1.0")

    (one,) = replayed(TWENTY + rule_text(fast), [seen(NOON)], until=NOON + 10_000)

    assert (one.changes, one.ends_at, one.decision.count) == ([(NOON, 10)], NOON + 600, 1)


def test_the_same_records_give_the_same_decisions():
    text = TWENTY + rule_text(ADJUST) + rule_text(trigger='{ Threshold = "2/hour" }')
    records = [seen(NOON + 37 * number, egress_source=f"ip-{number % 3}") for number in range(50)]

    first, second = replayed(text, records), replayed(text, records)

    assert [(one.decision, one.changes) for one in first] == [
        (one.decision, one.changes) for one in second
    ]


def test_a_proportion_counts_the_outcomes_it_is_of_and_no_others():
    trigger = '{ Proportion = { of = "Deferred", over = "50%", within = "1h", at_least = 4 } }'
    text = rule_text(trigger=trigger, regex=None)
    failed = [seen(NOON + n, type="Bounce", reply="550 no such user") for n in range(9)]
    complaints = [seen(NOON + n, type="Feedback") for n in range(9)]
    deferred = [seen(NOON + 20 + n) for n in range(10)]

    assert replayed(text, failed + complaints) == []
    (one,) = replayed(text, failed + complaints + deferred)
    assert one.begins_at == NOON + 29


def test_deliveries_are_read_only_if_a_rule_counts_proportions():
    counting = rule_text(trigger='{ Proportion = { over = 0.5, within = "1h", at_least = 4 } }')

    assert RecordKind.DELIVERY in unwanted_kinds([shaping_of(rule_text())])
    assert RecordKind.DELIVERY not in unwanted_kinds(
        [shaping_of(rule_text()), shaping_of(counting)]
    )


def changes_between(before, after, records):
    return compare(replayed(before, records), replayed(after, records))


def test_a_rule_that_stands_elsewhere_changes_nothing():
    records = [seen(NOON + n) for n in range(5)]

    assert changes_between(rule_text(), "# moved\n\n" + rule_text(), records) == []


def test_a_comparison_names_decisions_that_are_new_and_those_that_are_gone():
    records = [seen(NOON), seen(NOON + 1, egress_source="ip-2", reply="451 go away")]

    gone, new = changes_between(rule_text(), rule_text(regex="go away"), records)

    assert (describe_subject(gone.before.decision), gone.after) == (
        "ip-1->mx.big.example@smtp_client",
        None,
    )
    assert (new.before, describe_subject(new.after.decision)) == (
        None,
        "ip-2->mx.big.example@smtp_client",
    )


def test_a_comparison_names_what_differs_of_a_decision_that_both_make():
    records = [seen(NOON + 60 * n) for n in range(4)]

    (one,) = changes_between(
        rule_text('{ SetConfig = { name = "connection_limit", value = 2 } }'),
        rule_text(
            '{ SetConfig = { name = "connection_limit", value = 3 } }',
            trigger='{ Threshold = "2/hour" }',
            duration="2 hours",
        ),
        records,
    )

    assert one.differences == ("begins", "expires", "value", "count")
    assert (one.before.changes, one.after.changes) == ([(NOON, 2)], [(NOON + 60, 3)])


def test_decisions_at_different_times_are_not_taken_for_one():
    records = [seen(NOON), seen(NOON + 7200, reply="451 go away")]

    found = changes_between(rule_text(), rule_text(regex="go away"), records)

    assert [(one.before is None, one.after is None) for one in found] == [
        (False, True),
        (True, False),
    ]


PAUSE = """
[provider.big]
match = [{ DomainSuffix = "big.example" }]

[warmup.ip-1]
start = "2027-01-15"
schedule = [{ day = 1, max_message_rate = "10/h" }, { day = 2, max_message_rate = "20/h" }]
"""
DAY_S = 86_400


def caps_after(text, episodes, days, domain="big.example"):
    """Return the rate of the source on some days, counted from that of NOON."""
    overlay = parse_shaping(format_overlay([one.decision for one in episodes]).encode(), "overlay")
    shaping, findings = merge_layers(
        [parse_shaping(text.encode(), "rules.toml"), overlay], {}, LoadOptions()
    )
    assert findings == ()
    return [
        shaping.resolve(domain, "ip-1", "", on=day_of(NOON + DAY_S * day)).options()[
            "max_message_rate"
        ]
        for day in days
    ]


def test_a_bad_signal_has_the_day_of_a_warm_up_repeated():
    text = PAUSE + rule_text('"PauseWarmup"', trigger='{ Threshold = "2/hour" }')
    records = [seen(NOON), seen(NOON + 60), seen(NOON + 90)]

    (one,) = found = replayed(text, records)

    assert one.decision.kind is DecisionKind.WARMUP_HOLD
    assert describe_subject(one.decision) == "source ip-1, day 2027-01-15"
    assert caps_after(text, [], [0, 1]) == ["10/h", "20/h"]
    assert caps_after(text, found, [0, 1, 2]) == ["10/h", "10/h", "20/h"]


def test_bad_signals_on_days_one_after_the_other_hold_the_day_until_they_end_in_any_order():
    text = PAUSE + rule_text('"PauseWarmup"')
    records = [seen(NOON + DAY_S * day) for day in (2, 0, 1, 1)]

    found = replayed(text, records)

    assert caps_after(text, found, range(6)) == ["10/h"] * 4 + ["20/h"] * 2


def test_a_pause_lasts_as_many_days_as_the_rule_says():
    text = PAUSE + rule_text('"PauseWarmup"', duration="3 days")

    assert caps_after(text, replayed(text, [seen(NOON)]), range(5)) == ["10/h"] * 4 + ["20/h"]


def test_a_provider_pauses_the_warm_up_of_its_own_sites_only():
    text = PAUSE + rule_text('"PauseWarmup"', section="provider.big")

    found = replayed(text, [seen(NOON), seen(NOON, recipient="user@other.example")])

    assert [describe_subject(one.decision) for one in found] == [
        "source ip-1, provider big, day 2027-01-15"
    ]
    assert caps_after(text, found, [1]) == ["10/h"]
    assert caps_after(text, found, [1], domain="other.example") == ["20/h"]


def test_a_source_that_is_not_warmed_up_has_nothing_to_pause():
    text = PAUSE + rule_text('"PauseWarmup"')

    assert replayed(text, [seen(NOON, egress_source="ip-2")]) == []


def test_the_window_of_a_pause_goes_on_over_midnight():
    midnight = NOON - NOON % DAY_S + DAY_S
    text = PAUSE + rule_text('"PauseWarmup"', trigger='{ Threshold = "2/hour" }')

    (one,) = replayed(text, [seen(midnight - 60), seen(midnight + 60)])

    assert one.decision.scope.day == "2027-01-16"


def test_an_adjustment_begins_at_what_a_warm_up_allows_on_the_day_of_the_record():
    adjust = '{ AdjustConfig = { name = "max_message_rate", floor = "1/h" } }'
    text = '[default]\nmax_message_rate = "100/s"\n' + PAUSE + rule_text(adjust)

    first, second = (replayed(text, [seen(NOON + DAY_S * day)])[0] for day in (0, 1))

    assert [one.decision.value for one in (first, second)] == [
        "5/h,max_burst=1",
        "10/h,max_burst=1",
    ]


def test_an_adjustment_begins_at_the_value_of_the_provider_whose_host_replied():
    text = '[provider.big]\nmatch = [{ MXSuffix = ".big.example" }]\nconnection_limit = 8\n'

    (one,) = replayed(text + rule_text(ADJUST, section="provider.big"), [seen(NOON)])

    assert one.changes == [(NOON, 4)]
