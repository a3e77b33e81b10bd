"""The list of queues in a terminal."""

from __future__ import annotations

from engine.cli.queues import queues
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
