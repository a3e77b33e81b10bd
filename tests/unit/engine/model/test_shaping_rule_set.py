"""Rules as a set, and which records a node need not send."""

from __future__ import annotations

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.log_record import EnhancedCode, LogRecord, RecordKind, Response
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_rule_set import RecordFilter, RuleSet, reply_line, tells_of_hold

RULES = """
[[default.automation]]
regex = ["slow down", "4[.]7[.]28"]
action = "Suspend"
duration = "1h"

[[default.automation]]
regex = "busy(?! bee)"
action = "Suspend"
duration = "1h"

[[default.automation]]
regex = "off"
action = "Suspend"
duration = "1h"
enabled = false
"""
PROPORTION = """
[[default.automation]]
regex = "x"
action = "Suspend"
duration = "1h"
trigger = {Proportion = {over = 0.5, within = "10m", at_least = 5}}
"""


def shaping(text):
    layer = parse_shaping(text.encode(), "rules.toml")
    made, found = merge_layers([layer], {}, LoadOptions())
    assert [one for one in (*layer.findings, *found) if one.severity == "error"] == []
    return made


def record(content, kind=RecordKind.TRANSIENT_FAILURE):
    return LogRecord(kind=kind, response=Response(451, None, content, "DATA"))


def test_a_reply_is_matched_as_one_line_with_its_codes():
    response = Response(421, EnhancedCode(4, 7, 28), "slow\ndown", "DATA")

    assert reply_line(response) == "421 4.7.28 slow down"
    assert reply_line(None) == ""


def test_the_rules_that_look_for_a_reply_are_found_in_their_order():
    rules = RuleSet(shaping(RULES).all_rules())

    assert rules.matching("421 4.7.28 please slow down, busy") == [0, 1]
    assert rules.matching("451 busy bee") == []
    assert rules.matching("451 fine \ud800") == []


@pytest.mark.parametrize(
    ("content", "is_wanted"), [("slow down", True), ("busy", True), ("off", False), ("ok", False)]
)
def test_only_records_that_a_rule_could_count_are_wanted(content, is_wanted):
    assert RecordFilter(shaping(RULES)).wants(record(content)) is is_wanted


def test_deliveries_are_wanted_where_a_rule_counts_proportions():
    delivery = record("ok", RecordKind.DELIVERY)

    assert not RecordFilter(shaping(RULES)).wants(delivery)
    assert RecordFilter(shaping(RULES + PROPORTION)).wants(delivery)


def test_kinds_that_say_nothing_of_a_destination_are_never_wanted():
    assert not RecordFilter(shaping(RULES)).wants(record("slow down", RecordKind.RECEPTION))


def test_without_rules_nothing_is_wanted():
    assert not RecordFilter(shaping("")).wants(record("slow down"))


@pytest.mark.parametrize(
    ("response", "is_hold"),
    [
        (Response(451, None, "scheduled queue is suspended: slow down (by TSA x)"), True),
        (Response(451, None, "no source of pool p is eligible: a: slow down (by TSA x)"), True),
        (Response(451, None, "no source of pool p is eligible: slow down", "RCPT"), False),
        (Response(451, None, "cannot resolve x"), False),
        (None, False),
    ],
)
def test_what_the_node_says_of_mail_it_holds_is_told_apart(response, is_hold):
    assert tells_of_hold(response) is is_hold
