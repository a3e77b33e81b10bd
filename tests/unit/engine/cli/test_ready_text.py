"""A ready queue in words."""

from __future__ import annotations

import pytest

from engine.cli.ready_text import (
    mark_of,
    show_ceilings,
    show_hosts,
    show_ready_queue,
    show_sessions,
)
from tests.fakes.operator_session import NOW_AT

CEILINGS = {
    "connections": [
        {"knob": "additional_connection_limits", "name": "shared", "value": "3"},
        {"knob": "connection_limit", "value": "10"},
    ],
    "connection_rates": [],
    "message_rates": [{"knob": "max_message_rate", "value": "5/s", "per_second": 5.0}],
    "source_selection_rates": [],
    "messages": [{"knob": "max_ready", "value": "1024"}],
}
SESSION = {
    "session_id": "0f5c2b7e-9a51-4d0c-8c8b-0f5c2b7e9a51",
    "started_at": "2026-03-01T02:00:00Z",
    "age": 60.0,
    "phase": "MailFrom",
    "detail": "mx1.a.test\x1b[2J",
    "time_in_current_phase": 1.0,
    "messages_delivered": 12,
    "messages_transfailed": 3,
    "messages_failed": 0,
    "delivered_this_connection": 4,
    "overall_rate_per_sec": 0.25,
}
ANSWER = {
    "queue_name": "ip-1->mx.a.test@smtp_client",
    "mx": {
        "domain_name": "a.test",
        "site_name": "mx.a.test",
        "hosts": ["mx1.a.test", "mx2.a.test", "mx3.a.test"],
        "by_pref": {"20": ["mx3.a.test"], "5": ["mx1.a.test", "mx2.a.test"]},
        "is_null": False,
    },
    "egress_source": "ip-1",
    "egress_pool": "pool",
    "protocol": "smtp_client",
    "routing_domain": "a.test",
    "state": {
        "ready_count": 7,
        "connection_count": 2,
        "watchdog_threshold": 600.0,
        "connection_limited": {"context": "shared: 3", "since": "2026-03-01T02:50:00Z"},
        "suspended": "too hot (by ann)",
    },
    "path_config": {"connection_limit": "10", "smtp_port": 25},
    "constraints": CEILINGS,
    "scheduled_queue_names": None,
    "dispatchers": [],
    "now": "2026-03-01T03:00:00Z",
}


def test_hosts_stand_by_preference_and_each_ceiling_names_its_knob():
    assert show_ready_queue(ANSWER, NOW_AT, None).splitlines() == [
        "queue           ip-1->mx.a.test@smtp_client",
        "egress pool     pool",
        "egress source   ip-1",
        "protocol        smtp_client",
        "routing domain  a.test",
        "ready           7 messages, 2 sessions",
        "stuck after     10m",
        "",
        "Hosts of a.test (site mx.a.test):",
        "      5  mx1.a.test mx2.a.test",
        "     20  mx3.a.test",
        "",
        "What limits it:",
        "  suspended: too hot (by ann)",
        "  connection limit: shared: 3, since 2026-03-01 02:50:00 (10m ago)",
        "",
        "Ceilings:",
        "  OF             VALUE  SET BY",
        "  connections    3      additional_connection_limits[shared]",
        "  connections    10     connection_limit",
        "  messages sent  5/s    max_message_rate",
        "  messages       1024   max_ready",
    ]


def test_what_nothing_limits_says_so():
    state = {"ready_count": 0, "connection_count": 0, "watchdog_threshold": 600.0}
    text = show_ready_queue({**ANSWER, "state": state, "mx": None}, NOW_AT, 80)
    assert "What limits it:\n  nothing\n" in text
    assert "Hosts" not in text


def test_a_domain_that_takes_no_mail_has_no_hosts():
    mx = {**ANSWER["mx"], "is_null": True}
    assert "".join(show_hosts(mx)) == "\na.test takes no mail (null MX)\n"


def test_ceilings_fit_the_terminal():
    text = "".join(show_ceilings(CEILINGS, 50))
    assert max(map(len, text.splitlines())) <= 50


def test_sessions_stand_by_age_and_those_that_hang_are_marked():
    young = {**SESSION, "detail": None, "age": 5.0}
    stuck = {**SESSION, "age": 7200.0, "time_in_current_phase": 600.0}

    text = show_sessions({**ANSWER, "dispatchers": [young, stuck]}, 80)

    lines = text.splitlines()[2:]
    assert lines[0].split() == ["SESSION", "DELIV", "TRANS", "FAIL", "AGE", "RATE"]
    assert lines[1].split() == [SESSION["session_id"], "12", "3", "0", "2h", "0.25/s"]
    assert lines[2:4] == ["      MailFrom for 10m  STUCK", "      mx1.a.test\\x1b[2J"]
    assert lines[5] == "      MailFrom for 1s"
    assert max(map(len, text.splitlines())) <= 80
    assert show_sessions(ANSWER, 80) == "\nNo session.\n"


@pytest.mark.parametrize(
    ("in_phase_s", "mark"), [(0, ""), (74.9, ""), (75, "STALL?"), (99.9, "STALL?"), (100, "STUCK")]
)
def test_a_session_is_marked_by_its_share_of_the_watchdogs_time(in_phase_s, mark):
    assert mark_of(in_phase_s, 100.0) == mark
