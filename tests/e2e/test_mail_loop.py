"""A message that was through a hundred hosts is going round in circles."""

from __future__ import annotations

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HOP = "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n"


def test_over_a_hundred_received_fields_are_refused(make_node, sink):
    node = make_node()

    with node.running():
        answers = [reply_to(lambda n=n: node.send("x", headers=HOP * n)) for n in (100, 101)]
        folded = reply_to(lambda: node.send("x", headers="RECEIVED:\r\n\tfrom a by b\r\n" * 101))
        wait_until("the good one", lambda: sink.taken)

    assert answers[0] == "250"
    assert answers[1].startswith("554 5.4.6")
    assert folded.startswith("554 5.4.6")
    assert len(sink.taken) == 1


def test_a_node_that_delivers_to_itself_ends_the_loop(make_node):
    node = make_node(sink=1)
    text = node.policy.read_text().replace('127.0.0.1:1"', f'127.0.0.1:{node.smtp_port}"')
    node.policy.write_text(text)

    with node.running():
        node.send("round and round")
        (bounce,) = node.wait_records("Bounce", 1)

    assert bounce["response"]["code"] == 554
    assert bounce["response"]["enhanced_code"] == {"class": 5, "subject": 4, "detail": 6}
    assert node.summary()["Delivery"] == 100
