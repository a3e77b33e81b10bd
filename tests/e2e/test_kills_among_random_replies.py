"""Five kills while hosts defer, refuse and break off: each message has one end, and it is told."""

from __future__ import annotations

import random
import smtplib
import threading
import time
from collections import defaultdict

import pytest

from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import submit, wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(120)]

CLIENTS, SHARE, KILLS = 5, 400, 5
CONNECTIONS_OUT = 4
DOMAINS = 4
#: A kill may take the records of the last second; the clocks of test and node are two.
RECORDS_LOST_S = 1.5
REPLIES = {
    "rcpt": ((0.06, "451 4.2.0 later"), (0.03, "550 5.1.1 nobody"), (0.02, "421 4.7.0 busy")),
    "dot": ((0.06, "451 4.3.0 later"), (0.03, "554 5.6.0 not this")),
}


class MoodySink(LoopbackSink):
    """Answers by chance; notes when each recipient's mail ended: taken, or refused for good.

    It never breaks off after it took a message: a second copy is then the node's fault.
    """

    def __init__(self, seed):
        super().__init__(self._answer)
        self._rng = random.Random(seed)
        self.ends: dict[str, list[float]] = defaultdict(list)

    def _answer(self, stage, address):
        chance = self._rng.random()
        for share, reply in REPLIES[stage]:
            if chance < share:
                if reply.startswith("5"):
                    self.ends[address].append(time.monotonic())
                return reply
            chance -= share
        if stage == "dot":
            self.ends[address].append(time.monotonic())
        return None

    async def _content(self, reader):
        content = await super()._content(reader)
        if self._rng.random() < 0.03:
            raise ConnectionError("breaks off after the dot, without having taken it")
        return content


class Client(threading.Thread):
    """Sends until its share was answered 250; what was answered otherwise gets another name."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.name_ = node, name
        self.answered: list[str] = []

    def run(self):
        serial = 0
        while len(self.answered) < SHARE:
            try:
                with self.node.client(5.0) as client:
                    while len(self.answered) < SHARE:
                        serial += 1
                        names = [f"{self.name_}-{serial}-{n}@d{n}.test" for n in range(DOMAINS)]
                        # Each fifth message is one body for several queues.
                        names = names if serial % 5 == 0 else names[serial % DOMAINS :][:1]
                        submit(client, names[0], *names)
                        self.answered += names
            except (smtplib.SMTPException, OSError):
                wait_for(0.02)


def test_each_message_that_was_answered_ends_once_and_is_told_of(make_node):
    rng = random.Random(5)
    with MoodySink(11).listening() as sink:
        node = make_node(
            sink=sink.port,
            path=f"connection_limit={CONNECTIONS_OUT}, "
            "consecutive_connection_failures_before_delay=20",
            queue="retry_interval='300ms', max_retry_interval='600ms', max_age='1h'",
        )
        node.start()
        clients = [Client(node, f"c{number}") for number in range(CLIENTS)]
        for client in clients:
            client.start()
        killed_at, open_at_kills = [], 0
        for number in range(1, KILLS + 1):
            wait_until("mail", lambda n=number: answered(clients) >= n * CLIENTS * SHARE // 7)
            wait_for(rng.uniform(0.0, 0.2))
            open_at_kills += sink.open_now
            node.kill()
            killed_at.append(time.monotonic())
            node.start()
        for client in clients:
            client.join(30)
        names = [name for client in clients for name in client.answered]
        wait_until("an end for each", lambda: all(sink.ends.get(name) for name in names))
        wait_until("an empty spool", lambda: is_empty(node))
        assert node.stop() == 0, node.log_text()

    assert len(names) >= CLIENTS * SHARE
    assert sum(len(ends) - 1 for ends in sink.ends.values() if ends) <= open_at_kills
    assert untold(node, names, sink.ends, killed_at) == []
    assert "Traceback" not in node.log_text()


def answered(clients):
    return sum(len(client.answered) for client in clients)


def untold(node, names, ends, killed_at):
    """Return whose end no record tells, though there was time to write it before a kill."""
    told = set()
    for kind in ("Delivery", "Bounce"):
        for record in node.records(kind):
            recipient = record["recipient"]
            told.update([recipient] if isinstance(recipient, str) else recipient)
    return [
        name
        for name in names
        if name not in told
        and not any(0 <= kill - end <= RECORDS_LOST_S for end in ends[name] for kill in killed_at)
    ]


def is_empty(node):
    text = node.http("/metrics")[2].decode()
    return "\nscheduled_count_total 0" in text and '\nready_count{service="smtp_client"} 0' in text
