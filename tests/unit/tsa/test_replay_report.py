"""What a replay found, as tables and as documents."""

from __future__ import annotations

import io
import json

from rich.console import Console

from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.log_source import LogTally
from tsa.replay import Replay, compare
from tsa.replay_report import (
    changes_document,
    changes_table,
    episode_document,
    episodes_table,
    shown_value,
    tally_document,
)

SET = '{{ SetConfig = {{ name = "connection_limit", value = {} }} }}'


def replayed(text, *records):
    replay = Replay(shaping_of(text))
    for record in records:
        replay.see(record)
    return replay


def printed(table):
    out = io.StringIO()
    Console(file=out, width=250).print(table)
    return out.getvalue()


def test_a_decision_is_shown_with_its_times_value_count_and_rule():
    replay = replayed(rule_text(SET.format(2)), seen(NOON), seen(NOON + 60))

    shown = printed(episodes_table(replay.episodes))

    for text in (
        "2027-01-15 08:00:00",
        "2027-01-15 09:01:00",
        "set",
        "site_name mx.big.example, source ip-1, connection_limit",
        "rules.toml:1: slow down",
    ):
        assert text in shown
    (document,) = (episode_document(one) for one in replay.episodes)
    assert (document["begins"], document["expires"]) == (
        "2027-01-15T08:00:00Z",
        "2027-01-15T09:01:00Z",
    )
    assert document["values"] == [{"time": "2027-01-15T08:00:00Z", "value": 2}]
    assert (document["count"], document["place"]) == (2, "rules.toml:1")


def test_of_many_values_the_first_and_the_last_are_shown():
    replay = replayed(rule_text(SET.format(2)), seen(NOON))
    replay.episodes[0].changes = [(NOON + number, number) for number in range(20)]

    assert "0 > 1 > 2 > 3 > 4 > (14 more) > 19" in printed(episodes_table(replay.episodes))


def test_what_records_hold_can_neither_mark_up_nor_control_a_terminal():
    record = seen(NOON, ready_queue="[red]\x1b[2Jip-1")

    shown = printed(episodes_table(replayed(rule_text(), record).episodes))

    assert "[red]" in shown
    assert "\x1b" not in shown


def test_a_comparison_shows_what_is_new_gone_and_different():
    records = [seen(NOON), seen(NOON, egress_source="ip-2", reply="451 go"), seen(NOON + 1)]
    other = rule_text('"Suspend"', regex="go")
    before = replayed(rule_text('"Suspend"') + rule_text(SET.format(2)), *records)
    after = replayed(other + rule_text(SET.format(3)), *records)

    changes = compare(before.episodes, after.episodes)

    shown = printed(changes_table(changes))
    document = json.loads(json.dumps(changes_document(changes)))
    for text in ("gone", "new", "differs", "value: 2 -> 3"):
        assert text in shown
    assert [one["scope"]["source"] for one in document["only_before"]] == ["ip-1"]
    assert [one["scope"]["source"] for one in document["only_after"]] == ["ip-2"]
    (different,) = document["different"]
    assert different["differences"] == ["value"]
    assert (different["before"]["value"], different["after"]["value"]) == (2, 3)


def test_what_was_read_is_told_also_when_it_was_nothing():
    assert tally_document(LogTally(), 0) == {
        "files": 0,
        "records": 0,
        "looked_at": 0,
        "bad_lines": 0,
        "first": None,
        "last": None,
        "problems": [],
    }


def test_values_are_shown_as_they_are_written():
    assert [shown_value(one) for one in ("10/s", 3, {"a": 1}, True)] == [
        "10/s",
        "3",
        '{"a": 1}',
        "true",
    ]
