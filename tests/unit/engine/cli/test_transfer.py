"""Mail to another node, and back: what a node is asked, and what is wrong usage."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.transfer import xfer, xfer_cancel, xfer_list
from engine.cli.verb import Session
from tests.fakes.operator_session import FakeNode, FakeTerminal, help_of, run_verb

TARGET = "http://ann:pw@10.0.0.2:8000"
QUEUE = "http://10.0.0.2:8000/.xfer.kumomta.internal"
XFER, CANCEL = "/api/admin/xfer/v1", "/api/admin/xfer/cancel/v1"
ALL = ("--target", TARGET, "--reason", "full")
STATE = {
    "queue_name": QUEUE,
    "target": "http://10.0.0.2:8000/",
    "scheduled": 5,
    "ready": 2,
    "transferred": 30,
    "failed": 1,
    "last_error": "it answered 503",
    "last_error_at": "2026-03-01T02:59:00Z",
}


def node():
    return FakeNode(
        {
            ("POST", XFER): {"queue_name": QUEUE},
            ("POST", CANCEL): {"cancelled": True},
            ("GET", XFER): [STATE],
        }
    )


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
async def test_the_node_is_told_which_mail(selectors, criteria):
    world = node()

    text, terminal = await run_verb(xfer, *ALL, *selectors, node=world)

    body = {"target": TARGET, "reason": "full", **criteria}
    assert world.calls == [("POST", XFER, body)]
    assert text == QUEUE + "\n"
    assert "background" in terminal.notes


async def test_the_answer_is_json_if_it_is_wanted():
    text, _ = await run_verb(xfer, *ALL, "--everything", "--json", node=node())
    assert json.loads(text) == {"queue_name": QUEUE}


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
async def test_wrong_usage_asks_the_node_for_nothing(arguments, message):
    world = node()
    with pytest.raises(click.UsageError) as wrong:
        await run_verb(xfer, *arguments, node=world)
    assert message in " ".join(wrong.value.format_message().split())
    assert world.calls == []


@pytest.mark.parametrize("name", [QUEUE, "http://10.0.0.2:8000"])
async def test_a_transfer_is_cancelled_by_its_queue_or_its_target(name):
    world = node()

    text, _ = await run_verb(xfer_cancel, name, "--reason", "no", node=world)

    assert text == "OK\n"
    assert world.calls == [("POST", CANCEL, {"queue_name": QUEUE, "reason": "no"})]
    raw, _ = await run_verb(xfer_cancel, name, "--reason", "no", "--json", node=world)
    assert json.loads(raw) == {"cancelled": True}


async def test_another_queue_is_none_to_cancel():
    world = node()
    with pytest.raises(click.UsageError):
        await run_verb(xfer_cancel, "a.test", "--reason", "no", node=world)
    assert world.calls == []


async def test_transfers_are_listed_with_how_they_go():
    text, _ = await run_verb(xfer_list, node=node())
    raw, _ = await run_verb(xfer_list, "--json", node=node())

    assert text.splitlines()[1].split(maxsplit=5) == [QUEUE, "5", "2", "30", "1", "it answered 503"]
    assert json.loads(raw) == [STATE]
    _, terminal = await run_verb(xfer_list, node=FakeNode({("GET", XFER): []}))
    assert terminal.notes == "no mail waits to be transferred\n"


def test_queues_of_transfers_are_offered_to_be_cancelled():
    context = click.Context(xfer_cancel, obj=Session(node(), FakeTerminal()))
    (argument,) = [one for one in xfer_cancel.params if one.name == "queue_name"]
    assert [one.value for one in argument.shell_complete(context, "http:")] == [QUEUE]
    assert argument.shell_complete(context, "x") == []


@pytest.mark.parametrize("made", [xfer, xfer_cancel])
def test_the_help_is_a_manual(made):
    assert "Exit status" in help_of(made)
