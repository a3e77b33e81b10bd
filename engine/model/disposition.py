"""What became of a recipient in one delivery attempt: delivered, deferred or failed.

Place in flow: a reply is judged by ``engine.deliver.verdict`` alone; read by
``engine.schedule.settlement``.
"""

from __future__ import annotations

import enum


class Disposition(enum.Enum):
    """The three things that can become of a recipient."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
