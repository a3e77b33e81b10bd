"""What the HTTP listener says about a node: whether it takes mail, and what it counted."""

from __future__ import annotations

import contextlib
import re
import smtplib

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\\"n])*\",?)*\})? "
    r"(-?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]Inf|NaN)"
)


def parse(text: str) -> dict[str, float]:
    """Return the samples of a Prometheus text; fail where it is none."""
    assert text.endswith("\n")
    types: dict[str, str] = {}
    samples: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} is declared twice"
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            key = match[1] + (match[2] or "")
            assert key not in samples, f"{key} is there twice"
            samples[key] = float(match[3])
            family = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in types or types.get(family) in ("histogram", "summary"), line
    return samples


def test_the_counts_are_those_of_the_records(make_node, sink):
    def judge(stage, address):
        if address.startswith("perm"):
            return "550 5.1.1 no"
        if address.startswith("temp") and len(sink.tried[address]) == 1:
            return "451 4.3.2 later"
        return None

    sink.judge = judge
    node = make_node(queue="retry_interval='300ms'")

    with node.running():
        for index in range(4):
            for kind in ("good", "temp", "perm"):
                node.send(kind, f"{kind}{index}@y.test")
        reply_to(lambda: node.send("bad", "no address"))
        node.wait_records("Delivery", 8)
        node.wait_records("Bounce", 4)
        status, headers, text = node.http("/metrics")
        samples = parse(text.decode())
        records = node.summary()

    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert (
        samples['total_messages_received{service="esmtp_listener"}'] == records["Reception"] == 12
    )
    assert samples['total_messages_delivered{service="smtp_client"}'] == records["Delivery"] == 8
    assert samples['total_messages_transfail{service="smtp_client"}'] == 4
    assert records["TransientFailure"] == 4
    assert samples['total_messages_fail{service="smtp_client"}'] == records["Bounce"] == 4
    assert samples['smtp_server_rejections{service="total"}'] == records["Rejection"] == 1
    assert samples["scheduled_count_total"] == 0
    assert samples['connection_count{service="esmtp_listener"}'] == 0
    assert samples['total_connection_count{service="esmtp_listener"}'] == 13
    assert samples['total_connection_count{service="smtp_client"}'] >= 1


def test_liveness_follows_what_the_node_can_do(make_node, sink):
    node = make_node()
    text = node.policy.read_text()
    starved = text.replace(
        "    mta.define_spool(", "    mta.set_memory_hard_limit(2 << 20)\n    mta.define_spool("
    )

    with node.running():
        assert node.http("/api/check-liveness/v1")[0] == 200
        node.policy.write_text(starved)
        wait_until("503", lambda: node.http("/api/check-liveness/v1")[0] == 503)
        with pytest.raises(smtplib.SMTPResponseException):
            node.send("x")
        node.policy.write_text(text)
        wait_until("200", lambda: node.http("/api/check-liveness/v1")[0] == 200)
        node.send("y")
        wait_until("it", lambda: sink.taken)


def test_a_full_disk_takes_no_mail_and_restarts_no_node(make_node, sink):
    node = make_node()
    text = node.policy.read_text()
    full = text.replace("define_spool(path=", "define_spool(min_free_space=1 << 60, path=")
    assert full != text
    node.policy.write_text(full)

    try:
        node.launch()
        wait_until("an answer", lambda: answers(node))
        status, _, reason = node.http("/api/check-liveness/v1")
        assert (status, reason[:23]) == (503, b"too little disk space; ")
        assert node.http("/api/check-alive/v1")[::2] == (200, b"OK")
        assert reply_to(lambda: node.send("x"))[:4] in ("421 ", "452 ")
        node.policy.write_text(text)
        wait_until("200", lambda: node.http("/api/check-liveness/v1")[0] == 200)
        node.send("y")
        wait_until("it", lambda: sink.taken)
        assert node.stop() == 0, node.log_text()
    finally:
        node.kill()


def answers(node):
    with contextlib.suppress(OSError):
        return node.http("/api/check-alive/v1")[0] == 200
    return False
