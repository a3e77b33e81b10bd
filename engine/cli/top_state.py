"""What ``cirrus top`` knows of a node: answers become rates, and numbers over time.

Place in flow: ``engine.cli.top_reader`` puts answers in, ``engine.cli.top_view`` makes pictures.

Invariants:
    * Nothing here waits or asks; times are given.
    * A node that was started anew is not taken for one that undid what it did.
    * An answer with less in it than is known of today is understood as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.cli.samples import Samples
from engine.cli.top_series import Point, Series
from engine.model.decision import format_instant

#: Cheap to ask for: totals of what happened, and where the totals are in the labels.
COUNTERS = {
    "received": "total_messages_received",
    "delivered": "total_messages_delivered",
    "transfailed": "total_messages_transfail",
    "failed": "total_messages_fail",
    "rejected": "smtp_server_rejections",
}
GAUGES = {"memory": "memory_usage", "cpu": "process_cpu_usage_sum"}
#: The node walks all queues for these.
WALKED = {
    "scheduled": "scheduled_count_total",
    "ready": "ready_count",
    "messages": "message_count",
    "sessions": "connection_count",
}
#: Numbers of the screen, as a sample of the node's own history names them.
RATES = ("received", "delivered", "transfailed", "failed", "rejected")
STATES = ("scheduled", "ready", "sessions_in", "sessions_out", "memory", "cpu")
SERIES = (*RATES, *STATES, "messages")
#: What the first look at a number stands for, seconds.
_FIRST_S = 1.0
#: Providers are shown by what the latest samples of so long say, seconds.
PROVIDER_SPAN_S = 60.0
_INBOUND = "esmtp_listener"


@dataclass(slots=True)
class Provider:
    """A provider lately.

    Attributes:
        name: Its name, or that of a site.
        delivered, transfailed, failed: A second.
        queued: Messages at last.
        connections: Sessions at last.
    """

    name: str
    delivered: float = 0.0
    transfailed: float = 0.0
    failed: float = 0.0
    queued: int = 0
    connections: int = 0

    @property
    def rank(self) -> tuple[float, str]:
        """Return what providers are sorted by: much to do first."""
        return -(self.queued + self.delivered + self.transfailed + self.failed), self.name


@dataclass(slots=True)
class TopState:
    """A node.

    Attributes:
        identity: ``hostname``, ``version``, ``node_id`` and ``online_since``.
        not_live: Why it takes no mail; empty when it does, None when nobody knows.
        series: Numbers over time, by their names.
        queues: The last list of queues.
        samples: The latest of the node's own samples, the oldest first.
        reasons: Why mail failed.
        automation: What the automation does.
        decisions: What the automation decided; None where the node does not list it.
        directives: Suspensions and bounces, by kind.
        refused: Questions that the node refused, and its words.
        away: Why there is no answer; empty while there is.
        answered_at: When it last answered, seconds since the Unix epoch.
        now_at: The time of the last reading, seconds since the Unix epoch.
    """

    identity: dict[str, Any] = field(default_factory=dict)
    not_live: str | None = None
    series: dict[str, Series] = field(default_factory=lambda: {name: Series() for name in SERIES})
    queues: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[dict[str, Any]] = field(default_factory=list)
    automation: dict[str, Any] = field(default_factory=dict)
    decisions: dict[str, Any] | None = None
    directives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    away: str = ""
    answered_at: float | None = None
    now_at: float = 0.0
    _totals: dict[str, float] = field(default_factory=dict)
    _totals_mono: float | None = None
    _walked_mono: float | None = None

    # -- whether it answers ----------------------------------------------------------------------

    def note_away(self, reason: str) -> None:
        """Take note that there was no answer; no rate is made over the gap."""
        self.away = reason
        self.not_live = None
        self._totals_mono = self._walked_mono = None

    def note_answer(self, now_at: float) -> None:
        """Take note that the node answers; ``now_at`` is seconds since the Unix epoch."""
        self.away = ""
        self.answered_at = self.now_at = now_at

    # -- what the node is ------------------------------------------------------------------------

    @property
    def uptime_s(self) -> float | None:
        """Return since when the node runs, seconds; None when nobody knows."""
        since_at = _instant_of(self.identity.get("online_since"))
        return None if since_at is None else max(0.0, self.now_at - since_at)

    def count_of(self, name: str) -> int | None:
        """Return a count of the node's latest sample, such as ``suspensions``."""
        return self.samples[-1].get(name) if self.samples else None

    # -- metrics ---------------------------------------------------------------------------------

    def take_counters(self, samples: Samples, mono: float) -> None:
        """Make rates of totals.

        Args:
            samples: The metrics of ``COUNTERS`` and ``GAUGES``.
            mono: When they were asked for, monotonic seconds.
        """
        totals = {name: _sum_of(samples, metric) for name, metric in COUNTERS.items()}
        before, since_mono = self._totals, self._totals_mono
        self._totals, self._totals_mono = totals, mono
        passed_s = mono - since_mono if since_mono is not None else _FIRST_S
        for name, metric in GAUGES.items():
            if samples.get(metric):
                self.series[name].see(Point(mono, passed_s, samples[metric][0].value))
        is_anew = any(totals[name] < before.get(name, 0.0) for name in totals)
        if since_mono is None or is_anew or passed_s <= 0:
            return
        for name, total in totals.items():
            self.series[name].see(Point(mono, passed_s, (total - before[name]) / passed_s))

    def take_walked(self, samples: Samples, mono: float) -> None:
        """Keep what was counted in all queues.

        Args:
            samples: The metrics of ``WALKED``.
            mono: When they were asked for, monotonic seconds.
        """
        since_mono, self._walked_mono = self._walked_mono, mono
        passed_s = mono - since_mono if since_mono is not None else _FIRST_S
        inbound = sum(
            one.value
            for one in samples.get(WALKED["sessions"], ())
            if one.labels.get("service") == _INBOUND
        )
        values = {
            "scheduled": _sum_of(samples, WALKED["scheduled"]),
            "ready": _sum_of(samples, WALKED["ready"]),
            "messages": _sum_of(samples, WALKED["messages"]),
            "sessions_in": inbound,
            "sessions_out": _sum_of(samples, WALKED["sessions"]) - inbound,
        }
        for name, value in values.items():
            self.series[name].see(Point(mono, passed_s, value))

    # -- the node's own memory -------------------------------------------------------------------

    @property
    def last_sample_time(self) -> str | None:
        """Return the time of the latest sample that is known."""
        return self.samples[-1]["time"] if self.samples else None

    def take_history(self, answer: Mapping[str, Any], mono: float) -> None:
        """Keep samples of the node, and why mail failed.

        Args:
            answer: What ``/api/admin/history/v1`` answers.
            mono: When it answered, monotonic seconds.
        """
        self.reasons = list(answer.get("reasons", ()))
        now_at = _instant_of(answer.get("now"))
        if now_at is None:
            return
        new = [one for one in answer.get("samples", ()) if _instant_of(one.get("time")) is not None]
        for name in (*RATES, *STATES):
            self.series[name].remember(
                Point(
                    mono - now_at + (_instant_of(one["time"]) or 0.0),
                    one["seconds"],
                    one[name] / one["seconds"] if name in RATES else one[name],
                )
                for one in new
                if one.get("seconds", 0) > 0 and name in one
            )
        self.samples = [*self.samples, *new][-int(PROVIDER_SPAN_S) :]

    def providers(self) -> list[Provider]:
        """Return the providers of the last minute, those with the most to do first."""
        found: dict[str, Provider] = {}
        recent: list[dict[str, Any]] = []
        span_s = 0.0
        for sample in reversed(self.samples):
            if span_s >= PROVIDER_SPAN_S:
                break
            recent.append(sample)
            span_s += sample.get("seconds", 0.0)
        for number, sample in enumerate(recent):
            for one in sample.get("providers", ()):
                kept = found.setdefault(one["name"], Provider(one["name"]))
                kept.delivered += one["delivered"] / span_s
                kept.transfailed += one["transfailed"] / span_s
                kept.failed += one["failed"] / span_s
                if number == 0:
                    kept.queued, kept.connections = one["queued"], one["connections"]
        return sorted(found.values(), key=lambda one: one.rank)

    # -- for programs ----------------------------------------------------------------------------

    def as_values(self) -> dict[str, Any]:
        """Return what is known now, as plain values."""
        return {
            "node": self.identity,
            "now": format_instant(self.now_at),
            "uptime_s": self.uptime_s,
            "live": None if self.not_live is None else not self.not_live,
            "not_live_reason": self.not_live or None,
            "rates": {name: _rounded(self.series[name].last) for name in RATES},
            "numbers": {name: self.series[name].last for name in (*STATES, "messages")},
            "scheduled": self.queues.get("scheduled", []),
            "ready": self.queues.get("ready", []),
            "providers": [
                {name: _rounded(getattr(one, name)) for name in Provider.__slots__}
                for one in self.providers()
            ],
            "reasons": self.reasons,
            "suspensions": self.count_of("suspensions"),
            "bounces": self.count_of("bounces"),
            "automation": self.automation,
            "decisions": (self.decisions or {}).get("decisions", []),
            "refused": self.refused,
            "away": self.away or None,
        }


def _sum_of(samples: Samples, name: str) -> float:
    """Return the sum of a metric over what it is made up of, each counted once.

    Some are there for each queue and for all of a kind: the service of a queue has a colon, and is
    in the sum of its kind; where there is a series ``total``, it is the sum.
    """
    series = samples.get(name, ())
    total = [one.value for one in series if one.labels.get("service") == "total"]
    if total:
        return total[0]
    return sum(one.value for one in series if ":" not in one.labels.get("service", ""))


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _instant_of(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def match_text(rows: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return the rows that have a text in one of their values, whatever its case."""
    if not wanted:
        return list(rows)
    low = wanted.casefold()
    return [row for row in rows if any(low in str(value).casefold() for value in row.values())]
