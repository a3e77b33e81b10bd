"""A real HAProxy in front: rules and operators see the client that is behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess

import pytest

from tests.fakes.proxy_process import ProxyProcess, echoes, read_reply
from tests.fakes.proxy_world import request
from tests.fakes.redis_server import PARTS, library_path
from tests.samples.running_node import free_ports, wait_until

BINARY = PARTS / "usr" / "sbin" / "haproxy"
pytestmark = [
    pytest.mark.real_time,
    pytest.mark.slow,
    pytest.mark.skipif(not BINARY.exists(), reason="make parts unpacks HAProxy"),
]


@contextlib.contextmanager
def haproxy(folder, target, how):
    """Run HAProxy in front of a port, reaching it from 127.0.0.2; yield its own port."""
    (port,) = free_ports(1)
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n maxconn 100\ndefaults\n mode tcp\n timeout connect 5s\n"
        " timeout client 30s\n timeout server 30s\n"
        f"listen all\n bind 127.0.0.1:{port}\n"
        f" server proxy 127.0.0.1:{target} {how} source 127.0.0.2\n"
    )
    process = subprocess.Popen(
        [BINARY, "-db", "-f", config],
        env={**os.environ, "LD_LIBRARY_PATH": library_path()},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("HAProxy", lambda: _accepts(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def connect(port, client, target):
    """Return a connection of a client through the balancer and the proxy."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(client, 0))
    sock.sendall(b"\5\1\0" + request("127.0.0.7", 0, 2) + request("127.0.0.1", target))
    assert sock.recv(2) == b"\5\0"
    assert [read_reply(sock)[0] for _ in range(2)] == [0, 0]
    return sock


@pytest.mark.parametrize(
    "how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"]
)
def test_the_client_behind_it_is_the_one_that_counts(tmp_path, how):
    arguments = ("--proxy-protocol-from", "127.0.0.2", "--max-connections-per-client", "1")
    with (
        ProxyProcess(tmp_path, arguments).running() as proxy,
        proxy.destination() as there,
        haproxy(tmp_path, proxy.port, how) as port,
        connect(port, "127.0.0.31", there.port) as first,
        connect(port, "127.0.0.32", there.port) as second,
    ):
        assert echoes(first)
        assert echoes(second)
        assert there.came_from()[0] == "127.0.0.7"
        clients = [one["client"].rpartition(":")[0] for one in proxy.json("/proxy/sessions")]
        assert sorted(clients) == ["127.0.0.31", "127.0.0.32"]
        with pytest.raises((AssertionError, ConnectionError)):
            connect(port, "127.0.0.31", there.port)
        assert proxy.metric("proxy_connections_denied_total", "client_limit") >= 1
