"""A node whose memory is short takes no mail, says so, and takes it again when it has some."""

from __future__ import annotations

import json
import re
import smtplib
from pathlib import Path

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

LOW = 20_000_000


def test_load_is_shed_with_421_and_503_until_there_is_room(make_node, sink):
    node = make_node(env={"CIRRUS_MEMORY_HARD_LIMIT": str(LOW)})
    text = node.policy.read_text()
    roomy = text.replace(
        "    mta.define_spool", "    mta.set_memory_hard_limit(4 << 30)\n    mta.define_spool"
    )
    node.policy.write_text(roomy)
    inject = {
        "envelope_sender": "a@x.test",
        "recipients": [{"email": "b@y.test"}],
        "content": "S: x\n\nx",
    }

    with node.running():
        established = node.client()
        established.ehlo()
        node.policy.write_text(text)
        wait_until("a full node", lambda: not node.is_live())
        with pytest.raises(smtplib.SMTPResponseException) as at_connect:
            node.client()
        at_mail = established.docmd("MAIL FROM:<a@x.test>")
        status, _, answer = node.http("/api/inject/v1", inject)
        liveness = node.http("/api/check-liveness/v1")
        node.policy.write_text(roomy)
        wait_until("room", node.is_live)
        node.send("after")
        wait_until("it", lambda: sink.taken)

    assert (at_connect.value.smtp_code, at_mail[0]) == (421, 421)
    assert b"4.3.2" in at_mail[1]
    assert status == 503
    assert "memory" in json.dumps(json.loads(answer))
    assert liveness[0] == 503
    assert b"memory" in liveness[2]
    assert [message.subject for message in sink.taken] == ["after"]


def resident_bytes(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10


def test_many_large_messages_at_once_do_not_outrun_the_limit(make_node, sink):
    """All were let in while there was room; together they are four times the limit."""
    hard, clients, size = 300 << 20, 60, 20 << 20
    node = make_node(env={"CIRRUS_MEMORY_HARD_LIMIT": str(hard)})
    block = (b"x" * 78 + b"\r\n") * ((1 << 20) // 80)
    answers: list[bytes] = []
    peaks: list[int] = []

    with node.running():
        open_now = [node.client(30.0) for _ in range(clients)]
        for client in open_now:
            client.ehlo()
            for command in ("MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA"):
                assert client.docmd(command)[0] < 400
        for _ in range(size >> 20):
            for client in open_now:
                client.sock.sendall(block)
            peaks.append(resident_bytes(node))
        for client in open_now:
            client.sock.sendall(b".\r\n")
            answers.append(client.getreply()[0])
            peaks.append(resident_bytes(node))
            client.close()
        wait_until("room", node.is_live)
        node.send("after")
        wait_until("it", lambda: sink.subjects()["after"])
        node.wait_records("Delivery", answers.count(250) + 1)

    assert max(peaks) < hard
    assert set(answers) <= {250, 421}
    assert len(sink.taken) == answers.count(250) + 1


def test_what_waits_is_delivered_while_memory_is_short(make_node, sink):
    sink.judge = lambda stage, address: "451 4.3.2 later" if len(sink.tried[address]) == 1 else None
    node = make_node(queue="retry_interval='2s'")
    text = node.policy.read_text()

    with node.running():
        node.send("waits")
        node.wait_records("TransientFailure", 1)
        node.policy.write_text(
            text.replace(
                "    mta.define_spool",
                f"    mta.set_memory_hard_limit({LOW})\n    mta.define_spool",
            )
        )
        wait_until("a full node", lambda: not node.is_live())
        wait_until("it", lambda: sink.taken)
        node.wait_records("Delivery", 1)
