"""``cirrus xfer`` and ``cirrus xfer-cancel``: what a node is asked, and what is wrong usage."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.tools import xfer as xfer_module
from engine.tools.xfer import xfer, xfer_cancel

TARGET = "http://ann:pw@10.0.0.2:8000"
QUEUE = "http://10.0.0.2:8000/.xfer.kumomta.internal"
ALL = ("--target", TARGET, "--reason", "full")


@pytest.fixture
def asked(monkeypatch):
    """Return what a node was asked; it obeys."""
    calls = []

    def call(endpoint, method, path, body=None):
        calls.append((endpoint, method, path, body))
        return {"queue_name": QUEUE} if path.endswith("xfer/v1") else {}

    monkeypatch.setattr(xfer_module, "call_node", call)
    monkeypatch.delenv("CIRRUS_ENDPOINT", raising=False)
    return calls


def run(command, *arguments, **environment):
    return CliRunner().invoke(command, arguments, env=environment)


@pytest.mark.parametrize(
    ("selectors", "criteria"),
    [
        (("--domain", "a.test"), {"domain": "a.test"}),
        (
            ("--tenant", "t", "--campaign", "c", "--routing-domain", "r"),
            {"tenant": "t", "campaign": "c", "routing_domain": "r"},
        ),
        (("--queue", "one", "--queue", "two"), {"queue_names": ["one", "two"]}),
        (("--everything",), {"everything": True}),
    ],
)
def test_the_node_is_told_which_mail(asked, selectors, criteria):
    result = run(xfer, *ALL, *selectors)

    assert result.exit_code == 0, result.output
    ((endpoint, method, path, body),) = asked
    assert (endpoint, method, path) == ("http://127.0.0.1:8000", "POST", "/api/admin/xfer/v1")
    assert body == {"target": TARGET, "reason": "full", **criteria}
    assert result.stdout == QUEUE + "\n"


def test_the_endpoint_is_an_option_or_of_the_environment(asked):
    run(xfer, *ALL, "--everything", CIRRUS_ENDPOINT="http://one:8000")
    run(xfer, *ALL, "--everything", "--endpoint", "http://two:8000")
    assert [call[0] for call in asked] == ["http://one:8000", "http://two:8000"]


def test_the_answer_is_json_if_it_is_wanted(asked):
    result = run(xfer, *ALL, "--everything", "--json")
    assert json.loads(result.stdout) == {"queue_name": QUEUE}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ALL, "say which mail"),
        ((*ALL, "--everything", "--domain", "a.test"), "exclude each other"),
        ((*ALL, "--everything", "--queue", "a.test"), "exclude each other"),
        ((*ALL, "--queue", "a.test", "--tenant", "t"), "exclude each other"),
        (("--everything", "--reason", "r"), "--target"),
        (("--everything", "--target", TARGET), "--reason"),
        (("--everything", "--reason", "r", "--target", "nowhere"), "URL of a node"),
    ],
)
def test_wrong_usage_asks_the_node_for_nothing(asked, arguments, message):
    result = run(xfer, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert asked == []


@pytest.mark.parametrize("name", [QUEUE, "http://10.0.0.2:8000"])
def test_a_transfer_is_cancelled_by_its_queue_or_its_target(asked, name):
    result = run(xfer_cancel, name, "--reason", "no")

    assert (result.exit_code, result.stdout) == (0, "OK\n")
    ((_, method, path, body),) = asked
    assert (method, path) == ("POST", "/api/admin/xfer/cancel/v1")
    assert body == {"queue_name": QUEUE, "reason": "no"}


def test_another_queue_is_none_to_cancel(asked):
    result = run(xfer_cancel, "a.test", "--reason", "no")
    assert (result.exit_code, asked) == (2, [])


@pytest.mark.parametrize("command", [xfer, xfer_cancel])
def test_the_help_is_a_manual(command):
    text = run(command, "--help").output
    assert "Exit status" in text
    assert "CIRRUS_ENDPOINT" in text
