"""A handler that never ends costs its own clients a 451, and nobody else anything."""

from __future__ import annotations

import threading
import time

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ENDLESS = {
    "a loop in Python": "while True:\n            pass",
    "a loop in C": "1 in iter(int, 1)",
    "a list": "list(iter(int, 1))",
    "recursion": "message_received(msg)",
    "a large text": "'x' * 10**10",
    "a large number": "10 ** 10**8",
    "a loop that catches all": (
        "while True:\n            try:\n                pass\n            except Exception:\n"
        "                pass"
    ),
}
HANDLER = """
@on("message_received")
def message_received(msg):
    if msg.recipient.user == "stuck":
        {endless}
"""


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_each_such_client_gets_451_and_the_others_are_served(make_node, sink, endless):
    # Without the breaker (which answers for the hook as a whole) by staying under its count.
    node = make_node(HANDLER.format(endless=endless))

    with node.running():
        started = time.monotonic()
        answers = [reply_to(lambda: node.send("x", "stuck@y.test")) for _ in range(2)]
        took_s = time.monotonic() - started
        node.send("well")
        wait_until("the other", lambda: sink.taken)

    assert [answer[:9] for answer in answers] == ["451 4.3.0"] * 2
    assert took_s < 3.0
    assert [message.subject for message in sink.taken] == ["well"]
    assert f"{node.policy}:" in node.wait_log("handler of message_received failed")


def test_the_breaker_opens_and_lets_mail_through_after_a_mended_script(make_node, sink):
    node = make_node(HANDLER.format(endless=ENDLESS["a loop in Python"]))

    with node.running():
        answers = [reply_to(lambda: node.send("x", "stuck@y.test")) for _ in range(6)]
        node.wait_log("handler of message_received is not run for")
        assert 'policy_breaker_open{event="message_received"} 1' in metrics(node)
        started = time.monotonic()
        while_open = reply_to(lambda: node.send("y"))
        took_s = time.monotonic() - started
        node.write()
        node.wait_log("policy loaded", 2)
        node.send("well")
        wait_until("mail", lambda: sink.taken)

    assert {answer[:3] for answer in answers} == {"451"}
    assert while_open[:3] in ("451", "250")
    assert took_s < 1.0
    assert "well" in sink.subjects()


def test_the_breaker_closes_by_a_probe_that_succeeds(make_node, sink):
    node = make_node(HANDLER.format(endless=ENDLESS["a loop in C"]))

    with node.running():
        for _ in range(3):
            reply_to(lambda: node.send("x", "stuck@y.test"))
        node.wait_log("is not run for")
        wait_until("a probe", lambda: reply_to(lambda: node.send("probe")) == "250")
        node.wait_log("handler of message_received is run again")
        assert reply_to(lambda: node.send("next")) == "250"
        assert 'policy_breaker_open{event="message_received"} 0' in metrics(node)


def test_many_stuck_clients_at_once_leave_the_node_usable(make_node, sink):
    node = make_node(HANDLER.format(endless=ENDLESS["a loop in Python"]))
    answers: list[str] = []

    def stuck():
        answers.append(reply_to(lambda: node.send("x", "stuck@y.test")))

    with node.running():
        threads = [threading.Thread(target=stuck) for _ in range(30)]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        assert node.is_live()
        live_s = time.monotonic() - started
        for thread in threads:
            thread.join(20)

    assert [answer[:3] for answer in answers] == ["451"] * 30
    # Three overruns of 50 ms, then the breaker: nobody waits for long.
    assert live_s < 2.0


def metrics(node):
    return node.http("/metrics")[2].decode()
