"""What the load generator counted, while it runs and at its end.

Place in flow: sessions note outcomes here; ``traffic`` shows them.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Latencies kept; of more, an even sample.
_MAX_LATENCIES = 50_000
#: Different texts of refusals kept.
_MAX_TEXTS = 20


@dataclass(frozen=True, slots=True)
class TrafficSummary:
    """A run, or its state up to now.

    Attributes:
        messages: Whose outcome is known: accepted + deferred + refused + lost.
        accepted: Taken for at least one recipient.
        deferred: Answered 4xx.
        refused: Answered 5xx.
        lost: Their connection broke before the final reply.
        recipients_refused: Single recipients answered 4xx or 5xx in messages that went on.
        bytes_sent: Content of the messages accepted.
        connections: Opened.
        connect_failures: That could not be opened, or ended before the first message.
        open_connections: Now.
        elapsed_s: Since the start.
        per_s: Messages per second since the start.
        replies: How often each reply came, ``stage code``.
        texts: Texts of refusals and deferrals, and how often they came.
        latency_ms: From the first octet of a message's dialogue to its final reply: p50, p95, p99,
            max.
        trouble: The last error of a connection, empty without one.
    """

    messages: int
    accepted: int
    deferred: int
    refused: int
    lost: int
    recipients_refused: int
    bytes_sent: int
    connections: int
    connect_failures: int
    open_connections: int
    elapsed_s: float
    per_s: float
    replies: Mapping[str, int]
    texts: Mapping[str, int]
    latency_ms: Mapping[str, float]
    trouble: str
    gave_up: bool

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        values = asdict(self)
        values["elapsed_s"] = round(self.elapsed_s, 3)
        values["per_s"] = round(self.per_s, 1)
        values["latency_ms"] = {key: round(ms, 3) for key, ms in self.latency_ms.items()}
        return values

    def is_fine(self, *, allow_refusals: bool, keep_going: bool) -> bool:
        """Return whether what was asked for happened.

        Args:
            allow_refusals: Whether 5xx replies are part of the test.
            keep_going: Whether lost connections are.
        """
        if self.refused and not allow_refusals:
            return False
        if (self.lost or self.gave_up) and not keep_going:
            return False
        return bool(self.messages) or not self.connect_failures


class Tally:
    """Counts outcomes.

    Attributes:
        accepted: Messages answered 2xx at their end.
        deferred: Answered 4xx.
        refused: Answered 5xx.
        lost: Without a final reply.
        gave_up: Whether a session stopped because the target could not be reached.
    """

    def __init__(self, started_mono: float) -> None:
        self._started_mono = started_mono
        self.accepted = 0
        self.deferred = 0
        self.refused = 0
        self.lost = 0
        self.recipients_refused = 0
        self.bytes_sent = 0
        self.connections = 0
        self.connect_failures = 0
        self.open_connections = 0
        self.trouble = ""
        self.gave_up = False
        self._replies: dict[tuple[str, int], int] = {}
        self._texts: dict[str, int] = {}
        self._latencies_s = array("d")
        self._seen = 0
        self._longest_s = 0.0
        self._random = random.Random(0)

    @property
    def messages(self) -> int:
        """Return how many messages have an outcome."""
        return self.accepted + self.deferred + self.refused + self.lost

    def note_reply(self, stage: str, code: int, text: str) -> None:
        """Count a reply; keep its text if it is no yes."""
        key = (stage, code)
        self._replies[key] = self._replies.get(key, 0) + 1
        if code >= 400:
            line = f"{stage} {code} {text[:200]}"
            if line in self._texts or len(self._texts) < _MAX_TEXTS:
                self._texts[line] = self._texts.get(line, 0) + 1

    def note_outcome(self, code: int, size_bytes: int, latency_s: float) -> None:
        """Count a message by its deciding reply."""
        if code < 400:
            self.accepted += 1
            self.bytes_sent += size_bytes
        elif code < 500:
            self.deferred += 1
        else:
            self.refused += 1
        self._seen += 1
        self._longest_s = max(self._longest_s, latency_s)
        if len(self._latencies_s) < _MAX_LATENCIES:
            self._latencies_s.append(latency_s)
            return
        place = self._random.randrange(self._seen)
        if place < _MAX_LATENCIES:
            self._latencies_s[place] = latency_s

    def summary(self, now_mono: float) -> TrafficSummary:
        """Return what was counted up to now."""
        elapsed_s = max(now_mono - self._started_mono, 1e-9)
        ordered = sorted(self._latencies_s)
        return TrafficSummary(
            messages=self.messages,
            accepted=self.accepted,
            deferred=self.deferred,
            refused=self.refused,
            lost=self.lost,
            recipients_refused=self.recipients_refused,
            bytes_sent=self.bytes_sent,
            connections=self.connections,
            connect_failures=self.connect_failures,
            open_connections=self.open_connections,
            elapsed_s=elapsed_s,
            per_s=self.messages / elapsed_s,
            replies={
                f"{stage} {code}": number for (stage, code), number in sorted(self._replies.items())
            },
            texts=dict(self._texts),
            latency_ms={
                "p50": _percentile(ordered, 0.50) * 1e3,
                "p95": _percentile(ordered, 0.95) * 1e3,
                "p99": _percentile(ordered, 0.99) * 1e3,
                "max": self._longest_s * 1e3,
            },
            trouble=self.trouble,
            gave_up=self.gave_up,
        )


def _percentile(ordered: list[float], share: float) -> float:
    if not ordered:
        return 0.0
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
