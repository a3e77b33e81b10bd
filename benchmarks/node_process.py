"""A Cirrus node as a process of its own, in a folder that goes away with it.

Place in flow: relay and waiting rounds start it; figures are read from ``/proc`` and ``/metrics``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from benchmarks import parts
from benchmarks.policy_bench import policy_text
from benchmarks.processes import BenchError, cpu_s, free_port, status_mb, stop, wait_until


class NodeProcess:
    """A running node; a context manager.

    Attributes:
        smtp_port: Where it takes mail.
        http_port: Where it answers HTTP.
        profile: Where its profile is written, if it is to be profiled.
    """

    def __init__(
        self,
        folder: Path,
        sink_port: int,
        *,
        max_ready: int = 20_000,
        profile: Path | None = None,
        ready_limit_s: float = 30.0,
    ) -> None:
        self.folder = folder
        self.smtp_port = free_port()
        self.http_port = free_port()
        self._ready_limit_s = ready_limit_s
        folder.mkdir(parents=True, exist_ok=True)
        policy = folder / "policy.py"
        policy.write_text(
            policy_text(
                folder,
                smtp_port=self.smtp_port,
                http_port=self.http_port,
                sink_port=sink_port,
                max_ready=max_ready,
            )
        )
        runner = ["-m", "engine"] if profile is None else ["-m", "cProfile", "-o", str(profile)]
        if profile is not None:
            runner += ["-m", "engine"]
        self._log = (folder / "node.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, *runner, "--policy", str(policy), "--log-level", "warning"],
            cwd=parts.PROJECT,
            env={**os.environ, "PYTHONPATH": str(parts.PROJECT)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid

    def __enter__(self) -> NodeProcess:
        """Wait until it says that it takes mail."""
        try:
            wait_until("the node is up", self._is_up, limit_s=self._ready_limit_s, every_s=0.02)
        except BenchError as error:
            self._process.kill()
            self._process.wait()
            raise BenchError(f"{error}\n{self.log_text()[-2000:]}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        stop(self._process, limit_s=40)
        self._log.close()

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise BenchError(f"the node ended:\n{self.log_text()[-2000:]}")
        return self.get("/api/check-liveness/v1") is not None

    def get(self, path: str) -> str | None:
        """Return the body of a page of the node, None when it does not answer 200."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                text: str = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None
        return text

    def metric(self, name: str) -> float:
        """Return the sum of a metric's values; 0 when there is none."""
        total = 0.0
        for line in (self.get("/metrics") or "").splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rpartition(" ")[2])
        return total

    def log_text(self) -> str:
        """Return what it said on standard error."""
        return (self.folder / "node.log").read_text(errors="replace")

    def cpu_s(self) -> float:
        """Return the CPU seconds it used so far."""
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        """Return its resident memory now."""
        return status_mb(self.pid, "VmRSS")

    def peak_mb(self) -> float:
        """Return its highest resident memory so far."""
        return status_mb(self.pid, "VmHWM")
