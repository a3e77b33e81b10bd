"""Samples of a node: what happened in ten seconds, and what it was like at their end.

Place in flow: ``engine.node_history`` takes them; ``engine.admin.history`` shows them.

Invariants:
    * At most ``SAMPLES_KEPT`` samples of at most ``PROVIDERS_KEPT`` providers each are kept, which
      takes less than 2 MiB. Nothing is on disk: a node that was started just now knows nothing.
    * What happened is counted by interval, so that a rate is a count over ``seconds`` and nobody
      has to know of restarts.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple

import msgspec

from engine.admin.instant import format_instant
from engine.records.record_tally import Outcomes

#: Seconds between samples.
SAMPLE_S = 10.0
#: An hour of them.
SAMPLES_KEPT = 360
#: Providers of a sample: those with the most to do.
PROVIDERS_KEPT = 10


class ProviderSample(msgspec.Struct, frozen=True, kw_only=True):
    """A provider in one interval; a site where it has no name.

    Attributes:
        name: Its name.
        delivered: Deliveries.
        transfailed: Attempts that failed for now, and messages that began to be held.
        failed: Messages refused for good.
        queued: Messages that waited or were ready at the end.
        connections: Outgoing sessions at the end.
    """

    name: str
    delivered: int = 0
    transfailed: int = 0
    failed: int = 0
    queued: int = 0
    connections: int = 0


class Totals(NamedTuple):
    """What is counted from the start of a node on.

    Attributes:
        received: Messages taken, by SMTP, by HTTP, or from another node.
        delivered: Deliveries.
        transfailed: Attempts that failed for now, and messages that began to be held.
        failed: Messages refused for good.
        expired: Messages given up for their age.
        admin_bounced: Messages that an operator or a TSA had removed.
        rejected: Commands of clients that were refused.
        connections_in, connections_out: Connections made.
        connections_denied: Clients turned away for their number.
        cpu_s: Seconds of CPU used.
    """

    received: int
    delivered: int
    transfailed: int
    failed: int
    expired: int
    admin_bounced: int
    rejected: int
    connections_in: int
    connections_out: int
    connections_denied: int
    cpu_s: float


class State(NamedTuple):
    """What a node is like at one instant; see ``Sample``."""

    scheduled: int
    ready: int
    scheduled_queues: int
    ready_queues: int
    sessions_in: int
    sessions_out: int
    memory: int
    lag: float
    decisions: int
    suspensions: int
    bounces: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One interval: what happened in it, and what the node was like at its end.

    Attributes:
        time: When it ended, RFC 3339.
        seconds: How long it was.
        received: Messages taken.
        delivered: Deliveries.
        transfailed: Attempts that failed for now, and messages that began to be held.
        failed: Messages refused for good.
        expired: Messages given up for their age.
        admin_bounced: Messages that an operator or a TSA had removed.
        rejected: Commands of clients that were refused.
        connections_in, connections_out: Connections made.
        connections_denied: Clients turned away for their number.
        scheduled: Messages that waited.
        ready: Messages that might go.
        scheduled_queues, ready_queues: How many there were.
        sessions_in, sessions_out: SMTP sessions, and outgoing sessions of any kind.
        memory: Octets in use.
        cpu: CPU used, percent of one core.
        lag: By how many seconds the node was late to take the sample.
        decisions: Decisions of a TSA in force.
        suspensions: Suspensions in force, of whatever author.
        bounces: Bounces in force, of whatever author.
        providers: Those with the most to do, in no order.
    """

    time: str
    seconds: float
    received: int
    delivered: int
    transfailed: int
    failed: int
    expired: int
    admin_bounced: int
    rejected: int
    connections_in: int
    connections_out: int
    connections_denied: int
    scheduled: int
    ready: int
    scheduled_queues: int
    ready_queues: int
    sessions_in: int
    sessions_out: int
    memory: int
    cpu: float
    lag: float
    decisions: int
    suspensions: int
    bounces: int
    providers: list[ProviderSample]


class History:
    """The samples of one node."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=SAMPLES_KEPT)

    def add(self, ended_at: float, sample: Sample) -> None:
        """Keep a sample; the oldest goes.

        Args:
            ended_at: When its interval ended, seconds since the Unix epoch.
            sample: The sample.
        """
        self._samples.append((ended_at, sample))

    def latest(self, limit: int, since_at: float | None = None) -> list[Sample]:
        """Return the latest samples, the oldest first; only those after an instant, if given.

        A second of the instant is not known to who has read it: it is written without fractions.
        """
        chosen = [sample for at, sample in self._samples if since_at is None or int(at) > since_at]
        return chosen[-limit:] if limit else []


def make_sample(
    ended_at: float,
    seconds: float,
    before: Totals,
    after: Totals,
    state: State,
    providers: list[ProviderSample],
) -> Sample:
    """Return the sample of an interval.

    Args:
        ended_at: When it ended, seconds since the Unix epoch.
        seconds: How long it was.
        before: The totals at its beginning.
        after: The totals at its end.
        state: The state at its end.
        providers: The providers that are kept.
    """
    events = {
        name: int(new - old)
        for name, old, new in zip(Totals._fields, before, after, strict=True)
        if name != "cpu_s"
    }
    cpu_s = after.cpu_s - before.cpu_s
    return Sample(
        time=format_instant(ended_at),
        seconds=round(seconds, 3),
        cpu=round(100.0 * cpu_s / seconds, 1) if seconds > 0 else 0.0,
        providers=providers,
        **events,
        **state._asdict(),
    )


def choose_providers(
    outcomes: dict[str, Outcomes], queued: dict[str, int], connections: dict[str, int]
) -> list[ProviderSample]:
    """Return the providers with the most to do: those with the most mail, and the busiest.

    Args:
        outcomes: Deliveries, transient and permanent failures in the interval.
        queued: Messages at its end.
        connections: Outgoing sessions at its end.
    """
    none = [0, 0, 0]
    # Half of the places are for those that have much and send nothing.
    chosen = heapq.nsmallest(PROVIDERS_KEPT // 2, queued, key=lambda name: (-queued[name], name))
    others = (name for name in {*outcomes, *connections} if name not in chosen)
    chosen += heapq.nsmallest(
        PROVIDERS_KEPT - len(chosen),
        others,
        key=lambda name: (-sum(outcomes.get(name, none)), -connections.get(name, 0), name),
    )
    return [
        ProviderSample(
            name=name,
            delivered=outcomes.get(name, none)[0],
            transfailed=outcomes.get(name, none)[1],
            failed=outcomes.get(name, none)[2],
            queued=queued.get(name, 0),
            connections=connections.get(name, 0),
        )
        for name in chosen
    ]
