"""Stops and restarts with much mail in every place where mail can be."""

from __future__ import annotations

import http.client
import json
import signal
import smtplib
import threading
import time
from collections import Counter

import pytest

from tests.fakes.node_process import submit, wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def fill(node, count, name="m"):
    with node.client() as client:
        for index in range(count):
            submit(client, f"{name}{index}", f"u{index}@d{index % 20}.test")


def test_what_stood_in_ready_queues_goes_out_after_the_restart_and_once(make_node, sink):
    node = make_node(path="connection_limit=1, max_ready=50", drain=2.0)
    sink.gate.clear()
    node.start()
    fill(node, 300)
    wait_until("a delivery under way", lambda: sink.tried)
    node.signal(signal.SIGTERM)
    node.wait_log("stopping")
    sink.gate.set()
    assert node.process.wait(10) == 0, node.log_text()
    at_stop = len(sink.taken)

    node.start()
    wait_until("everything", lambda: sum(sink.subjects().values()) >= 300)
    node.wait_records("Delivery", 300)
    assert node.stop() == 0
    assert at_stop < 50
    assert sink.subjects() == {f"m{index}": 1 for index in range(300)}
    assert {record["num_attempts"] for record in node.records("Delivery")} == {0}


def test_mail_is_taken_and_goes_out_while_the_backlog_is_found_again(make_node, sink):
    sink.judge = lambda stage, address: "451 4.3.2 later" if not restarted else None
    restarted: list[bool] = []
    node = make_node(queue="retry_interval='2s', max_retry_interval='2s'")
    node.start()
    fill(node, 1500)
    node.kill()
    restarted.append(True)
    started = time.monotonic()
    node.start()
    up_s = time.monotonic() - started
    node.send("new", "new@d1.test")
    wait_until("everything", lambda: len(sink.subjects()) == 1501)
    assert node.stop() == 0

    assert up_s < 5.0
    repeated = {s: n for s, n in sink.subjects().items() if n > 1}
    assert repeated == {}


def test_a_signal_to_stop_during_the_start_stops(make_node, sink):
    node = make_node()
    for _ in range(5):
        process = node.launch()
        wait_for(0.35)
        process.send_signal(signal.SIGTERM)
        status = process.wait(15)
        assert status in (0, -signal.SIGTERM), node.log_text()
    node.start()
    node.send("x")
    wait_until("it", lambda: sink.taken)
    assert node.stop() == 0
    assert "Traceback" not in node.log_text()


def test_open_http_connections_do_not_hold_the_stop(make_node, sink):
    node = make_node(drain=5.0)
    node.start()
    idle = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
    idle.request("GET", "/api/check-liveness/v1")
    idle.getresponse().read()
    started = time.monotonic()
    assert node.stop() == 0
    took_s = time.monotonic() - started
    idle.close()

    assert took_s < 3.0


def test_a_second_signal_changes_nothing(make_node, sink):
    node = make_node(drain=2.0)
    node.start()
    client = node.client()
    client.ehlo()
    client.docmd("MAIL FROM:<a@x.test>")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        node.signal(number)
    assert node.process.wait(15) == 0
    client.close()
    assert "Traceback" not in node.log_text()


def test_what_was_answered_while_stopping_under_load_is_delivered(make_node, sink):
    """Clients of both ways in send while the node is stopped and started, without a kill."""
    node = make_node(drain=3.0)
    over = threading.Event()
    answered: list[str] = []

    def by_smtp(name):
        serial = 0
        while not over.is_set():
            try:
                with node.client(5.0) as client:
                    while not over.is_set():
                        serial += 1
                        submit(client, f"{name}-{serial}", f"u@d{serial % 3}.test")
                        answered.append(f"{name}-{serial}")
            except (smtplib.SMTPException, OSError):
                over.wait(0.02)

    def by_http(name):
        serial = 0
        while not over.is_set():
            serial += 1
            content = f"Subject: {name}-{serial}\r\n\r\nhello\r\n"
            body = {
                "envelope_sender": "a@x.test",
                "recipients": [{"email": f"u@d{serial % 3}.test"}],
                "content": content,
            }
            try:
                status, _, text = node.http("/api/inject/v1", body)
                if status == 200 and json.loads(text)["success_count"] == 1:
                    answered.append(f"{name}-{serial}")
            except (OSError, http.client.HTTPException):
                over.wait(0.02)

    node.start()
    threads = [threading.Thread(target=by_smtp, args=(f"s{i}",)) for i in range(3)]
    threads += [threading.Thread(target=by_http, args=(f"h{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = len(answered)
        wait_until("some mail", lambda b=before: len(answered) > b + 50)
        assert node.stop(15) == 0, node.log_text()
        node.start()
    over.set()
    for thread in threads:
        thread.join(15)
    wait_until("everything", lambda: set(answered) <= set(sink.subjects()))
    assert node.stop() == 0

    assert Counter(sink.subjects().values()).keys() == {1}
    assert {name[0] for name in answered} == {"s", "h"}
    assert "Traceback" not in node.log_text()
