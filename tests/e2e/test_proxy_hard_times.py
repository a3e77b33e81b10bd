"""Clients that stall, too few descriptors, clients that are too many: the proxy goes on."""

from __future__ import annotations

import contextlib
import select
import time

import pytest

from tests.fakes.proxy_process import ProxyProcess, echoes, read
from tests.fakes.proxy_world import request
from tests.samples.running_node import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
DIALOGUE = b"\5\1\0" + request("127.0.0.7", 0, 2) + request("127.0.0.1", 9)


def test_a_client_that_stalls_at_any_octet_is_cut_at_its_deadline(tmp_path):
    with ProxyProcess(tmp_path, ("--timeout", "1s")).running() as proxy:
        socks = []
        for size in range(len(DIALOGUE)):
            sock = proxy.open()
            sock.sendall(DIALOGUE[:size])
            socks.append(sock)
        began, left = time.monotonic(), set(socks)
        while left and time.monotonic() - began < 10:
            for sock in select.select(list(left), [], [], 0.5)[0]:
                with contextlib.suppress(ConnectionResetError):
                    if sock.recv(100):
                        continue
                left.discard(sock)
        took = time.monotonic() - began

        assert not left
        # A step each: nobody is further than its third one.
        assert 0.5 < took < 3.5
        wait_until("their end", lambda: proxy.json("/proxy/status")["connections"] == 0)


def test_a_proxy_without_descriptors_waits_for_some_and_goes_on(tmp_path):
    with (
        ProxyProcess(tmp_path, descriptors=64).running() as proxy,
        proxy.destination() as there,
    ):
        socks = [proxy.open() for _ in range(100)]
        for sock in socks:
            sock.sendall(b"\5\1\0")
        wait_until("an error", lambda: "no client can be accepted" in proxy.log_text())
        answered = [sock for sock in socks if select.select([sock], [], [], 0.1)[0]]
        assert 10 < len(answered) < 64
        # It can open none to anywhere, and says so instead of hanging.
        answered[0].sendall(request("127.0.0.1", there.port))
        assert read(answered[0], 2) == b"\5\0"
        assert read(answered[0], 2) == b"\5\1"
        for sock in socks:
            sock.close()

        with proxy.connect(there.port, source="127.0.0.7") as sock:
            assert echoes(sock)
        assert proxy.metric("proxy_accept_errors_total") >= 1


def test_one_address_cannot_take_all_the_room(tmp_path):
    limits = ("--max-connections", "6", "--max-connections-per-client", "4")
    with ProxyProcess(tmp_path, limits).running() as proxy, proxy.destination() as there:
        kept = [proxy.connect(there.port) for _ in range(4)]
        with pytest.raises((ConnectionError, OSError)):
            proxy.connect(there.port)

        assert all(echoes(sock) for sock in kept)
        assert proxy.metric("proxy_connections_denied_total", "client_limit") == 1
        for sock in kept:
            sock.close()
