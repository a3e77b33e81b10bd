"""What the load generator counted, while it runs and at its end.

Place in flow: sessions note outcomes here; ``traffic`` shows them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Different texts of refusals kept.
_MAX_TEXTS = 20


class LatencyHistogram:
    """Latencies in classes that are 2 % wide, from a microsecond to an hour.

    A fixed size, however long a run is, and a percentile costs the same at its start and its end.

    Attributes:
        longest_s: The longest one, exactly.
    """

    _SHORTEST_S = 1e-6
    _STEP = math.log(1.02)
    _CLASSES = math.ceil(math.log(3600.0 / _SHORTEST_S) / _STEP) + 1

    def __init__(self) -> None:
        self._counts = [0] * self._CLASSES
        self._total = 0
        self.longest_s = 0.0

    def note(self, latency_s: float) -> None:
        """Count a latency."""
        ratio = latency_s / self._SHORTEST_S
        place = math.ceil(math.log(ratio) / self._STEP) if ratio > 1.0 else 0
        self._counts[min(place, self._CLASSES - 1)] += 1
        self._total += 1
        self.longest_s = max(self.longest_s, latency_s)

    def percentile(self, share: float) -> float:
        """Return the seconds that this share of the latencies does not exceed; 0 of none."""
        wanted = max(1, math.ceil(self._total * share))
        seen = 0
        for place, number in enumerate(self._counts):
            seen += number
            if seen >= wanted:
                return min(self._SHORTEST_S * math.exp(place * self._STEP), self.longest_s)
        return 0.0


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
        gave_up: Whether a session stopped because the target could not be reached.
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
        # Whatever was asked for, a server that took nothing to answer was not tested.
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
        self._latencies = LatencyHistogram()

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
        self._latencies.note(latency_s)

    def summary(self, now_mono: float) -> TrafficSummary:
        """Return what was counted up to now."""
        elapsed_s = max(now_mono - self._started_mono, 1e-9)
        latencies = self._latencies
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
                "p50": latencies.percentile(0.50) * 1e3,
                "p95": latencies.percentile(0.95) * 1e3,
                "p99": latencies.percentile(0.99) * 1e3,
                "max": latencies.longest_s * 1e3,
            },
            trouble=self.trouble,
            gave_up=self.gave_up,
        )
