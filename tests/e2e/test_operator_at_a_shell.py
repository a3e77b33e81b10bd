"""A night of an operator: mail for a dead host, and what is typed at it, each verb a process."""

from __future__ import annotations

import json
import signal

import pytest

from tests.fakes.node_process import NodeProcess, wait_until
from tests.fakes.operator_shell import OperatorShell
from tests.samples.running_node import free_ports

# Each verb starts an interpreter, which on a busy machine takes its time.
pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(300)]

DEAD = """{{"protocol": {{"smtp": {{"mx_list": [
    "127.0.0.1:{dead}" if (routing_domain or domain) == "dead.test" else "127.0.0.1:{live}"
]}}}}, "retry_interval": "1h"}}"""


@pytest.fixture
def node(make_node, sink):
    (dead,) = free_ports(1)
    queue = " ".join(DEAD.format(dead=dead, live=sink.port).split())
    with make_node(queue=queue).running() as node:
        yield node


@pytest.fixture
def shell(node: NodeProcess) -> OperatorShell:
    return OperatorShell(node.http_port)


def ids(shell: OperatorShell, *words: str) -> list[str]:
    return [one["id"] for one in shell.ask("messages", *words)["messages"]]


def fill(node: NodeProcess, count: int) -> None:
    """Send mail for the dead host, and wait until it was tried."""
    for number in range(count):
        node.send(f"m{number}", f"u{number}@dead.test")
    node.wait_records("TransientFailure", count)


def test_mail_for_a_dead_host_is_found_explained_and_brought_on_its_way(node, shell, sink):
    fill(node, 3)

    # What is stuck, and why?
    assert shell.type("status")[0] == 0
    listed = shell.json("queues")["scheduled"]
    assert [(one["queue_name"], one["count"]) for one in listed] == [("dead.test", 3)]
    why = shell.fine("why", "dead.test")
    assert "3 messages not due yet" in why
    assert "set by" in why and "retry_interval = 3600s" in why
    first, second, third = ids(shell)
    text = shell.fine("why", first)
    assert f"message {first} waits in queue dead.test" in text
    assert "onnect" in text and "(in " in text
    assert f"cirrus send-now {first}" in text
    assert shell.fine("messages", "--recipient", "u0@dead.test").count("dead.test") == 2

    # One is held, looked at, let go; all are moved past the dead host.
    assert shell.fine("hold", first, second, "--reason", "look") == (
        f"{first} dead.test\n{second} dead.test\n"
    )
    assert sorted(ids(shell, "--state", "held")) == sorted([first, second])
    assert "it is held: look" in shell.fine("why", first)
    assert "hello" in shell.fine("inspect-message", first, "--want-body")
    assert shell.fine("release", first) == f"{first} dead.test\n"
    status, out, err = shell.type("release", first, second)
    assert (status, out) == (1, f"{second} dead.test\n")
    assert f"{first}: the node answers 404: the message is not held" in err
    moved = shell.fine("move", first, second, "--set", "routing_domain=live.test")
    assert moved == f"{first} dead.test!live.test\n{second} dead.test!live.test\n"
    wait_until("moved mail", lambda: len(sink.taken) == 2)
    assert "moved 1" in shell.fine(
        *("rebind", "--domain", "dead.test", "--set", "routing_domain=live.test"),
        *("--reason", "dead"),
    )
    wait_until("rebound mail", lambda: len(sink.taken) == 3)
    acts = [one["act"] for one in shell.ask("audit", "--since", "10m")["entries"]]
    assert acts.count("hold") == 2 and "rebind" in acts
    assert {third} & set(ids(shell)) == set()


def test_suspensions_hold_and_bounces_ask(node, shell, sink):
    made = shell.fine("suspend", "--domain", "live.test", "--reason", "their request").strip()
    node.send("held", "a@live.test")
    wait_until("held mail", lambda: ids(shell, "--state", "held"))
    why = shell.fine("why", "live.test")
    assert "1. the scheduled queue is suspended: their request" in why
    assert "(in 4m" in why
    assert "live.test" in shell.fine("suspend-list")
    assert shell.fine("suspend-cancel", "--id", made) == "OK\n"
    wait_until("mail that was let go", lambda: sink.taken)

    fill(node, 2)
    bounce = ("bounce", "--domain", "dead.test", "--reason", "wrong list")
    # Nobody is there to be asked; a person says no; a person says yes.
    status, _, err = shell.type(*bounce)
    assert status == 2 and "say --yes" in err
    status, text = shell.answer("n", *bounce)
    assert status == 1 and "bounce domain=dead.test? [y/N]" in text and "nothing was done" in text
    assert len(ids(shell)) == 2
    status, text = shell.answer("y", *bounce, "--duration", "1h")
    assert status == 0, text
    node.wait_records("AdminBounce", 2)
    (listed,) = shell.ask("bounce-list")
    assert listed["duration"].startswith(("1h", "59m")) and listed["total_bounced"] == 2
    assert shell.fine("bounce-cancel", "--id", listed["id"]) == "OK\n"
    assert shell.fine(*bounce, "--yes").count("\n") == 1


def test_exit_statuses_and_answers_for_programs(node, shell):
    fill(node, 1)

    assert shell.type("why", "gone.test")[0] == 1
    assert shell.type("why")[0] == 2
    assert shell.type("bounce", "--reason", "x")[0] == 2
    assert shell.type("inspect-ready-q", "no->such@smtp_client")[0] == 1
    assert shell.type("no-such-verb")[0] == 2
    away = OperatorShell(1)
    status, out, err = away.type("queues")
    assert (status, out) == (1, "")
    assert err.startswith("cirrus: no answer of http://127.0.0.1:1: ")

    for words in (("status",), ("queues",), ("audit",), ("why", "dead.test")):
        assert shell.json(*words), words
    assert shell.type("drain-status")[0] == 1
    assert shell.fine("reload") == "OK\n"
    assert shell.fine("set-log-filter", "info") == "OK\n"


def test_every_verb_that_looks_has_text_and_json_of_a_real_node(node, shell):
    fill(node, 1)
    (way,) = [one["queue_name"] for one in shell.ask("queues", "--empty")["ready"]]
    (spool_id,) = ids(shell)
    for words in (
        ("status",),
        ("why", "dead.test"),
        ("why", way),
        ("messages",),
        ("inspect-message", spool_id),
        ("queues",),
        ("queue-summary",),
        ("provider-summary", "--by-pool", "--show-domains"),
        ("inspect-sched-q", "dead.test", "--want-body"),
        ("inspect-ready-q", way, "--connections", "--config", "--sched-q"),
        ("ready-q-states",),
        ("resolve-egress-path", "dead.test"),
        ("suspend-list",),
        ("suspend-ready-q-list",),
        ("suspend-source-list",),
        ("bounce-list",),
        ("xfer-list",),
        ("drain-status",),
        ("policy", "--files"),
        ("decisions",),
        ("shaping-explain", "dead.test", "--defaults"),
        ("audit",),
        ("automation",),
        ("shared-limits",),
        ("machine-info",),
        ("memory-stats",),
        ("task-dump", "--timeout", "0.1"),
    ):
        plain, raw = shell.look(*words), shell.look(*words, "--json")
        assert plain.text or plain.notes, words
        json.loads(raw.text)
        assert "\x1b" not in plain.text
    assert "dead.test" in shell.look("inspect-ready-q", way, "--sched-q").text


def test_a_session_is_watched_until_somebody_presses_ctrl_c(node, shell):
    watching = shell.start("trace-smtp-server", "--only-new", "--color", "no")
    following = shell.start("trace-smtp-client", "--terse", "--json")
    audited = ("audit", "--act", "trace-smtp")
    wait_until("both watchers", lambda: len(shell.ask(*audited)["entries"]) == 2)

    node.send("seen", "a@live.test")
    node.wait_records("Delivery", 1)
    seen = ""
    while "=== Closed" not in seen:
        seen += watching.stdout.readline()
    frames = []
    while not frames or frames[-1]["payload"] != "Closed":
        frames.append(json.loads(following.stdout.readline()))
    for process in (watching, following):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")

    assert "-> rcpt TO:<a@live.test>" in seen
    assert "<- 250" in seen and "-> hello" in seen
    assert "enqueued in live.test" in seen
    assert frames[0]["payload"] == "BeginSession"
