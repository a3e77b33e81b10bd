"""A disk that fails under a running node: strace makes its system calls slow or fail.

Only the threads that flush are traced, so that the node's loop runs at full speed and what is
measured of it is its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.samples.running_node import ROOT, wait_until

_UNPACKED = ROOT / ".parts" / "debian" / "usr" / "bin" / "strace"

#: Faults, as strace injects them: calls and what becomes of them.
SLOW = "fdatasync,fsync:delay_exit=300000"
EIO_ONCE = "fdatasync,fsync:error=EIO:when=1"
EIO = "fdatasync,fsync:error=EIO"
#: What a disk does that its driver turned read-only after an error. (One with files open for
#: writing cannot be turned from outside; ``write`` is left out, since it also wakes the loop.)
READ_ONLY = "fdatasync,fsync,pwrite64,rename:error=EROFS"


def find_strace() -> list[str]:
    """Return how to run strace; skip the test, with the reason, where that cannot be done."""
    path = str(_UNPACKED) if _UNPACKED.exists() else shutil.which("strace")
    if path is None:
        pytest.skip("no strace: scripts/unpack_parts.sh could not fetch it")
    command = [path]
    if path == str(_UNPACKED):
        script = str(ROOT / "scripts" / "unpack_parts.sh")
        libraries = subprocess.check_output(["bash", script, "--library-path"], text=True).strip()
        command = ["env", f"LD_LIBRARY_PATH={libraries}", path]
    trial = subprocess.run([*command, "-qq", "-o", "/dev/null", "true"], capture_output=True)
    if trial.returncode != 0:
        pytest.skip(f"strace may not trace here: {trial.stderr.decode().strip()}")
    return command


def flushing_threads(pid: int) -> list[str]:
    """Return the threads of a process beside its first, on which the loop runs."""
    threads = [name.name for name in Path(f"/proc/{pid}/task").iterdir()]
    return [name for name in threads if name != str(pid)]


class Fault:
    """A fault while it lasts."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def count(self) -> int:
        """Return how many calls it hit."""
        said = self._log.read_text() if self._log.exists() else ""
        return said.count("(INJECTED)") + said.count("(DELAYED)")


@contextlib.contextmanager
def failing(pid: int, fault: str, folder: Path) -> Iterator[Fault]:
    """Make the syncs of a node slow or fail while the context lasts."""
    log = folder / "strace.log"
    log.unlink(missing_ok=True)
    tracer = _attach(pid, fault, log)
    try:
        yield Fault(log)
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGTERM)
        tracer.wait(20)


def _attach(pid: int, fault: str, log: Path) -> subprocess.Popen[bytes]:
    """Return strace at work on the threads of a process."""
    calls = fault.partition(":")[0]
    command = [*find_strace(), "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={fault}"]
    said = log.with_suffix(".err")
    for _ in range(10):
        threads = flushing_threads(pid)
        with said.open("wb") as errors:
            tracer = subprocess.Popen(
                [*command, *(argument for thread in threads for argument in ("-p", thread))],
                stderr=errors,
            )

        def is_settled(tracer: Any = tracer, threads: Any = threads) -> bool:
            return tracer.poll() is not None or all(_is_traced(pid, one) for one in threads)

        wait_until("strace", is_settled)
        if tracer.poll() is None:
            return tracer
        # A thread may end between the look and the attachment.
        if "No such process" not in said.read_text():
            break
    pytest.skip(f"strace may not attach to processes here: {said.read_text().strip()}")


def _is_traced(pid: int, thread: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        # It ended, before or while it was looked at.
        return True
    return "TracerPid:\t0\n" not in status


@contextlib.contextmanager
def small_disk(path: Path, options: str = "size=24m") -> Iterator[Path]:
    """Mount a small disk in memory; skip the test, with the reason, where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cirrus-test", str(path)],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    """Change how a small disk is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)
