"""The script is reloaded again and again while clients send: none of them notices."""

from __future__ import annotations

import signal
import smtplib
import threading

import pytest

from tests.fakes.node_process import submit, wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HANDLERS = """
@on("message_received")
{prefix}def message_received(msg):
    msg.set_meta("tenant", "t{number}")


@on("throttle_insert_ready_queue")
{prefix}def throttle_insert_ready_queue(msg):
    return None
"""


def test_no_client_sees_an_error_and_everything_arrives_once(make_node, sink):
    sink.judge = lambda stage, address: (
        "451 4.3.2 later"
        if stage == "dot" and address.startswith("u0") and len(sink.tried[address]) % 9 == 1
        else None
    )
    node = make_node(
        HANDLERS.format(prefix="", number=0),
        queue="retry_interval='1s', max_retry_interval='1s'",
    )
    over = threading.Event()
    answered: list[str] = []
    errors: list[Exception] = []

    def send(name):
        serial = 0
        try:
            with node.client() as client:
                while not over.is_set():
                    serial += 1
                    submit(client, f"{name}-{serial}", f"u{serial % 10}@d{serial % 5}.test")
                    answered.append(f"{name}-{serial}")
        except (smtplib.SMTPException, OSError) as error:
            errors.append(error)

    with node.running():
        threads = [threading.Thread(target=send, args=(f"c{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for number in range(1, 25):
            if number % 4 == 3:
                node.write("broken (\n")
            else:
                prefix = "async " if number % 2 else ""
                node.write(HANDLERS.format(prefix=prefix, number=number))
            node.signal(signal.SIGHUP)
            wait_for(0.15)
        over.set()
        for thread in threads:
            thread.join(15)
        wait_until("everything", lambda: sum(sink.subjects().values()) >= len(answered))
        node.wait_records("Delivery", len(answered))

    assert errors == []
    assert len(answered) > 200
    assert sink.subjects() == dict.fromkeys(answered, 1)
    assert node.log_text().count("policy loaded") >= 15
    assert node.log_text().count("policy rejected") >= 5
    assert "Traceback" not in node.log_text()
