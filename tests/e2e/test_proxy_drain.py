"""SIGTERM: no new clients, time for those that are connected, and an end in any case."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.fakes.proxy_process import ProxyProcess, echoes, read
from tests.samples.running_node import PATIENCE_S, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_connections_finish_and_then_it_ends(tmp_path):
    proxy = ProxyProcess(tmp_path, ("--drain", "30s"))
    try:
        proxy.start()
        with proxy.destination() as there:
            talking = proxy.connect(there.port)
            asking = proxy.open()
            asking.sendall(b"\5\1\0")
            assert read(asking, 2) == b"\5\0"
            proxy.signal(signal.SIGTERM)
            wait_until("no new clients", lambda: is_closed(proxy.port))

            assert asking.recv(1) == b""
            assert echoes(talking, b"still here")
            assert proxy.http("/api/check-liveness/v1")[0] == 503
            assert proxy.json("/proxy/status")["connections"] == 1
            talking.close()
            assert proxy.process.wait(PATIENCE_S) == 0
    finally:
        proxy.kill()
    assert "connections that may go on for 30 s: 1" in proxy.log_text()


def test_what_does_not_finish_is_broken_off_at_the_end_of_its_time(tmp_path):
    proxy = ProxyProcess(tmp_path, ("--drain", "1s"))
    try:
        proxy.start()
        with proxy.destination() as there:
            talking = proxy.connect(there.port)
            began = time.monotonic()
            proxy.signal(signal.SIGTERM)

            with pytest.raises(ConnectionResetError):
                talking.recv(1)
            assert proxy.process.wait(PATIENCE_S) == 0
            assert 0.9 < time.monotonic() - began < 10
    finally:
        proxy.kill()
    assert "connections that are broken off: 1" in proxy.log_text()
