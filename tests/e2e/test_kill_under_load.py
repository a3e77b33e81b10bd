"""Twenty kills at random moments under load: nothing that was answered 250 is lost."""

from __future__ import annotations

import random
import smtplib
import threading

import pytest
from rocksdict import Options, Rdict

from tests.fakes.node_process import submit, wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(180)]

ROUNDS = 20
CLIENTS = 6
CONNECTIONS_OUT = 4


class Client(threading.Thread):
    """Sends one message after the other; notes those that were answered 250."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.prefix = node, name
        self.answered: list[str] = []
        self.over = threading.Event()

    def run(self):
        serial = 0
        while not self.over.is_set():
            try:
                with self.node.client(5.0) as client:
                    while not self.over.is_set():
                        serial += 1
                        subject = f"{self.prefix}-{serial}"
                        # Each third message is one body for three queues.
                        names = [f"u{serial % 7}@d{n}.test" for n in range(3)]
                        submit(client, subject, *(names if serial % 3 == 0 else names[:1]))
                        self.answered.append(subject)
            except (smtplib.SMTPException, OSError):
                self.over.wait(0.02)


def test_twenty_kills_lose_nothing_and_repeat_no_more_than_was_under_way(make_node, sink):
    rng = random.Random(20)
    node = make_node(
        path=f"connection_limit={CONNECTIONS_OUT}", queue="retry_interval='1s', max_age='1h'"
    )
    clients = [Client(node, f"c{i}") for i in range(CLIENTS)]
    open_at_kills = 0

    node.start()
    for client in clients:
        client.start()
    for _ in range(ROUNDS):
        before = sum(len(client.answered) for client in clients)
        wait_until(
            "some mail", lambda b=before: sum(len(client.answered) for client in clients) > b
        )
        wait_for(rng.uniform(0.0, 0.5))
        open_at_kills += sink.open_now
        node.kill()
        node.start()
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(15)
    answered = {subject for client in clients for subject in client.answered}
    wait_until("everything answered 250", lambda: is_complete(answered, sink.subjects()))
    wait_until("an empty spool", lambda: is_empty(node))
    assert node.stop() == 0, node.log_text()

    counts = sink.subjects()
    repeated = sum(count - copies(subject) for subject, count in counts.items())
    assert repeated <= open_at_kills, f"{repeated} duplicates, {open_at_kills} connections"
    assert len(answered) > 20 * ROUNDS
    assert "Traceback" not in node.log_text()
    # What was never answered may have arrived (the client did not see the 250), but not twice so.
    assert len(counts) - len(answered) <= CLIENTS * ROUNDS
    assert left_in_spool(node) == []


def copies(subject):
    return 3 if int(subject.partition("-")[2]) % 3 == 0 else 1


def is_complete(answered, counts):
    return all(counts[subject] >= copies(subject) for subject in answered)


def left_in_spool(node):
    """Return the keys of messages and bodies in the spool of a stopped node."""
    database = Rdict(str(node.spool / "db"), Options(raw_mode=True))
    try:
        return [key for key in database.keys() if key[:1] in (b"m", b"b", b"r", b"q")]
    finally:
        database.close()


def is_empty(node):
    text = node.http("/metrics")[2].decode()
    return "\nscheduled_count_total 0" in text and '\nready_count{service="smtp_client"} 0' in text
