"""What somebody who was woken up reads: the chain of what holds mail."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.errors import NodeRefusedError
from engine.cli.why import kind_of, why
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb

WHY, QUEUES = "/api/admin/why/v1", "/api/admin/queues/v1"
ID = "8a6f1c9e0b7d11f0a1b20242ac120002"
WAY = "ip-1->mx.a.test@smtp_client"


def explained(*reasons, subject="a.test", place=None, queue=None):
    return {
        "subject": subject,
        "place": place,
        "queue_name": queue,
        "summary": reasons[0]["text"] if reasons else "nothing holds it",
        "reasons": list(reasons),
    }


async def text_of(answer, *arguments):
    text, _ = await run_verb(why, *arguments, node=FakeNode({("GET", WHY): answer}))
    return text


async def test_each_link_says_who_since_when_until_when_and_what_can_be_done():
    suspended = {
        "code": "QueueSuspended",
        "text": "the scheduled queue is suspended: too hot",
        "where": "a.test",
        "author": "ann",
        "since": "2026-03-01T02:00:00Z",
        "until": "2026-03-01T03:30:00Z",
    }
    limited = {
        "code": "ConnectionLimit",
        "text": "its connection limit is reached",
        "where": WAY,
        "knob": "connection_limit",
        "value": "3",
        "held_by": [f"{WAY} (2)", "other nodes (up to 1)"],
    }

    assert (await text_of(explained(suspended, limited), "a.test")).splitlines() == [
        "queue a.test",
        "",
        "1. the scheduled queue is suspended: too hot",
        "   code   QueueSuspended",
        "   by     ann",
        "   since  2026-03-01 02:00:00 (1h ago)",
        "   until  2026-03-01 03:30:00 (in 30m)",
        "   do     cirrus suspend-list names its id, cirrus suspend-cancel --id ID ends it",
        "",
        "2. its connection limit is reached",
        "   code     ConnectionLimit",
        f"   where    {WAY}",
        "   set by   connection_limit = 3",
        f"   held by  {WAY} (2)",
        "   held by  other nodes (up to 1)",
        f"   do       the policy sets it: cirrus inspect-ready-q '{WAY}' --config shows all of its"
        " path",
    ]


async def test_a_message_is_told_how_to_be_tried_at_once():
    waits = {
        "code": "LoggedTransientFailure",
        "text": "attempt 3 failed: 451 later\x1b[31m",
        "where": WAY,
        "until": "2026-03-01T03:20:00Z",
        "knob": "retry_interval",
        "value": "20m",
    }

    text = await text_of(explained(waits, subject=ID, place="waiting", queue="a.test"), ID)

    assert text.startswith(f"message {ID} waits in queue a.test\n\n1. attempt 3 failed: 451 later")
    assert f"do      cirrus send-now {ID} tries it at once" in text
    assert "\x1b" not in text


async def test_who_holds_a_message_is_named_with_the_way_to_let_it_go():
    held = {"code": "HeldByOperator", "text": "it is held: look at it", "author": "bob"}
    text = await text_of(explained(held, subject=ID, place="waiting", queue="a.test"), ID)
    assert f"cirrus release {ID}" in text


async def test_what_nothing_holds_is_one_line():
    assert await text_of(explained(), "a.test") == "queue a.test: nothing holds it\n"
    text = await text_of(explained(subject=WAY), WAY)
    assert text == f"ready queue {WAY}: nothing holds it\n"
    text = await text_of(explained(subject=ID, place="elsewhere"), ID)
    assert text == f"message {ID} is elsewhere: nothing holds it\n"


async def test_lines_fit_the_terminal():
    reason = {"code": "X", "text": "x", "value": "word " * 40}
    text, _ = await run_verb(
        why,
        "a.test",
        node=FakeNode({("GET", WHY): explained(reason)}),
        terminal=FakeTerminal(columns=60),
    )
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        (ID, "id"),
        (ID.upper(), "id"),
        (WAY, "ready_queue"),
        ("unspecified->127.0.0.1@smtp_client", "ready_queue"),
        ("a.test", "queue_name"),
        ("campaign:tenant@a.test!b.test", "queue_name"),
        ("http://10.0.0.2:8000/.xfer.kumomta.internal", "queue_name"),
    ],
)
def test_a_subject_shows_what_it_is(subject, kind):
    assert kind_of(subject) == kind


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((ID,), {"id": ID}),
        (("--message", ID), {"id": ID}),
        (("--queue", WAY), {"queue_name": WAY}),
        (("--ready-queue", WAY), {"ready_queue": WAY}),
    ],
)
async def test_the_node_is_asked_about_what_was_named(arguments, asked):
    node = FakeNode({("GET", WHY): explained()})
    text, _ = await run_verb(why, *arguments, "--json", node=node)
    assert node.calls == [("GET", WHY, asked)]
    assert json.loads(text)["summary"] == "nothing holds it"


@pytest.mark.parametrize(
    "arguments", [(), ("a", "--queue", "b"), ("--queue", "a", "--message", ID)]
)
async def test_one_thing_is_named(arguments):
    with pytest.raises(click.UsageError, match="name one thing"):
        await run_verb(why, *arguments)


class NodeOfDomain(FakeNode):
    """Has queues of a domain, but none of its name."""

    def __init__(self, *names):
        super().__init__({("GET", QUEUES): {"scheduled": [{"queue_name": one} for one in names]}})

    async def call(self, method, path, *, query=None, body=None):
        if path == WHY and query["queue_name"] != "a.test":
            return explained(subject=query["queue_name"])
        return await super().call(method, path, query=query, body=body)


async def test_a_domain_will_do_where_one_queue_is_of_it():
    text, terminal = await run_verb(why, "a.test", node=NodeOfDomain("acme@a.test"))
    assert text == "queue acme@a.test: nothing holds it\n"
    assert "there is no queue a.test" in terminal.notes


async def test_queues_of_a_domain_are_named_where_there_are_several():
    with pytest.raises(NodeRefusedError, match="there are: b@a.test, c@a.test"):
        await run_verb(why, "a.test", node=NodeOfDomain("b@a.test", "c@a.test"))


async def test_a_queue_without_mail_is_said_to_be_gone():
    with pytest.raises(NodeRefusedError, match="no mail waits in a queue a.test"):
        await run_verb(why, "a.test", node=NodeOfDomain())


async def test_a_message_that_is_gone_is_refused_as_the_node_says():
    with pytest.raises(NodeRefusedError, match="404"):
        await run_verb(why, ID)
