"""Bounces and suspensions from a terminal."""

from __future__ import annotations

import click
import pytest

from engine.cli import directives
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb

BOUNCE, SUSPEND = "/api/admin/bounce/v1", "/api/admin/suspend/v1"
LISTED = {
    "id": "b1",
    "domain": "a.test",
    "tenant": None,
    "queue_names": [],
    "reason": "wrong list",
    "author": "ann",
    "duration": "5m",
    "total_bounced": 12,
}


async def test_a_bounce_prints_its_id_and_nothing_else():
    node = FakeNode({("POST", BOUNCE): {"id": "b1"}})

    text, terminal = await run_verb(
        directives.bounce,
        *("--domain", "a.test", "--reason", "wrong", "--duration", "1h", "--yes"),
        node=node,
    )

    assert text == "b1\n"
    assert "background" in terminal.notes
    body = {"domain": "a.test", "reason": "wrong", "duration": "1h"}
    assert node.calls == [("POST", BOUNCE, body)]


async def test_a_bounce_asks_first_and_says_of_what():
    terminal = FakeTerminal(answers=("y",))
    node = FakeNode({("POST", BOUNCE): {"id": "b1"}})

    await run_verb(directives.bounce, "--everything", "--reason", "x", node=node, terminal=terminal)

    assert terminal.questions == ["bounce everything? [y/N] "]


async def test_a_bounce_of_nothing_in_particular_is_wrong_usage():
    with pytest.raises(click.UsageError, match="say which mail"):
        await run_verb(directives.bounce, "--reason", "x", "--yes")


async def test_bounces_are_listed_with_what_they_took():
    node = FakeNode({("GET", BOUNCE): [LISTED]})

    text, _ = await run_verb(directives.bounce_list, node=node)
    raw, _ = await run_verb(directives.bounce_list, "--json", node=node)

    assert text.splitlines()[1].split() == "b1 12 5m domain=a.test wrong list (by ann)".split()
    assert '"total_bounced": 12' in raw


async def test_an_empty_list_says_so_to_people_only():
    node = FakeNode({("GET", SUSPEND): []})

    text, terminal = await run_verb(directives.suspend_list, node=node)
    raw, _ = await run_verb(directives.suspend_list, "--json", node=node)

    assert (text, raw) == ("", "[]\n")
    assert terminal.notes == "no scheduled queue is suspended\n"


async def test_only_a_suspension_of_everything_is_asked_about():
    node = FakeNode({("POST", SUSPEND): {"id": "s1"}})
    text, _ = await run_verb(directives.suspend, "--tenant", "acme", "--reason", "x", node=node)
    assert text == "s1\n"

    with pytest.raises(click.UsageError, match="--yes"):
        await run_verb(directives.suspend, "--everything", "--reason", "x", node=node)


@pytest.mark.parametrize(
    ("made", "listed", "ended", "path"),
    [
        (
            directives.suspend_ready_q,
            directives.suspend_ready_q_list,
            directives.suspend_ready_q_cancel,
            "/api/admin/suspend-ready-q/v1",
        ),
        (
            directives.suspend_source,
            directives.suspend_source_list,
            directives.suspend_source_cancel,
            "/api/admin/suspend-source/v1",
        ),
    ],
)
async def test_ready_queues_and_sources_are_suspended_by_name(made, listed, ended, path):
    node = FakeNode(
        {
            ("POST", path): {"id": "s1"},
            ("GET", path): [{**LISTED, "id": "s1", "name": "ip-1"}],
            ("DELETE", path): "OK",
        }
    )

    assert (await run_verb(made, "--name", "ip-1", "--reason", "x", node=node))[0] == "s1\n"
    assert "ip-1" in (await run_verb(listed, node=node))[0]
    assert (await run_verb(ended, "--id", "s1", node=node))[0] == "OK\n"
    assert node.calls[-1] == ("DELETE", path, {"id": "s1"})
