"""What the loop of the automation did, second by second, computed from log records alone.

Place in flow: ``demo`` prints it; pure.

Invariants:
    * Every number comes from the records of the run: another story gives other numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from engine.model.log_record import LogRecord, RecordKind

#: A second of deferrals has to end and be judged, then the node obeys: seconds.
ANSWER_S = 2.5


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the run: what happened to mail for the provider, and to all other mail."""

    number: int
    deferred: int
    delivered: int
    others: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The run from the first message to the last outcome.

    Attributes:
        provider: The domain of the provider.
        seconds: Each second, also those in which nothing happened.
        first_deferral_s, last_deferral_s: Since the first message; None if nothing was deferred.
        before: Attempts at the provider per second, before the first deferral.
        meanwhile: The same from ``ANSWER_S`` after the first deferral until the last.
        recovered_s: When the provider first took as much in a second as before; None if never.
        others_before, others_meanwhile: Deliveries of all other mail per second.
    """

    provider: str
    seconds: tuple[Second, ...]
    first_deferral_s: float | None
    last_deferral_s: float | None
    before: float
    meanwhile: float
    recovered_s: int | None
    others_before: float
    others_meanwhile: float


def instant_of(record: LogRecord) -> float:
    """Return when a record was made, in seconds since the Unix epoch."""
    return datetime.fromisoformat(record.event_time).timestamp()


def is_for(record: LogRecord, domain: str) -> bool:
    """Return whether a record is about mail for a domain."""
    return any(one.endswith(f"@{domain}") for one in record.recipients)


def make_timeline(records: Iterable[LogRecord], provider: str) -> Timeline:
    """Return what the records say.

    Args:
        records: All of the run, in any order.
        provider: The domain that was throttled.
    """
    found = sorted(
        ((instant_of(one), one) for one in records if one.event_time), key=lambda pair: pair[0]
    )
    began_at = found[0][0] if found else 0.0
    deferred, delivered, others = [], [], []
    for instant_at, record in found:
        at_s = instant_at - began_at
        if is_for(record, provider):
            if record.kind is RecordKind.DELIVERY:
                delivered.append(at_s)
            elif record.kind is RecordKind.TRANSIENT_FAILURE and _is_reply(record):
                deferred.append(at_s)
        elif record.kind is RecordKind.DELIVERY:
            others.append(at_s)
    attempts = sorted([*deferred, *delivered])
    first_s = deferred[0] if deferred else None
    last_s = deferred[-1] if deferred else None
    end_s = max([*attempts, *others], default=0.0)
    # The answer to the first deferral needs a moment: what is counted begins later.
    calm = (0.0, first_s if first_s is not None else end_s)
    slow = (min(first_s + ANSWER_S, last_s), last_s) if first_s is not None and last_s else calm
    before = _rate(attempts, *calm)
    per_second = Counter(map(int, delivered))
    recovered = [
        number
        for number in sorted(per_second)
        if last_s is not None and number > last_s and per_second[number] >= before
    ]
    lost, rest = Counter(map(int, deferred)), Counter(map(int, others))
    return Timeline(
        provider,
        tuple(
            Second(number, lost[number], per_second[number], rest[number])
            for number in range(int(end_s) + 1)
        ),
        first_s,
        last_s,
        before,
        _rate(attempts, *slow),
        recovered[0] if recovered else None,
        _rate(others, *calm),
        _rate(others, *slow),
    )


def _is_reply(record: LogRecord) -> bool:
    return record.response is not None and bool(record.response.command)


def _rate(instants: Iterable[float], from_s: float, to_s: float) -> float:
    """Return how many a second there were in a stretch of time."""
    length_s = to_s - from_s
    return sum(from_s <= one < to_s for one in instants) / length_s if length_s > 0 else 0.0


def table_of(timeline: Timeline) -> Table:
    """Return the seconds of a run as a table."""
    table = Table(title=f"Mail for {timeline.provider}, second by second", title_justify="left")
    for name in ("second", "deferred", "delivered", "delivered elsewhere"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in timeline.seconds:
        style = "yellow" if one.deferred else ""
        cells = (one.number, one.deferred or "", one.delivered or "", one.others or "")
        table.add_row(*map(str, cells), style=style)
    return table


def sentences(timeline: Timeline) -> list[str]:
    """Return what happened, in words."""
    provider = timeline.provider
    if timeline.first_deferral_s is None or timeline.last_deferral_s is None:
        return [f"{provider} deferred nothing: {timeline.before:.1f} attempts a second."]
    said = [
        f"{provider} deferred mail from {timeline.first_deferral_s:.1f} s "
        f"to {timeline.last_deferral_s:.1f} s.",
        f"Attempts there: {timeline.before:.1f} a second before, "
        f"{timeline.meanwhile:.1f} once the automation had answered.",
        f"Deliveries elsewhere: {timeline.others_before:.1f} a second before, "
        f"{timeline.others_meanwhile:.1f} meanwhile.",
    ]
    if timeline.recovered_s is None:
        said.append(f"{provider} never took as much again.")
    else:
        said.append(f"{provider} took as much as before again in second {timeline.recovered_s}.")
    return said
