"""Frozen process settings, read once: what the command line and the environment say.

Place in flow: made by ``engine.__main__``, read by ``engine.app``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs.

    Attributes:
        policy: The policy script.
        drain_s: How long a stop may take before what is under way is cut off, seconds.
        reload_interval_s: How often the policy's files are looked at, seconds.
        log_level: Of the diagnostic log.
        node_id: The node's UUID as given from outside; None leaves it to the file in the spool.
    """

    policy: Path
    drain_s: float = 30.0
    reload_interval_s: float = 1.0
    log_level: str = "info"
    node_id: str | None = None
