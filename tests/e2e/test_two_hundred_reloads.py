"""Two hundred reloads under load: nobody is refused because of one, and nothing of them stays."""

from __future__ import annotations

import re
import smtplib
import threading
from pathlib import Path

import pytest

from tests.fakes.node_process import NodeProcess, submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(300)]

RELOADS = 200
#: What an epoch holds: a table of a size that would show if old ones stayed.
HANDLERS = """
TABLE = {{f"tenant-{{n}}": [n] * 10 for n in range(5000)}}

@on("message_received")
def message_received(msg):
    msg.set_meta("epoch", {number})
    msg.set_meta("size", len(TABLE))


@on("smtp_ehlo")
async def smtp_ehlo(domain, conn, extensions):
    return None
"""
#: Far less than 150 tables, which are made while it is measured: each has half a megabyte.
GROWTH_MAX = 16 << 20


def rss(node: NodeProcess) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10


def test_no_message_is_refused_and_memory_does_not_grow(make_node, sink):
    node = make_node(HANDLERS.format(number=0))
    over = threading.Event()
    taken: list[str] = []
    errors: list[Exception] = []

    def send(name: str) -> None:
        serial = 0
        while not over.is_set():
            try:
                # A new session now and then: sessions live under the epochs they began with.
                with node.client() as client:
                    for _ in range(20):
                        serial += 1
                        submit(client, f"{name}-{serial}")
                        taken.append(f"{name}-{serial}")
            except (smtplib.SMTPException, OSError) as error:
                errors.append(error)
                return

    with node.running():
        threads = [threading.Thread(target=send, args=(f"c{i}",)) for i in range(3)]
        for thread in threads:
            thread.start()
        sizes = []
        for number in range(1, RELOADS + 1):
            node.write(HANDLERS.format(number=number))
            assert node.http("/api/admin/bump-config-epoch", {})[0] == 200
            wait_until("the reload", lambda: node.log_text().count("policy loaded") > number)
            sizes.append(rss(node))
        over.set()
        for thread in threads:
            thread.join(20)
        wait_until("everything", lambda: sum(sink.subjects().values()) >= len(taken))

    assert errors == []
    assert len(taken) > RELOADS
    assert sink.subjects() == dict.fromkeys(taken, 1)
    assert max(sizes[-20:]) - max(sizes[30:50]) < GROWTH_MAX, [size >> 20 for size in sizes[::10]]
    assert "Traceback" not in node.log_text()
