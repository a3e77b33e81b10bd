"""Queued messages in a terminal."""

from __future__ import annotations

import json

from engine.cli.messages import inspect_message, messages
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb

MESSAGES, INSPECT = "/api/admin/messages/v1", "/api/admin/inspect-message/v1"
ID = "8a6f1c9e0b7d11f0a1b20242ac120002"
HELD = {
    "id": ID,
    "queue_name": "acme@a.test",
    "state": "held",
    "sender": "",
    "recipients": ["a@a.test", "b@a.test", "c@a.test", "d@a.test"],
    "size": 100,
    "created": "2026-03-01T02:00:00Z",
    "due": "2026-03-01T02:00:00Z",
    "num_attempts": 0,
    "hold": {"author": "ann", "reason": "look", "since": "2026-03-01T02:30:00Z", "until": None},
}
WAITS = {
    **HELD,
    "id": ID[:-1] + "3",
    "state": "scheduled",
    "sender": "ann@x.test",
    "recipients": ["bob@a.test"],
    "created": "2026-03-01T01:00:00Z",
    "due": "2026-03-01T03:20:00Z",
    "num_attempts": 3,
    "last_reply": "451 later\x1b[2J",
    "hold": None,
}
ANSWER = {"messages": [HELD, WAITS], "is_complete": True, "looked_at": 9, "read": 2}


def node(answer=ANSWER):
    return FakeNode({("GET", MESSAGES): answer})


async def test_a_pipe_gets_a_line_for_each_message_the_oldest_first():
    text, terminal = await run_verb(messages, node=node())

    _, first, second = text.splitlines()
    assert first.split() == (
        [WAITS["id"], *"scheduled 2h in 20m 3 acme@a.test ann@x.test bob@a.test".split()]
        + ["451", "later\\x1b[2J"]
    )
    assert second.split() == (
        f"{ID} held 1h 0 acme@a.test <> a@a.test b@a.test c@a.test and 1 more"
        " held: look (by ann)".split()
    )
    assert terminal.notes == "(2 messages)\n"


async def test_a_narrow_terminal_gets_some_lines_for_each_message():
    text, _ = await run_verb(messages, node=node(), terminal=FakeTerminal(columns=80))

    assert text.splitlines()[:4] == [
        f"{WAITS['id']}  scheduled, 2h old, due in 20m, tried 3x",
        "    acme@a.test: ann@x.test -> bob@a.test",
        "    451 later\\x1b[2J",
        f"{ID}  held, 1h old",
    ]


async def test_what_is_asked_for_is_asked_of_the_node():
    world = node()
    text, _ = await run_verb(
        messages,
        *("--queue", "q", "--recipient", "bob@a.test", "--min-age", "2h", "--state", "held"),
        *("--reply", "4.7.1", "--timeout", "3", "--json"),
        node=world,
    )
    assert world.calls[0][2] == {
        "queue_name": "q",
        "recipient": "bob@a.test",
        "min_age": "2h",
        "state": "held",
        "reply": "4.7.1",
        "limit": 100,
        "timeout": 3.0,
    }
    assert json.loads(text) == ANSWER


async def test_a_search_that_did_not_end_says_so():
    _, terminal = await run_verb(
        messages, node=node({**ANSWER, "messages": [], "is_complete": False})
    )
    assert terminal.notes.startswith("(0 messages; there may be more: 9 were looked at")


async def test_a_message_is_shown_with_its_metadata_and_content():
    shown = {
        "sender": "ann@x.test",
        "recipient": ["bob@a.test", "carl@a.test"],
        "meta": {"tenant": "acme", "n": 3},
        "due": "2026-03-01T03:20:00Z",
        "created": "2026-03-01T02:00:00Z",
        "num_attempts": 0,
        "size": 20,
        "scheduling": {"dow": "Mon"},
        "data": "Subject: x\r\n\r\n\ttab\x07\r\n",
    }
    world = FakeNode({("GET", INSPECT): {"id": ID, "message": shown}})

    text, _ = await run_verb(inspect_message, ID, "--want-body", node=world)
    raw, _ = await run_verb(inspect_message, ID, "--json", node=world)

    assert [line.split(maxsplit=1) for line in text.splitlines()[:7]] == [
        ["id", ID],
        ["from", "ann@x.test"],
        ["to", "bob@a.test"],
        ["to", "carl@a.test"],
        ["received", "2026-03-01 02:00:00 (1h ago)"],
        ["due", "2026-03-01 03:20:00 (in 20m)"],
        ["attempts", "0"],
    ]
    assert "meta tenant" in text
    assert text.endswith("\nSubject: x\n\n    tab\\x07\n\n")
    assert [call[2] for call in world.calls] == [
        {"id": ID, "want_body": True},
        {"id": ID, "want_body": False},
    ]
    assert json.loads(raw)["message"] == shown
