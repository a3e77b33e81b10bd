"""An explained path as a table and as a document."""

from __future__ import annotations

import io
from datetime import date

from rich.console import Console

from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.explain import Explanation, OptionLine, Subject, explain
from tsa.explain_report import document, heading, holding_lines, options_table
from tsa.replay import Replay

SUBJECT = Subject("big.example", "ip-1", "mx.big.example", ("mx.big.example",), date(2027, 1, 15))


def made(text, *records):
    replay = Replay(shaping_of(text))
    for record in records:
        replay.see(record)
    decisions = [one.decision for one in replay.episodes]
    return explain(shaping_of(text), SUBJECT, decisions)


def test_an_option_is_shown_with_its_value_and_where_it_comes_from():
    found = made('[default]\nmax_message_rate = "10/s"\n')

    out = io.StringIO()
    Console(file=out, width=200).print(options_table(found))

    assert document(found)["options"] == [
        {
            "name": "max_message_rate",
            "value": "10/s",
            "origin": "rules.toml:2",
            "section": "default",
            "expires": None,
            "reason": None,
        }
    ]
    for text in ("max_message_rate", "10/s", "rules.toml:2", "default"):
        assert text in out.getvalue()


def test_the_heading_tells_what_is_known_and_what_is_not():
    known = made("[provider.big]\nmatch = [{ HostName = 'mx.big.example' }]\n")
    unknown = Explanation(Subject("a.example", "ip-1", "", None, date(2027, 1, 15)), [], [])

    assert heading(known) == [
        "domain     big.example",
        "source     ip-1",
        "site       mx.big.example",
        "MX hosts   mx.big.example",
        "providers  big",
    ]
    assert heading(unknown)[2:] == [
        "site       not known",
        "MX hosts   not looked up",
        "providers  none",
    ]


def test_what_holds_such_mail_is_a_line_with_end_reason_and_place():
    found = made(rule_text(), seen(NOON))

    assert holding_lines(found) == [
        "suspend ip-1->mx.big.example@smtp_client until 2027-01-15T09:00:00Z: "
        "automation rule: slow down (rules.toml:1)"
    ]
    (held,) = document(found)["holding"]
    assert (held["kind"], held["expires"]) == ("ReadyQSuspension", "2027-01-15T09:00:00Z")


def test_text_of_files_cannot_control_a_terminal():
    line = OptionLine("ehlo_domain", "[bold]\x1b[2J", "rules.toml:1", "default")
    out = io.StringIO()

    Console(file=out, width=200).print(options_table(Explanation(SUBJECT, [], [line])))

    assert "[bold]" in out.getvalue()
    assert "\x1b" not in out.getvalue()
