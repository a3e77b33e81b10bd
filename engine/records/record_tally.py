"""What happened lately, by provider and by reason: a bounded count beside the records.

Place in flow: ``engine.records.recorder`` notes each record here, also those that no sink wants;
``engine.node_history`` takes the counts by provider, ``engine.admin.history`` shows the reasons.

Invariants:
    * A note costs about a microsecond: two look-ups and two additions.
    * However many providers and reasons there are, at most ``PROVIDERS_MAX`` and ``REASONS_MAX`` of
      a slot are kept, twice that in between: what is frequent stays, what is rare is dropped, and
      ``Recorder.counts`` has the sums. Texts are cut: all of it takes less than 3 MiB.
    * A reason is forgotten an hour after the slot of five minutes that it was counted in.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.message import Message
from engine.model.reply import EnhancedStatus, SmtpReply

#: Providers between two looks, and reasons of one slot, that survive a cut.
PROVIDERS_MAX = 100
REASONS_MAX = 100
#: How long a slot of reasons lasts, seconds, and how many are kept beside the present one.
SLOT_S = 300.0
SLOTS_KEPT = 12
#: Characters of a name or text that are kept.
TEXT_MAX = 200

_DELIVERED, _TRANSFAILED, _FAILED = 0, 1, 2
_COLUMNS = {
    RecordKind.DELIVERY: _DELIVERED,
    RecordKind.TRANSIENT_FAILURE: _TRANSFAILED,
    RecordKind.BOUNCE: _FAILED,
}

#: Deliveries, transient and permanent failures.
Outcomes = list[int]
#: Whether the mail was given up, the provider, code and enhanced status of the reply.
Key = tuple[bool, str, int, EnhancedStatus | None]


@dataclass(frozen=True, slots=True)
class Reason:
    """Failures that are the same but for the words, and how often they were met.

    Attributes:
        is_permanent: Whether the mail was given up.
        provider: The provider; the site or domain where it has no name.
        code: Of the reply.
        enhanced: Of the reply.
        count: How often.
        text: The words of the latest reply.
        queue_name: The scheduled queue of the latest message.
        last_mono: When that was, monotonic seconds.
    """

    is_permanent: bool
    provider: str
    code: int
    enhanced: EnhancedStatus | None
    count: int
    text: str
    queue_name: str
    last_mono: float


class _Met:
    """How often a reason was met in one slot, and the latest time."""

    __slots__ = ("count", "last_mono", "queue_name", "text")

    def __init__(self) -> None:
        self.count = 0
        self.text = self.queue_name = ""
        self.last_mono = 0.0

    def add(self, other: _Met) -> None:
        self.count += other.count
        if other.last_mono >= self.last_mono:
            self.text, self.queue_name = other.text, other.queue_name
            self.last_mono = other.last_mono


class RecordTally:
    """The counts of one node.

    Args:
        mono: Monotonic seconds.
    """

    __slots__ = ("_mono", "_providers", "_reasons", "_slot_until_mono", "_slots")

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._providers: dict[str, Outcomes] = {}
        self._reasons: dict[Key, _Met] = {}
        self._slots: deque[dict[Key, _Met]] = deque(maxlen=SLOTS_KEPT)
        self._slot_until_mono = mono() + SLOT_S

    def note(
        self, kind: RecordKind, message: Message | None, reply: SmtpReply, where: Circumstances
    ) -> None:
        """Count what a record is made of."""
        column = _COLUMNS.get(kind)
        if column is None or message is None:
            return
        provider = where.provider_name or where.site_name or _domain_of(message.queue_name)
        outcomes = self._providers.get(provider)
        if outcomes is None:
            outcomes = self._new_provider(provider)
        outcomes[column] += 1
        if column != _DELIVERED:
            met = self._met((column == _FAILED, provider[:TEXT_MAX], reply.code, reply.enhanced))
            met.count += 1
            met.text = reply.text[:TEXT_MAX]
            met.queue_name = message.queue_name[:TEXT_MAX]
            met.last_mono = self._mono()

    def take_providers(self) -> dict[str, Outcomes]:
        """Return what became of mail by provider since the last call."""
        taken, self._providers = self._providers, {}
        return taken

    def reasons(self, limit: int) -> list[Reason]:
        """Return the most frequent reasons of the last hour, the most frequent first."""
        self._turn_slots()
        sums: dict[Key, _Met] = {}
        for slot in (*self._slots, self._reasons):
            for key, met in slot.items():
                sums.setdefault(key, _Met()).add(met)
        chosen = heapq.nlargest(limit, sums.items(), key=lambda item: item[1].count)
        return [
            Reason(*key, met.count, met.text, met.queue_name, met.last_mono) for key, met in chosen
        ]

    def _new_provider(self, provider: str) -> Outcomes:
        known = self._providers
        if len(known) >= 2 * PROVIDERS_MAX:
            kept = heapq.nlargest(PROVIDERS_MAX, known.items(), key=lambda item: sum(item[1]))
            self._providers = known = dict(kept)
        return known.setdefault(provider[:TEXT_MAX], [0, 0, 0])

    def _met(self, key: Key) -> _Met:
        if self._mono() >= self._slot_until_mono:
            self._turn_slots()
        met = self._reasons.get(key)
        if met is None:
            if len(self._reasons) >= 2 * REASONS_MAX:
                rows = self._reasons.items()
                kept = heapq.nlargest(REASONS_MAX, rows, key=lambda item: item[1].count)
                self._reasons = dict(kept)
            met = self._reasons[key] = _Met()
        return met

    def _turn_slots(self) -> None:
        """Begin a new slot where the present one is over, and forget those of over an hour ago."""
        now = self._mono()
        if now < self._slot_until_mono:
            return
        passed = int((now - self._slot_until_mono) // SLOT_S) + 1
        self._slots.append(self._reasons)
        for _ in range(min(passed - 1, SLOTS_KEPT)):
            self._slots.append({})
        self._reasons = {}
        self._slot_until_mono += passed * SLOT_S


def _domain_of(queue_name: str) -> str:
    return queue_name.rpartition("@")[2]
