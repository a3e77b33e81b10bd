"""The sink of a round: Postfix's ``smtp-sink``, counting.

Place in flow: both sides of a comparison deliver into it; the end of a round is its counter.
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType

from benchmarks import parts
from benchmarks.processes import BenchError, CountingPipe, accepts, free_port, stop, wait_until


class Sink:
    """A running smtp-sink; a context manager."""

    def __init__(self) -> None:
        if not parts.is_postfix_here():
            raise BenchError("Postfix is not unpacked: run scripts/unpack_parts.sh")
        self.port = free_port()
        # It refuses to stay root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [str(parts.SMTP_SINK), *user, "-c", f"127.0.0.1:{self.port}", "1024"],
            stdout=subprocess.PIPE,
            env=parts.environment(),
        )
        assert self._process.stdout is not None
        self.counter = CountingPipe(self._process.stdout.fileno())

    def __enter__(self) -> Sink:
        """Wait until it listens."""
        wait_until("smtp-sink listens", lambda: accepts(self.port), limit_s=10, every_s=0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        stop(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()
