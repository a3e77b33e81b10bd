"""Decisions to whoever wants them: frames to subscribers, documents to those who ask.

Place in flow: ``tsa.record_intake`` announces decisions; ``tsa.http_api`` serves what is here.

Invariants:
    * A subscriber first gets everything in force, then a ``ShapingChanged`` frame that ends the
      snapshot, then each change: duplicates are possible, gaps are not.
    * At most ``FRAMES_MAX`` frames wait for a subscriber; one that lags further is disconnected and
      begins anew.
    * A document shows the same decisions as the frames, expired ones never.

Standard: the endpoints' documents are those that TSA clients know; the overlay is a shaping layer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import msgspec

from engine.base.clock import Clock
from engine.model.decision import (
    SHAPING_CHANGED,
    Decision,
    DecisionKind,
    format_instant,
    frame_of,
)

#: Frames that wait for one subscriber at most.
FRAMES_MAX = 131_072
#: Subscribers at most.
SUBSCRIBERS_MAX = 1024
#: What deprecated subscribers know the frames as.
_LEGACY_NAMES = {
    DecisionKind.SUSPEND_READY.value: "ReadyQ",
    DecisionKind.SUSPEND_SCHEDULED.value: "SchedQ",
}

#: What the overlay holds.
OVERLAY_KINDS = (DecisionKind.OVERRIDE, DecisionKind.WARMUP_HOLD)

#: Port: the decisions in force at a wall-clock time.
InForce = Callable[[float], Iterable[Decision]]


class Subscriber:
    """One connection that wants frames."""

    def __init__(self, frames_max: int, *, is_legacy: bool) -> None:
        self._frames: asyncio.Queue[str] = asyncio.Queue(frames_max)
        self._is_legacy = is_legacy
        self.is_lost = False

    def offer(self, frame: dict[str, Any]) -> None:
        """Queue a frame; from the first that finds no room on, the subscriber is lost."""
        if self._is_legacy:
            (kind,) = frame
            name = _LEGACY_NAMES.get(kind)
            if name is None:
                return
            frame = {name: frame[kind]}
        if self.is_lost:
            return
        try:
            self._frames.put_nowait(msgspec.json.encode(frame).decode())
        except asyncio.QueueFull:
            self.is_lost = True

    async def next(self) -> str | None:
        """Return the next frame, None when the subscriber lags too far."""
        if self.is_lost:
            return None
        return await self._frames.get()


class Publication:
    """What one daemon shows of its decisions."""

    def __init__(self, in_force: InForce, clock: Clock, *, frames_max: int = FRAMES_MAX) -> None:
        self._in_force = in_force
        self._clock = clock
        self._frames_max = frames_max
        self._subscribers: set[Subscriber] = set()
        self._is_overlay_announced = True

    def __len__(self) -> int:
        return len(self._subscribers)

    def announce(self, decision: Decision) -> None:
        """Tell all subscribers of a decision that is new or changed."""
        if not self._subscribers:
            return
        frame = frame_of(decision)
        for subscriber in self._subscribers:
            subscriber.offer(frame)
        if decision.kind in OVERLAY_KINDS:
            self._announce_overlay_soon()

    def _announce_overlay_soon(self) -> None:
        """Tell the overlay's new hash once for all overrides of this turn of the loop."""
        if self._is_overlay_announced:
            self._is_overlay_announced = False
            asyncio.get_running_loop().call_soon(self.announce_overlay)

    def announce_overlay(self) -> None:
        """Tell the overlay's hash to all subscribers."""
        self._is_overlay_announced = True
        frame = {SHAPING_CHANGED: {"hash": self.overlay_hash()}}
        for subscriber in self._subscribers:
            subscriber.offer(frame)

    def subscribe(self, *, is_legacy: bool = False) -> Subscriber | None:
        """Return a subscriber that has everything in force waiting; None if there are too many."""
        if len(self._subscribers) >= SUBSCRIBERS_MAX:
            return None
        in_force = sorted(self._in_force(self._clock.wall()), key=lambda one: one.expires_at)
        room = self._frames_max + len(in_force) + 1
        subscriber = Subscriber(room, is_legacy=is_legacy)
        for decision in in_force:
            subscriber.offer(frame_of(decision))
        subscriber.offer({SHAPING_CHANGED: {"hash": self.overlay_hash()}})
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        self._subscribers.discard(subscriber)

    # -- documents ------------------------------------------------------------------------------

    def _sorted(self, *kinds: DecisionKind) -> list[Decision]:
        found = (one for one in self._in_force(self._clock.wall()) if one.kind in kinds)
        return sorted(found, key=_order)

    def overlay_hash(self) -> str:
        """Return the identity of what the overlay sets; renewals do not change it."""
        lines = [
            repr((msgspec.structs.astuple(one.scope), one.value))
            for one in self._sorted(*OVERLAY_KINDS)
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()

    def overlay(self) -> str:
        """Return overrides and held days as a shaping layer in TOML."""
        return format_overlay(self._sorted(*OVERLAY_KINDS))

    def suspended(self) -> dict[str, Any]:
        """Return the suspensions as ``suspended.json`` shows them."""
        ready = self._sorted(DecisionKind.SUSPEND_READY)
        scheduled = self._sorted(DecisionKind.SUSPEND_SCHEDULED)
        return {
            "ready_q": [frame_of(one)[one.kind.value] for one in ready],
            "sched_q": [frame_of(one)[one.kind.value] for one in scheduled],
        }

    def bounced(self) -> list[Any]:
        """Return the bounces as ``bounced.json`` shows them."""
        return [frame_of(one)[one.kind.value] for one in self._sorted(DecisionKind.BOUNCE)]

    def decisions(self) -> list[dict[str, Any]]:
        """Return everything in force, with what made it."""
        return [describe(one) for one in self._sorted(*DecisionKind)]


def _order(decision: Decision) -> tuple[float, str, str, str]:
    scope = decision.scope
    return (
        decision.expires_at,
        scope.domain or scope.site_name or scope.ready_queue or "",
        scope.source or "",
        scope.option or "",
    )


def describe(decision: Decision) -> dict[str, Any]:
    """Return a decision for people: what it does, why, since when and until when."""
    made: dict[str, Any] = {
        "id": decision.key,
        "kind": decision.kind.value,
        "scope": msgspec.to_builtins(decision.scope),
        "reason": decision.reason,
        "rule": decision.rule,
        "place": decision.place,
        "rule_hash": decision.rule_hash,
        "count": decision.count,
        "expires": format_instant(decision.expires_at),
        "first_record": {
            "id": decision.first_record_id,
            "time": format_instant(decision.first_record_at),
        },
        "last_record": {
            "id": decision.last_record_id,
            "time": format_instant(decision.last_record_at),
        },
    }
    if decision.site_domain:
        made["site_domain"] = decision.site_domain
    if decision.kind in OVERLAY_KINDS:
        made["value"] = decision.value
    return made


def format_overlay(decisions: Iterable[Decision]) -> str:
    """Return overrides and held days as a layer; of several for one option the last counts.

    A site stands under one of its domains, with ``mx_rollup``. Where that domain has overrides of
    its own, which must not reach the rest of the site, all of them stay with the domain.

    Args:
        decisions: In the order of their expiry.
    """
    overrides: list[Decision] = []
    holds: list[Decision] = []
    for one in decisions:
        (holds if one.kind is DecisionKind.WARMUP_HOLD else overrides).append(one)
    domains: dict[str, dict[str, dict[str, Decision]]] = {}
    lone: set[str] = set()
    count = 0
    for decision in overrides:
        scope = decision.scope
        name = scope.domain or decision.site_domain
        if scope.site_name is None:
            lone.add(name)
        sources = domains.setdefault(name, {})
        sources.setdefault(scope.source or "unspecified", {})[scope.option or ""] = decision
        count += 1
    lines = [f"# {count} overrides of the traffic shaping automation"]
    for name, sources in sorted(domains.items()):
        rollup = "false" if name in lone else "true"
        lines += ["", f"[{_quote(name)}]", f"mx_rollup = {rollup}"]
        for source, options in sorted(sources.items()):
            lines += ["", f"[{_quote(name)}.sources.{_quote(source)}]"]
            for option, decision in sorted(options.items()):
                lines.append(f"# {_comment(decision.reason)}")
                lines.append(f"# expires {format_instant(decision.expires_at)}")
                lines.append(f"{option} = {_value(decision.value)}")
    lines += _hold_lines(holds)
    lines += ["", f"# end of {count} overrides", ""]
    return "\n".join(lines)


def _hold_lines(holds: Iterable[Decision]) -> list[str]:
    """Return the days that warm-ups repeat, as shaping files name them."""
    held: dict[tuple[str, str], dict[date, Decision]] = {}
    for decision in holds:
        scope = decision.scope
        days = held.setdefault((scope.source or "", scope.provider or ""), {})
        for day in held_days(decision):
            days[day] = decision
    lines = []
    for (source, provider), days in sorted(held.items()):
        section = f"warmup.{_quote(source)}"
        lines += ["", f"[{section}.provider.{_quote(provider)}]" if provider else f"[{section}]"]
        lines.append("held_days = [")
        for day, decision in sorted(days.items()):
            lines.append(f"  # {_comment(decision.reason)}")
            lines.append(f'  "{day.isoformat()}",')
        lines.append("]")
    return lines


def held_days(decision: Decision) -> list[date]:
    """Return the days that a decision about a warm-up holds."""
    first = date.fromisoformat(decision.scope.day or "")
    return [first + timedelta(number) for number in range(decision.value)]


def _quote(text: str) -> str:
    # What JSON escapes in a text is what TOML understands in a basic string, DEL apart.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(mark if mark.isprintable() else " " for mark in text)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_quote(str(name))} = {_value(one)}" for name, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):
        return _quote(value)
    return msgspec.json.encode(value).decode()
