"""What relaying costs the egress proxy: bulk data, connections one after another, idle ones.

    python -m benchmarks.proxy_relay [--gigabytes N] [--connections N] [--idle N] [--copy]

Place in flow: round ``proxy`` of ``benchmarks.run``. Real processes on loopback: a source, what is
measured, a destination. HAProxy, which forwards without SOCKS, and Dante, which speaks it, are
measured the same way in the same round where they are unpacked. A figure "per core" is by the CPU
that the process used, whatever the source and the destination left it of the machine. The goals are
5 Gbit/s per core for bulk data, 2,000 connections a second per core, 10,000 idle connections in
less than 250 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import parts
from benchmarks.processes import (
    accepts,
    cpu_s,
    descendants,
    free_port,
    status_mb,
    stop,
    wait_until,
)

BULK_GOAL_GBIT = 5.0
RATE_GOAL_PER_S = 2_000
IDLE_GOAL_MB = 250
HAPROXY = parts.DEBIAN / "usr/sbin/haproxy"
DANTE = parts.DEBIAN / "usr/sbin/danted"
BLOCK = 1 << 20
#: Connections that the source has under way at a time.
AT_ONCE = 32
#: Descriptors for as many idle connections as are asked for, at each end of each.
_DESCRIPTORS_MAX = 65_536
_SOURCE = "127.0.0.7"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        port: Where it takes connections.
        speaks_socks: Whether a destination is to be named; otherwise it has one.
        takes_source: Whether the source address can be named too.
        room: How many connections it can have at a time.
    """

    name: str
    pid: int
    port: int
    speaks_socks: bool = True
    takes_source: bool = True
    room: int = _DESCRIPTORS_MAX // 2


@dataclass(frozen=True, slots=True)
class RelayFigure:
    """One figure of one subject."""

    subject: str
    what: str
    value: float
    unit: str
    goal: float | None = None
    is_more_better: bool = True

    @property
    def is_met(self) -> bool:
        """Return whether the goal is reached, if there is one."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.is_more_better else self.value <= self.goal


# -- both ends


def _raise_descriptors() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = max(hard, _DESCRIPTORS_MAX)
    for most in (wanted, hard):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return


def _serve(listening: socket.socket) -> None:
    """Echo the first octet of each connection; of one that says more, take all."""
    _raise_descriptors()
    selector = selectors.DefaultSelector()
    listening.setblocking(False)
    selector.register(listening, selectors.EVENT_READ)
    room = bytearray(BLOCK)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listening:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        taken, _address = listening.accept()
                        taken.setblocking(False)
                        selector.register(taken, selectors.EVENT_READ)
                continue
            try:
                size = sock.recv_into(room, 0, socket.MSG_TRUNC)
                if size == 1:
                    sock.send(b"x")
            except OSError:
                size = 0
            if not size:
                selector.unregister(sock)
                sock.close()


@contextlib.contextmanager
def destination() -> Iterator[int]:
    """Run the far end; yield its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listening,))
    process.start()
    port: int = listening.getsockname()[1]
    listening.close()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


def _read(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = sock.recv(size - len(found))
        if not data:
            raise ConnectionError("it closed the connection")
        found += data
    return found


def _request(command: int, host: str, port: int) -> bytes:
    return bytes([5, command, 0, 1]) + socket.inet_aton(host) + struct.pack(">H", port)


def reach(subject: Subject, port: int) -> socket.socket:
    """Return a connection through the subject to a port of this host."""
    sock = socket.create_connection(("127.0.0.1", subject.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not subject.speaks_socks:
        return sock
    sock.sendall(b"\5\1\0")
    _read(sock, 2)
    requests = [_request(1, "127.0.0.1", port)]
    if subject.takes_source:
        requests.insert(0, _request(2, _SOURCE, 0))
    for request in requests:
        sock.sendall(request)
        code = _read(sock, 10)[1]
        if code:
            raise ConnectionError(f"{subject.name} refused with {code}")
    return sock


# -- rounds


def _cpu_s(subject: Subject) -> float:
    """Return what a subject has used so far, in all its processes."""
    total = 0.0
    for pid in (subject.pid, *descendants(subject.pid)):
        with contextlib.suppress(OSError):
            total += cpu_s(pid)
    return total


def _size_mb(subject: Subject) -> float:
    return sum(status_mb(pid, "VmRSS") for pid in (subject.pid, *descendants(subject.pid)))


def measure_bulk(subject: Subject, port: int, *, gigabytes: float) -> RelayFigure:
    """Return what it moves in a second of CPU, from one connection."""
    block, left = bytes(BLOCK), int(gigabytes * 1e9)
    with reach(subject, port) as sock:
        sock.sendall(block)
        before_s, began_s = _cpu_s(subject), time.perf_counter()
        total = left
        while left > 0:
            sock.sendall(block)
            left -= BLOCK
        elapsed_s = time.perf_counter() - began_s
        used_s = max(_cpu_s(subject) - before_s, 0.01)
    gbit = total * 8e-9
    what = f"bulk, per core ({gbit / elapsed_s:.1f} by the clock)"
    return RelayFigure(subject.name, what, gbit / used_s, "Gbit/s", BULK_GOAL_GBIT)


def _connect_many(subject: Subject, port: int, count: int) -> None:
    for _ in range(count):
        with reach(subject, port) as sock:
            sock.sendall(b"x")
            _read(sock, 1)


def measure_rate(subject: Subject, port: int, *, connections: int) -> RelayFigure:
    """Return how many connections it serves in a second of CPU, each with an octet both ways."""
    context = multiprocessing.get_context("fork")
    _connect_many(subject, port, 100)
    share = connections // AT_ONCE
    workers = [
        context.Process(target=_connect_many, args=(subject, port, share)) for _ in range(AT_ONCE)
    ]
    before_s, began_s = _cpu_s(subject), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed_s = time.perf_counter() - began_s
    used_s = max(_cpu_s(subject) - before_s, 0.01)
    if any(worker.exitcode for worker in workers):
        raise ConnectionError(f"{subject.name} failed connections")
    done = share * AT_ONCE
    how = "connections with a source" if subject.takes_source else "connections"
    what = f"{how}, per core ({done / elapsed_s:,.0f} by the clock)"
    return RelayFigure(subject.name, what, done / used_s, "per s", RATE_GOAL_PER_S)


def measure_idle(subject: Subject, port: int, *, connections: int) -> RelayFigure:
    """Return how large the process is with idle connections that have been used once.

    Where a process may have fewer descriptors than these take, it is as many as it may have.
    """
    _raise_descriptors()
    connections = min(connections, subject.room)
    kept = []
    try:
        for _ in range(connections):
            sock = reach(subject, port)
            sock.sendall(b"x")
            _read(sock, 1)
            kept.append(sock)
        size = _size_mb(subject)
    finally:
        for sock in kept:
            sock.close()
    what = f"{connections:,} idle connections"
    return RelayFigure(subject.name, what, size, "MB", IDLE_GOAL_MB, is_more_better=False)


# -- subjects


@contextlib.contextmanager
def _running(
    command: list[str], port: int, *, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        cwd=parts.PROJECT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=_raise_descriptors,
    )
    try:
        wait_until(command[0], lambda: accepts(port), limit_s=20, every_s=0.05)
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def cirrus(*, copies: bool = False) -> Iterator[Subject]:
    """Run our proxy."""
    port = free_port()
    command = [sys.executable, "-m", "proxy", "--listen", f"127.0.0.1:{port}", "--drain", "0"]
    command += ["--allow-destination", "127.0.0.0/8:*", "--log-level", "error"]
    if copies:
        command.append("--no-splice")
    with _running(command, port) as process:
        name = "cirrus proxy, copying" if copies else "cirrus proxy"
        room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 50
        yield Subject(name, process.pid, port, room=room)


@contextlib.contextmanager
def haproxy(target: int) -> Iterator[Subject]:
    """Run HAProxy, which forwards to one destination."""
    port = free_port()
    # It wants half as many descriptors again as connections take.
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 3
    text = f"""\
global
    nbthread 1
    maxconn {room}
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen all
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{target} source {_SOURCE}
"""
    with tempfile.TemporaryDirectory(prefix="cirrus-bench-") as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(text)
        command = [str(HAPROXY), "-db", "-q", "-f", str(file)]
        with _running(command, port, env=parts.environment()) as process:
            yield Subject(
                "HAProxy, no SOCKS",
                process.pid,
                port,
                speaks_socks=False,
                takes_source=False,
                room=room,
            )


@contextlib.contextmanager
def dante() -> Iterator[Subject]:
    """Run Dante, which speaks SOCKS with the addresses it was configured with."""
    port = free_port()
    text = f"""\
logoutput: /dev/null
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""
    with tempfile.TemporaryDirectory(prefix="cirrus-bench-") as folder:
        file = Path(folder) / "danted.conf"
        file.write_text(text)
        command = [str(DANTE), "-f", str(file), "-p", str(Path(folder) / "pid")]
        with _running(command, port, env=parts.environment()) as process:
            yield Subject("Dante, no source", process.pid, port, takes_source=False, room=200)


def run(*, gigabytes: float, connections: int, idle: int, copies: bool) -> list[RelayFigure]:
    """Return the figures of one round."""
    figures = []

    def measure(subject: Subject, port: int) -> None:
        figures.append(measure_bulk(subject, port, gigabytes=gigabytes))
        figures.append(measure_rate(subject, port, connections=connections))
        if subject.takes_source:
            plain = replace(subject, takes_source=False)
            figures.append(measure_rate(plain, port, connections=connections))
        if idle:
            figures.append(measure_idle(subject, port, connections=idle))

    with destination() as port:
        for copying in (False, True) if copies else (False,):
            with cirrus(copies=copying) as subject:
                measure(subject, port)
        if os.access(HAPROXY, os.X_OK):
            with haproxy(port) as other:
                measure(other, port)
        if os.access(DANTE, os.X_OK) and os.getuid() == 0:
            with dante() as other:
                measure(other, port)
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=6400)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--copy", action="store_true", help="measure without splice as well")
    given = parser.parse_args()
    figures = run(
        gigabytes=given.gigabytes,
        connections=given.connections,
        idle=given.idle,
        copies=given.copy,
    )
    for one in figures:
        goal = "" if one.goal is None else f"   goal {one.goal:,.0f}"
        print(f"{one.subject:24} {one.what:56} {one.value:10,.1f} {one.unit}{goal}")


if __name__ == "__main__":
    main()
