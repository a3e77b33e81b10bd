"""A thousand logins at the console of a node that has mail to deliver, and worse."""

from __future__ import annotations

import contextlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.console.connection_brake import PENDING_MAX, PENDING_OF_ONE_MAX
from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import NodeProcess, wait_until
from tests.fakes.ssh_client import SshClient, needs_ssh
from tests.samples.running_node import free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(240), needs_ssh]
LOGINS = 1000


@pytest.fixture
def sink():
    with LoopbackSink().listening() as sink:
        yield sink


@pytest.fixture
def node(tmp_path, sink):
    (port,) = free_ports(1)
    authorized = SshClient.make_keys(tmp_path, olga="operator")
    made = NodeProcess(
        tmp_path,
        sink.port,
        init=(
            f'mta.start_ssh_console(listen="127.0.0.1:{port}", '
            f"host_key={str(tmp_path / 'host_key')!r}, authorized_keys={str(authorized)!r})"
        ),
    )
    made.ssh = SshClient(tmp_path, port)
    made.console = ("127.0.0.1", port)
    with made.running():
        made.wait_log("SSH console on")
        yield made


def descriptors(node: NodeProcess) -> int:
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def knock(address: tuple[str, int], said: bytes) -> bytes:
    """Connect, say something, and return what is answered until the end or a second."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(address, 5) as client:
        client.settimeout(1.0)
        client.sendall(said)
        while piece := client.recv(4096):
            answer += piece
            if len(answer) > 1 << 16:
                break
    return answer


def test_a_thousand_logins_are_bounded_and_told_and_mail_goes_on(node):
    before = descriptors(node)
    garbage = [b"", b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n" + os.urandom(2048), b"\x00" * 65536]

    with ThreadPoolExecutor(50) as crowd:
        knocks = [
            crowd.submit(knock, node.console, garbage[number % len(garbage)])
            for number in range(LOGINS)
        ]
        for number in range(10):
            node.send(f"meanwhile {number}")
        node.wait_records("Delivery", 10)
        answers = [one.result() for one in knocks]

    entries = node.json("/api/admin/audit/v1?limit=1000&act=console-login")["entries"]
    told = len(entries) + sum(one.get("repeats", 0) for one in entries)
    assert len(answers) == LOGINS
    assert 1 <= len(entries) <= 60
    assert told <= LOGINS
    wait_until("descriptors given back", lambda: descriptors(node) <= before + PENDING_MAX)
    # Whoever has a key comes in again after the wait of that address.
    wait_until("a login", lambda: node.ssh.run("olga", "whoami").returncode == 0)
    assert node.http("/api/check-liveness/v1")[0] == 200


def test_those_who_connect_and_wait_are_few(node):
    held = [socket.create_connection(node.console, 5) for _ in range(PENDING_OF_ONE_MAX * 3)]
    try:
        greeted = 0
        for one in held:
            one.settimeout(2.0)
            with contextlib.suppress(OSError):
                greeted += one.recv(64).startswith(b"SSH-2.0-Cirrus")
        assert greeted == PENDING_OF_ONE_MAX
    finally:
        for one in held:
            one.close()
    node.send("meanwhile")
    node.wait_records("Delivery", 1)
