"""Fifty sessions that all hit a handler without end: the others hardly notice, mail goes out."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.fakes.node_process import submit, wait_for, wait_until
from tests.samples.running_node import free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(180)]

HANDLER = """
@on("get_listener_domain")
def get_listener_domain(domain, listener, conn):
    while True:
        pass
"""
STUCK = 50
#: How long the breaker may take to open.
OPENING_S = 1.0
WINDOW_S = 3.0
#: Stretches of time of which one has to be quiet.
WINDOWS = 6
RISE_MAX_S = 0.1


class Clients:
    """Threads that do the same until they are stopped."""

    def __init__(self, count: int, act) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=act, args=(self._over,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def stuck_session(port: int, over: threading.Event) -> None:
    """Name a recipient again and again at a listener that asks the handler about it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        lines = peer.makefile("rb")
        lines.readline()
        for command in (b"HELO c.test", b"MAIL FROM:<a@x.test>"):
            peer.sendall(command + b"\r\n")
            lines.readline()
        while not over.is_set():
            peer.sendall(b"RCPT TO:<b@y.test>\r\n")
            if not lines.readline().startswith(b"451"):
                return
            wait_for(0.05)


def test_other_sessions_go_on_once_the_breaker_is_open(make_node, sink):
    (port,) = free_ports(1)
    more = f'mta.start_esmtp_listener(listen="127.0.0.1:{port}", relay_hosts=[])'
    node = make_node(HANDLER, init=more)
    took: list[float] = []

    def others(over: threading.Event) -> None:
        with node.client(30) as client:
            while not over.is_set():
                began = time.monotonic()
                submit(client, "x")
                took.append(time.monotonic() - began)
                wait_for(0.005)

    def window(enough_s: float = 0.0) -> float:
        """Return the p99 of a stretch of time; a quiet one, as other processes take part.

        When it is as small as it has to be nothing more is waited for.
        """
        found: list[float] = []
        while len(found) < (WINDOWS if enough_s else 2) and min(found, default=9.0) >= enough_s:
            del took[:]
            wait_for(WINDOW_S)
            found.append(p99(list(took)))
        return min(found)

    with node.running():
        clients = Clients(4, others)
        before_s = window()
        stuck = Clients(STUCK, lambda over: stuck_session(port, over))
        node.wait_log("handler of get_listener_domain is not run")
        wait_for(OPENING_S)
        delivered = len(sink.taken)
        after_s = window(before_s + RISE_MAX_S)
        arrived = len(sink.taken) - delivered
        stuck.stop()
        clients.stop()
        gauge = node.http("/metrics")[2].decode()
        wait_until("mail", lambda: len(sink.taken) > delivered)

    assert after_s - before_s < RISE_MAX_S, (before_s, after_s)
    assert arrived > 100
    assert 'policy_handler_overruns_total{event="get_listener_domain"}' in gauge
