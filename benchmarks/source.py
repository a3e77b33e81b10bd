"""The load of a round: Postfix's ``smtp-source``.

Place in flow: relay rounds point it at a node or at Postfix.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from benchmarks import parts
from benchmarks.processes import BenchError


@dataclass(frozen=True, slots=True)
class Workload:
    """What a source sends.

    Attributes:
        name: As the table names it.
        messages: How many.
        size_bytes: Of each body.
        sessions: At the same time.
        keeps_connections: Whether a connection carries many messages.
    """

    name: str
    messages: int
    size_bytes: int
    sessions: int = 50
    keeps_connections: bool = False


def send(work: Workload, port: int, *, messages: int | None = None, limit_s: float = 600.0) -> None:
    """Send and return when every message was answered.

    Raises:
        BenchError: One was refused, or it took too long.
    """
    arguments = ["-s", work.sessions, "-m", messages or work.messages, "-l", work.size_bytes]
    arguments += ["-d"] if work.keeps_connections else []
    arguments += ["-M", "source.bench.example", "-f", "a@from.example", "-t", "b@to.example"]
    try:
        done = subprocess.run(
            [str(parts.SMTP_SOURCE), *map(str, arguments), f"127.0.0.1:{port}"],
            env=parts.environment(),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"smtp-source was not done after {limit_s:.0f} s") from None
    if done.returncode:
        raise BenchError(f"smtp-source: {done.stderr.decode(errors='replace')[-500:]}")
