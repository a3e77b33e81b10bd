"""A node drained: begun, looked at until nothing is left, cancelled; and the exit status."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.drain import AWAY_S, drain, drain_cancel, drain_status, is_over, tell
from engine.cli.errors import NodeAwayError, NodeRefusedError
from tests.fakes.operator_session import FakeNode, FakeTerminal, help_of, verb_status

TARGET = "http://10.0.0.2:8000"
DRAIN = "/api/admin/drain/v1"


def report(left=0, *, draining=True, **more):
    values = {
        "draining": draining,
        "is_empty": draining and not left,
        "left": left,
        "scheduled": left,
        "ready": 0,
        "in_flight": 0,
        "receiving": 0,
        "stranded": 0,
        "is_recovering": False,
        "transferred": 0,
        "failed": 0,
        "last_error": None,
    }
    return {**values, **more}


class Node(FakeNode):
    """Answers with one report after the other; the last one again and again."""

    def __init__(self, *reports):
        super().__init__()
        self.reports = list(reports)

    async def call(self, method, path, *, query=None, body=None):
        assert path == DRAIN
        self.calls.append((method, body))
        found = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
        if isinstance(found, Exception):
            raise found
        return found


async def run(node, *arguments, made=drain):
    terminal = FakeTerminal()
    return await verb_status(made, *arguments, node=node, terminal=terminal), terminal


async def test_a_drain_is_begun_and_looked_at_until_nothing_is_left():
    node = Node(report(5), report(5), report(2), report(0, transferred=5))
    status, terminal = await run(node, "--to", TARGET, "--reason", "old")

    assert status == 0
    assert node.calls[0] == ("POST", {"target": TARGET, "reason": "old"})
    assert [call[0] for call in node.calls[1:]] == ["GET"] * 3
    assert terminal.text == "left 0; transferred 5\n"
    assert "left 2 (2 scheduled)" in terminal.notes


async def test_without_waiting_it_is_enough_that_the_node_obeys():
    node = Node(report(5))
    status, terminal = await run(node, "--to", TARGET, "--no-wait", "--json")

    assert (status, len(node.calls)) == (0, 1)
    assert json.loads(terminal.text)["left"] == 5


@pytest.mark.parametrize("ask", [(drain, "--status"), (drain_status,)])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (report(5), 1),
        (report(0), 0),
        (report(0, is_empty=False), 1),
        (report(0, draining=False), 0),
        (report(0, draining=False, is_recovering=True), 1),
        (report(3, draining=False), 1),
    ],
)
async def test_the_status_says_whether_anything_is_left(ask, answer, expected):
    node = Node(answer)
    made, *arguments = ask
    status, _ = await run(node, *arguments, made=made)
    assert (status, node.calls) == (expected, [("GET", None)])


@pytest.mark.parametrize("ask", [(drain, "--status", "--wait"), (drain_status, "--wait")])
async def test_the_status_can_be_looked_at_until_nothing_is_left(ask):
    made, *arguments = ask
    assert (await run(Node(report(5), report(2), report(0)), *arguments, made=made))[0] == 0


async def test_looking_on_ends_in_time():
    status, terminal = await run(Node(report(5)), "--to", TARGET, "--timeout", "0")
    assert status == 1
    assert "left 5" in terminal.text


async def test_a_drain_that_somebody_cancels_is_not_waited_for():
    node = Node(report(5), report(5, draining=False))
    status, terminal = await run(node, "--to", TARGET)
    assert status == 1
    assert "no drain is under way" in terminal.text


@pytest.mark.parametrize("ask", [(drain, "--cancel"), (drain_cancel,)])
async def test_a_drain_is_cancelled(ask):
    node = Node(report(3, draining=False))
    made, *arguments = ask

    status, terminal = await run(node, *arguments, made=made)
    _, program = await run(node, *arguments, "--json", made=made)

    assert (status, node.calls[0]) == (0, ("DELETE", None))
    assert terminal.notes == "the drain is cancelled; the node takes mail again\n"
    assert json.loads(program.text)["left"] == 3


async def test_a_refusal_ends_the_command():
    node = Node(NodeRefusedError("the node answers 404: the node is not being drained", 404))
    with pytest.raises(NodeRefusedError):
        await run(node, "--cancel")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--cancel", "--status"),
        ("--cancel", "--to", TARGET),
        ("--cancel", "--wait"),
        ("--to", "nowhere"),
    ],
)
async def test_wrong_usage_asks_the_node_for_nothing(arguments):
    node = Node(report())
    with pytest.raises(click.UsageError):
        await run(node, *arguments)
    assert node.calls == []


# -- looking on


async def test_a_node_that_restarts_meanwhile_is_waited_for():
    node = Node(report(5), *[NodeAwayError("away")] * 20, report(0))
    assert (await run(node, "--wait", made=drain_status))[0] == 0


async def test_a_node_that_stays_away_is_given_up():
    node = Node(report(5), NodeAwayError("away"))
    with pytest.raises(NodeAwayError):
        await run(node, "--wait", made=drain_status)
    assert AWAY_S <= len(node.calls) <= AWAY_S + 3


async def test_a_node_that_never_answered_in_time_is_no_report():
    node = Node(NodeAwayError("away"))
    with pytest.raises(NodeAwayError, match="in time"):
        await run(node, "--wait", "--timeout", "5", made=drain_status)


async def test_the_last_report_counts_when_the_time_is_over_while_the_node_is_away():
    node = Node(report(5), NodeAwayError("away"))
    status, terminal = await run(node, "--wait", "--timeout", "5", made=drain_status)
    assert status == 1
    assert "left 5" in terminal.text


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            report(1234, ready=2, in_flight=1, receiving=3, stranded=4),
            "left 1,234 (1,234 scheduled, 2 ready, 1 in flight, 3 being received, 4 on disk only);"
            " transferred 0",
        ),
        (
            report(5, failed=2, last_error="it answered 503"),
            "left 5 (5 scheduled); transferred 0; failed attempts 2; last error: it answered 503",
        ),
        (report(0, is_recovering=True), "left 0; the spool is still being read; transferred 0"),
        (report(0, draining=False), "left 0; no drain is under way"),
    ],
)
def test_a_report_is_a_line(answer, line):
    assert tell(answer) == line


def test_nothing_is_left_of_an_empty_node_without_a_drain():
    assert is_over(report(0, draining=False))


def test_the_help_is_a_manual():
    text = help_of(drain)
    assert "Exit status" in text
    assert "cirrus drain --to" in text
