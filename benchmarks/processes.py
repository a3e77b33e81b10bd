"""Processes of a round: free ports, orderly ends, and what they cost.

Place in flow: the sink, the node and Postfix are started and stopped through this.

Known limit: ``/proc`` counts CPU in ticks of 10 ms per process. That is fine for one process that
works for seconds; Postfix has a hundred short ones, so its cost is asked of the kernel when they
are reaped (``orphans_come_here``).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


class BenchError(Exception):
    """A round cannot be run; the text says why."""


class SinkTimeoutError(BenchError):
    """The sink did not get what was expected in time."""


def orphans_come_here() -> None:
    """Make this process inherit orphans, so that it can reap them and learn what they cost."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(what: str, holds: Callable[[], bool], *, limit_s: float, every_s: float) -> None:
    """Return once a condition holds.

    Raises:
        BenchError: It did not within the limit.
    """
    deadline = time.perf_counter() + limit_s
    while not holds():
        if time.perf_counter() > deadline:
            raise BenchError(f"waited {limit_s:.0f} s in vain: {what}")
        time.sleep(every_s)


def accepts(port: int) -> bool:
    """Return whether something accepts connections on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def stop(process: subprocess.Popen[bytes], *, limit_s: float = 20.0) -> None:
    """End a process that was started here: asked first, then killed."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, its threads and its reaped children so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S


def status_mb(pid: int, name: str) -> float:
    """Return a memory line of ``/proc/PID/status`` (VmRSS, VmHWM) in MB; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        children = [int(word) for word in text.split()]
        found += children
        waiting += children
    return found


class CountingPipe:
    """Reads the running counter that smtp-sink writes, without ever falling behind."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.count = 0

    def wait_for(self, count: int, *, limit_s: float) -> float:
        """Return the instant (``perf_counter``) at which the counter reached a value.

        Raises:
            SinkTimeoutError: It did not within the limit.
            BenchError: The sink ended.
        """
        deadline = time.perf_counter() + limit_s
        while self.count < count:
            left_s = deadline - time.perf_counter()
            if left_s <= 0:
                raise SinkTimeoutError(f"the sink has {self.count} of {count} messages")
            if select.select([self._descriptor], [], [], left_s)[0]:
                data = os.read(self._descriptor, 1 << 16)
                if not data:
                    raise BenchError("the sink ended")
                self._read(data)
        return time.perf_counter()

    def _read(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r")
        for line in reversed(lines):
            _, found, number = line.rpartition(b"mesg=")
            if found:
                self.count = int(number)
                return
