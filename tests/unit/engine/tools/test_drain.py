"""``cirrus drain``: begun, looked at until nothing is left, cancelled; and its exit status."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.tools import drain as drain_module
from engine.tools.drain import AWAY_S, drain, is_over, look_on, tell
from engine.tools.node_call import NodeAwayError, NodeCallError

TARGET = "http://10.0.0.2:8000"


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


class Node:
    """Answers with one report after the other; the last one again and again."""

    def __init__(self, *reports):
        self.reports = list(reports)
        self.calls = []
        self.now = 0.0

    def call(self, _endpoint, method, path, body=None):
        assert path == "/api/admin/drain/v1"
        self.calls.append((method, body))
        return self.next()

    def next(self):
        found = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
        if isinstance(found, Exception):
            raise found
        return found

    def mono(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def with_node(monkeypatch):
    def make(*reports):
        node = Node(*reports)
        monkeypatch.setattr(drain_module, "call_node", node.call)
        monkeypatch.setattr(drain_module, "LOOK_S", 0.0)
        return node

    return make


def run(*arguments):
    return CliRunner().invoke(drain, arguments, standalone_mode=False)


def test_a_drain_is_begun_and_looked_at_until_nothing_is_left(with_node):
    node = with_node(report(5), report(5), report(2), report(0, transferred=5))
    result = run("--to", TARGET, "--reason", "old")

    assert result.return_value == 0
    assert node.calls[0] == ("POST", {"target": TARGET, "reason": "old"})
    assert [call[0] for call in node.calls[1:]] == ["GET"] * 3
    assert result.stdout == "left 0; transferred 5\n"
    assert "left 2 (2 scheduled)" in result.stderr


def test_without_waiting_it_is_enough_that_the_node_obeys(with_node):
    node = with_node(report(5))
    result = run("--to", TARGET, "--no-wait", "--json")

    assert (result.return_value, len(node.calls)) == (0, 1)
    assert json.loads(result.stdout)["left"] == 5


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (report(5), 1),
        (report(0), 0),
        (report(0, is_empty=False), 1),
        (report(0, draining=False), 0),
        (report(0, draining=False, is_recovering=True), 1),
        (report(3, draining=False), 1),
    ],
)
def test_the_status_says_whether_anything_is_left(with_node, answer, status):
    node = with_node(answer)
    assert run("--status").return_value == status
    assert node.calls == [("GET", None)]


def test_the_status_can_be_looked_at_until_nothing_is_left(with_node):
    with_node(report(5), report(2), report(0))
    assert run("--status", "--wait").return_value == 0


def test_looking_on_ends_in_time(with_node):
    with_node(report(5))
    result = run("--to", TARGET, "--timeout", "0")
    assert result.return_value == 1
    assert "left 5" in result.stdout


def test_a_drain_that_somebody_cancels_is_not_waited_for(with_node):
    with_node(report(5), report(5, draining=False))
    result = run("--to", TARGET)
    assert result.return_value == 1
    assert "no drain is under way" in result.stdout


def test_a_drain_is_cancelled(with_node):
    node = with_node({})
    assert run("--cancel").return_value == 0
    assert node.calls == [("DELETE", None)]


def test_a_refusal_ends_the_command(with_node):
    with_node(NodeCallError("the node answers 404: the node is not being drained"))
    result = run("--cancel")
    assert isinstance(result.exception, NodeCallError)


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
def test_wrong_usage_asks_the_node_for_nothing(with_node, arguments):
    node = with_node(report())
    result = CliRunner().invoke(drain, arguments)
    assert (result.exit_code, node.calls) == (2, [])


# -- looking on


def test_a_node_that_restarts_meanwhile_is_waited_for():
    node = Node(report(5), *[NodeAwayError("away")] * 20, report(0))
    found = look_on(node.next, None, quiet=True, mono=node.mono, sleep=node.sleep)
    assert is_over(found)


def test_a_node_that_stays_away_is_given_up():
    node = Node(report(5), NodeAwayError("away"))
    with pytest.raises(NodeAwayError):
        look_on(node.next, None, quiet=True, mono=node.mono, sleep=node.sleep)
    assert AWAY_S <= node.now <= AWAY_S + 2


def test_a_node_that_never_answered_in_time_is_no_report():
    node = Node(NodeAwayError("away"))
    with pytest.raises(NodeAwayError, match="in time"):
        look_on(node.next, 5.0, quiet=True, mono=node.mono, sleep=node.sleep)


def test_the_last_report_counts_when_the_time_is_over_while_the_node_is_away():
    node = Node(report(5), NodeAwayError("away"))
    found = look_on(node.next, 5.0, quiet=True, mono=node.mono, sleep=node.sleep)
    assert found["left"] == 5


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


def test_the_help_is_a_manual():
    text = CliRunner().invoke(drain, ["--help"]).output
    assert "Exit status" in text
    assert "cirrus drain --to" in text
