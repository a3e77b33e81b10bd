"""The lists of ``cirrus top``."""

from __future__ import annotations

import pytest

from engine.cli.spans import Style
from engine.cli.top_controls import View
from engine.cli.top_lists import list_of
from engine.cli.top_state import TopState
from tests.fakes.top_world import (
    AUTOMATION,
    DECISIONS,
    NOW_AT,
    QUEUES,
    REASON,
    SAMPLE,
    SUSPENSION,
    history,
)

LISTS = (View.QUEUES, View.READY, View.PROVIDERS, View.REASONS, View.DECISIONS)


def known() -> TopState:
    state = TopState(queues=QUEUES, automation=dict(AUTOMATION), decisions=DECISIONS)
    state.note_answer(NOW_AT)
    state.take_history(history(SAMPLE), 1000.0)
    return state


def cells(view: View, state: TopState | None = None, wanted: str = "") -> list[list[str]]:
    return [[str(cell) for cell in row] for row in list_of(view, state or known(), wanted).rows]


def test_queues_are_told_with_what_holds_them():
    listed = list_of(View.QUEUES, known(), "")

    assert listed.rows == [
        ("acme@big.example", "900", "12", "0", ""),
        ("beta@other.example", "303", "0", "303", "held: their request (by ops)"),
    ]
    assert listed.summary == "2"
    assert listed.styles == [Style.PLAIN, Style.WARN]


def test_ready_queues_are_told_with_what_limits_them():
    assert cells(View.READY) == [["mx.big.example", "ip-1", "7", "2", "limited: connection_limit"]]


def test_it_is_said_of_how_many_queues_those_are():
    state = known()
    state.queues = dict(QUEUES, scheduled_matching=12345)
    assert list_of(View.QUEUES, state, "").summary == "2 of 12.3k"

    state.queues = dict(QUEUES, scheduled=[], scheduled_matching=0)
    assert list_of(View.QUEUES, state, "").summary == "none of 5 has mail"

    state.queues = dict(QUEUES, scheduled=[], scheduled_matching=0, scheduled_total=0)
    assert list_of(View.QUEUES, state, "").summary == "none"


def test_providers_are_told_with_their_rates():
    assert cells(View.PROVIDERS) == [
        ["big", "6.0", "2.0", "0", "900", "2"],
        ["mx.fine.example", "2.0", "0", "1.0", "0", "1"],
    ]


def test_a_small_rate_is_not_shown_as_none():
    state = known()
    state.samples[-1]["seconds"] = 100_000.0
    try:
        assert cells(View.PROVIDERS, state)[0][1] == "0.01"
    finally:
        state.samples[-1]["seconds"] = 10.0


def test_reasons_are_told_with_the_words_of_the_host():
    assert cells(View.REASONS) == [
        ["451 4.7.28 too much mail, slow down", "big", "26", "deferred", "09:59:58"]
    ]


def test_mail_that_was_given_up_stands_out():
    state = known()
    state.reasons = [dict(REASON, is_permanent=True, code=550, enhanced="", text="no such user")]

    listed = list_of(View.REASONS, state, "")
    assert listed.rows[0][:1] == ("550 no such user",)
    assert listed.rows[0][3] == "failed"
    assert listed.styles == [Style.BAD]


def test_decisions_are_told_with_their_reason_and_end():
    assert cells(View.DECISIONS) == [
        [
            "set option",
            "max_message_rate=1.5/s site mx.big.example",
            "they said slow down",
            "provider.big",
            "1h",
        ]
    ]


def test_a_decision_that_the_node_does_not_go_by_says_so():
    state = known()
    state.decisions = {"decisions": [dict(DECISIONS["decisions"][0], in_force=False)]}

    assert cells(View.DECISIONS, state)[0][2] == "(not in force) they said slow down"


def test_a_kind_of_decision_that_is_not_known_yet_is_shown_by_its_name():
    state = known()
    one = {"kind": "NewKind", "scope": {"ready_queue": "ip->mx@smtp"}, "expires": "soon"}
    state.decisions = {"decisions": [one]}

    assert cells(View.DECISIONS, state) == [["NewKind", "ip->mx@smtp", "", "", ""]]


def test_what_operators_hold_is_among_the_decisions():
    state = known()
    by_name = {"name": "ip-1", "reason": "listed", "author": "ops", "expires": "x"}
    state.directives = {
        "suspensions": [SUSPENSION, dict(SUSPENSION, tenant=None, queue_names=["a@b", "c@d"])],
        "source suspensions": [by_name],
        "bounces": [dict(SUSPENSION, tenant=None)],
    }

    assert [row[:2] for row in cells(View.DECISIONS, state)[1:]] == [
        ["suspend", "tenant beta"],
        ["suspend", "a@b, c@d"],
        ["suspend source", "ip-1"],
        ["bounce", "everything"],
    ]


@pytest.mark.parametrize(("decisions", "count"), [(None, 1), ({"decisions": []}, 0)])
def test_what_a_tsa_holds_is_told_once(decisions, count):
    state = known()
    state.decisions = decisions
    state.directives = {"suspensions": [dict(SUSPENSION, author="TSA http://tsa.example:8008")]}

    assert len(cells(View.DECISIONS, state)) == count


@pytest.mark.parametrize(
    ("known_of", "told"),
    [
        (AUTOMATION, "follows http://tsa.example:8008"),
        (dict(AUTOMATION, enabled=False), "no TSA is followed"),
        (
            dict(AUTOMATION, subscribed_to="", trouble="connection refused"),
            "NO TSA ANSWERS: connection refused",
        ),
        (dict(AUTOMATION, subscribed_to=""), "NO TSA ANSWERS: not connected"),
        ({}, "asking"),
    ],
)
def test_it_is_said_whether_a_tsa_is_followed(known_of, told):
    state = known()
    state.automation = dict(known_of)

    summary = list_of(View.DECISIONS, state, "").summary
    assert summary.endswith(told)
    assert "suspensions 2, bounces 0" in summary


def test_a_filter_leaves_what_has_a_text():
    assert [row[0] for row in cells(View.PROVIDERS, wanted="FINE")] == ["mx.fine.example"]
    assert cells(View.REASONS, wanted="no such") == []
    assert cells(View.DECISIONS, wanted="slow down") != []
    assert cells(View.DECISIONS, wanted="speed up") == []


@pytest.mark.parametrize("view", LISTS)
def test_a_list_that_was_not_answered_is_not_shown_as_empty(view):
    assert "asking" in list_of(view, TopState(), "").summary

    refused = TopState(refused=dict.fromkeys(["queues", "history", "automation"], "401: no"))
    assert "not known: 401: no" in list_of(view, refused, "").summary


def test_a_list_with_nothing_in_it_says_so():
    state = known()
    state.reasons = []
    assert list_of(View.REASONS, state, "").summary == "no failure in the last hour"

    state.samples = [dict(SAMPLE, providers=[])]
    assert list_of(View.PROVIDERS, state, "").summary == "none had mail in the last minute"

    state.samples = []
    assert list_of(View.PROVIDERS, state, "").summary == "no sample yet"
