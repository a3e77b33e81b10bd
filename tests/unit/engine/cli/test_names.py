"""Names to complete with."""

from __future__ import annotations

import click
import pytest

from engine.cli import names
from engine.cli.directives import bounce
from engine.cli.errors import NodeAwayError
from engine.cli.verb import Session
from tests.fakes.operator_session import FakeNode, FakeTerminal

QUEUES = "/api/admin/queues/v1"
ANSWER = {
    "scheduled": [{"queue_name": "c1:acme@a.test"}, {"queue_name": "beta@b.test!relay.test"}],
    "ready": [{"queue_name": "ip-1->a@smtp_client", "source": "ip-1"}],
}


def ask(complete, part="", answers=None):
    node = FakeNode({("GET", QUEUES): ANSWER} if answers is None else answers)
    context = click.Context(bounce, obj=Session(node, FakeTerminal()))
    return [one.value for one in complete(context, bounce.params[0], part)]


def test_live_names_are_offered_that_begin_so():
    assert ask(names.complete_queue) == ["beta@b.test!relay.test", "c1:acme@a.test"]
    assert ask(names.complete_queue, "c1") == ["c1:acme@a.test"]
    assert ask(names.complete_ready_queue, "ip") == ["ip-1->a@smtp_client"]
    assert ask(names.complete_source) == ["ip-1"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("domain", ["a.test", "b.test"]),
        ("tenant", ["acme", "beta"]),
        ("campaign", ["c1"]),
        ("routing_domain", ["relay.test"]),
    ],
)
def test_parts_of_queue_names_are_offered(field, expected):
    assert ask(names.complete_part(field)) == expected


def test_a_name_that_a_terminal_would_obey_or_a_shell_take_for_two_is_not_offered():
    waiting = [{"queue_name": f"{tenant}@a.test"} for tenant in ("\x9b2J", "a%0Aplain,b", "a b")]
    answers = {("GET", QUEUES): {"scheduled": waiting}}

    assert ask(names.complete_part("tenant"), "", answers) == ["a b"]
    assert ask(names.complete_queue, "", answers) == ["a b@a.test", "a%0Aplain,b@a.test"]


def test_ids_are_offered_of_what_is_in_force():
    answers = {("GET", "/list"): [{"id": "abc", "reason": "x"}, {"id": "zzz"}]}

    assert ask(names.complete_id("/list"), "a", answers) == ["abc"]


def test_spool_ids_are_offered():
    listed = [{"id": name, "state": "held", "queue_name": "q"} for name in ("cd", "ab", "ac")]
    answers = {("GET", "/api/admin/messages/v1"): {"messages": listed}}

    assert ask(names.complete_message, "a", answers) == ["ab", "ac"]


def test_a_node_that_is_away_offers_nothing():
    assert ask(names.complete_queue, "", {("GET", QUEUES): NodeAwayError("gone")}) == []
