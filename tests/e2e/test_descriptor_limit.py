"""A node that runs out of descriptors serves whom it can, burns no CPU and recovers."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.fakes.node_process import wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

LIMIT = 96


def cpu_s(process_id):
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_running_out_of_descriptors_is_survived(make_node, sink):
    node = make_node(wrap=("prlimit", f"--nofile={LIMIT}:{LIMIT}"))

    with node.running():
        node.send("before")
        clients = [connect(node) for _ in range(LIMIT + 30)]
        greeted = [c for c in clients if c is not None and is_greeted(c)]
        before_s = cpu_s(node.process.pid)
        # The script is edited while nobody can read it: that is made up for.
        node.write("""
            @on("message_received")
            def message_received(msg):
                msg.prepend_header("X-Edited", "yes")
        """)
        node.signal(signal.SIGHUP)
        wait_for(2.0)
        used_s = cpu_s(node.process.pid) - before_s
        for client in clients:
            if client is not None:
                client.close()
        wait_until("a client that is served", lambda: serves(node))
        node.wait_records("Delivery", 2)
        wait_until("liveness", node.is_live)
        node.wait_log("policy loaded", 2)
        node.send("edited")
        wait_until("it", lambda: sink.subjects()["edited"])

    assert 10 < len(greeted) < LIMIT
    assert used_s < 0.7, f"{used_s} s of CPU in two seconds of having nothing to do"
    assert sink.subjects()["before"] == 1
    assert sink.subjects()["after"] >= 1
    assert b"X-Edited: yes" in sink.taken[-1].content
    assert "Traceback" not in node.log_text()


def connect(node):
    try:
        return socket.create_connection(("127.0.0.1", node.smtp_port), timeout=0.5)
    except OSError:
        return None


def is_greeted(client):
    client.settimeout(0.1)
    try:
        return client.recv(3) == b"220"
    except OSError:
        return False


def serves(node):
    try:
        node.send("after")
    except Exception:
        return False
    return True
