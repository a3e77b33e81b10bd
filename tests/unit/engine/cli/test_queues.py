"""The list of queues in a terminal."""

from __future__ import annotations

import json

from engine.cli.queues import inspect_sched_q, queues
from tests.fakes.operator_session import FakeNode, run_verb

PATH = "/api/admin/queues/v1"
ANSWER = {
    "scheduled": [
        {
            "queue_name": "acme@a.test",
            "count": 12,
            "due": 2,
            "held": 3,
            "suspended": "too hot (by ann)",
            "blocked_by": "throttle",
        }
    ],
    "ready": [
        {
            "queue_name": "ip-1->mx.a.test@smtp_client",
            "site_name": "mx.a.test",
            "source": "ip-1",
            "protocol": "smtp_client",
            "count": 4,
            "connections": 5,
            "limited_by": "connection_limit 5",
        }
    ],
    "scheduled_matching": 70,
    "ready_matching": 1,
}


async def test_queues_are_shown_with_what_holds_them():
    text, terminal = await run_verb(queues, node=FakeNode({("GET", PATH): ANSWER}))

    lines = text.splitlines()
    assert lines[1].split() == (
        "acme@a.test 12 2 3 suspended: too hot (by ann); waits: throttle".split()
    )
    assert lines[4].split() == (
        "mx.a.test ip-1 smtp_client 4 5 limited: connection_limit 5".split()
    )
    assert terminal.notes == "(1 of 70 scheduled, 1 ready queues)\n"


async def test_what_is_asked_for_is_asked_of_the_node():
    node = FakeNode({("GET", PATH): ANSWER})

    text, _ = await run_verb(
        queues, "--limit", "3", "--domain", "a.test", "--order", "name", "--json", node=node
    )

    assert node.calls[0][2] == {
        "limit": 3,
        "domain": "a.test",
        "order": "name",
        "has_empty": False,
    }
    assert '"scheduled_matching": 70' in text


INSPECT = "/api/admin/inspect-sched-q/v1"
QUEUE = {
    "queue_name": "acme@a.test",
    "messages": [
        {
            "id": "m1",
            "message": {
                "sender": "",
                "recipient": ["bob@a.test", "carl@a.test"],
                "meta": {},
                "due": "2026-03-01T03:20:00Z",
                "num_attempts": 2,
                "data": "Subject: x\r\n\r\nhello\x1b[1m",
            },
        },
        {"id": "m2", "message": {"sender": "ann@x.test", "recipient": "bob@a.test", "meta": {}}},
    ],
    "num_scheduled": 12,
    "queue_config": {"egress_pool": "pool", "max_age": "7d"},
    "delayed_metric": 12,
    "blocked_by": "max_message_rate",
}


async def test_a_scheduled_queue_is_shown_with_some_of_its_messages():
    text, _ = await run_verb(
        inspect_sched_q, "acme@a.test", node=FakeNode({("GET", INSPECT): QUEUE})
    )

    assert text.splitlines() == [
        "queue      acme@a.test",
        "scheduled  12",
        "waits for  max_message_rate",
        "",
        'egress_pool = "pool"',
        'max_age = "7d"',
        "",
        "m1  due 2026-03-01 03:20:00 (in 20m), tried 2x",
        "    <> -> bob@a.test carl@a.test",
        "    Subject: x",
        "    ",
        "    hello\\x1b[1m",
        "",
        "m2  tried 0x",
        "    ann@x.test -> bob@a.test",
    ]


async def test_how_many_messages_are_wanted_is_asked_of_the_node():
    node = FakeNode({("GET", INSPECT): QUEUE})

    await run_verb(inspect_sched_q, "q", node=node)
    await run_verb(inspect_sched_q, "q", "--limit", "50", "--want-body", node=node)
    text, _ = await run_verb(inspect_sched_q, "q", "--no-limit", "--json", node=node)

    asked = [(call[2].get("limit"), call[2]["want_body"]) for call in node.calls]
    assert asked == [(5, False), (50, True), (None, False)]
    assert json.loads(text) == QUEUE
