"""Directives that operators give to one node and all obey, by way of the Redis of shared limits.

Place in flow: ``engine.admin.directives`` says what an operator made or ended; this writes it to
Redis, and carries out on this node what was said to others. Suspensions of the automation, and
those of sources that a node took out for their health, are each node's own and do not come here.

Invariants:
    * An act counts on the node that it was given to, whatever Redis does; the others hear of it
      within about a second, or when Redis can be reached again.
    * Ending a directive is written down as such until it would have ended by itself. That Redis has
      lost one ends none: a node that knows it writes it again.
    * A directive is carried out once on each node: one that was replaced or ended there stays so.

Failure: a text in Redis that cannot be read is skipped and logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from engine.base.clock import Clock
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.suspension import Criteria, Directive, ReadyDirective
from engine.throttle.redis_scripts import EXCHANGE_DIRECTIVES
from engine.throttle.shared_link import PREFIX, Question

log = logging.getLogger("cirrus.admin")

#: How long the end of a directive is remembered beyond it: clocks of nodes differ, seconds.
KEPT_S = 60.0
#: Changes that wait for Redis; more are forgotten, and count on this node only.
CHANGES_MAX = 10_000
_SERIAL = "#"


class SharedDirective(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One directive as nodes tell each other.

    Attributes:
        id: Its identity on every node.
        kind: ``bounce``, ``suspend``, ``suspend-ready-q`` or ``suspend-source``.
        reason: Why, in the operator's words.
        author: Who asked for it.
        made_at: When, seconds since 1970.
        expires_at: When it ends, seconds since 1970.
        criteria: Which scheduled queues it covers.
        name: Which ready queue, or which egress source, it covers.
        suppress_logging: A bounce that makes no records.
        is_cancelled: Whether it was ended by an operator or replaced.
    """

    id: str
    kind: str
    reason: str
    author: str
    made_at: float
    expires_at: float
    criteria: dict[str, Any] = {}
    name: str = ""
    suppress_logging: bool = False
    is_cancelled: bool = False


class SharingNode(Protocol):
    """A node, as far as directives go."""

    clock: Clock
    bounces: AdminBounceRegistry
    suspensions: SuspensionRegistry


#: Port: put a question to Redis.
Ask = Callable[[Question], None]


class SharedDirectives:
    """What this node and others were told."""

    def __init__(self, node: SharingNode) -> None:
        """Share with nobody until there is somebody to ask."""
        self._node = node
        self._ask: Ask | None = None
        self._known: dict[str, SharedDirective] = {}
        self._changes: dict[str, str] = {}
        self._serial = ""
        self._is_asking = False
        self._bad: set[str] = set()
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(SharedDirective).decode

    def share_by(self, ask: Ask | None) -> None:
        """Share by way of this from now on; None: with nobody."""
        self._ask, self._serial, self._is_asking = ask, "", False
        self.sync()

    # -- what operators do ----------------------------------------------------------------------

    def made(self, kind: str, directive: Directive | ReadyDirective) -> None:
        """Tell the others of a directive that was given here."""
        if self._ask is None:
            return
        clock = self._node.clock
        told = SharedDirective(
            id=directive.id,
            kind=kind,
            reason=directive.reason,
            author=directive.author,
            made_at=clock.wall(),
            expires_at=clock.wall_of(directive.expires_mono),
            criteria=directive.criteria.to_dict() if isinstance(directive, Directive) else {},
            name=directive.name if isinstance(directive, ReadyDirective) else "",
            suppress_logging=isinstance(directive, Directive) and directive.suppress_logging,
        )
        for other in replaced_by(told, self._known.values()):
            self._tell(msgspec.structs.replace(other, is_cancelled=True))
        self._tell(told)
        self.sync()

    def ended(self, directive_id: str) -> None:
        """Tell the others that a directive was ended here."""
        known = self._known.get(directive_id)
        if self._ask is not None and known is not None:
            self._tell(msgspec.structs.replace(known, is_cancelled=True))
            self.sync()

    def _tell(self, told: SharedDirective) -> None:
        self._known[told.id] = told
        if len(self._changes) < CHANGES_MAX:
            self._changes[told.id] = self._encode(told).decode()

    # -- what Redis has -------------------------------------------------------------------------

    def sync(self) -> None:
        """Write what changed here, and hear what changed elsewhere; called about once a second."""
        ask = self._ask
        if ask is None or self._is_asking:
            return
        self._is_asking = True
        sent: dict[str, str] = {}

        def arguments() -> list[str]:
            sent.update(self._changes)
            self._changes = {}
            return [self._serial, *(word for pair in sent.items() for word in pair)]

        def answered(answer: list[Any] | None) -> None:
            if self._ask is not ask:
                return
            self._is_asking = False
            if answer is None:
                self._changes = {**sent, **self._changes}
                return
            self._serial = str(answer[0])
            if len(answer) > 1:
                self._take(dict(zip(answer[1::2], answer[2::2], strict=True)))
            if self._changes:
                self.sync()

        ask(Question(EXCHANGE_DIRECTIVES, PREFIX + "directives", arguments, answered))

    def _take(self, texts: dict[str, str]) -> None:
        """Carry out what Redis has and this node does not know."""
        found = [told for told in map(self._read, texts.values()) if told is not None]
        now = self._node.clock.wall()
        found.sort(key=lambda told: told.made_at)
        with self._node.bounces.at_once(), self._node.suspensions.at_once():
            for told in found:
                self._carry_out(told, now)
        there = {told.id for told in found}
        for known in list(self._known.values()):
            if known.expires_at + KEPT_S < now:
                del self._known[known.id]
                self._changes.setdefault(known.id, "")
            elif known.id not in there and known.id not in self._changes:
                self._tell(known)

    def _read(self, text: str) -> SharedDirective | None:
        if text.isdigit():
            return None  # the serial
        try:
            return self._decode(text)
        except msgspec.MsgspecError as error:
            if text not in self._bad and len(self._bad) < CHANGES_MAX:
                self._bad.add(text)
                log.error("a shared directive cannot be read: %s", error)
            return None

    def _carry_out(self, told: SharedDirective, now: float) -> None:
        known = self._known.get(told.id)
        if known is not None and (known.is_cancelled or not told.is_cancelled):
            return
        self._known[told.id] = told
        bounces, suspensions = self._node.bounces, self._node.suspensions
        if told.is_cancelled or told.expires_at <= now:
            if known is not None and not (bounces.cancel(told.id) or suspensions.cancel(told.id)):
                log.info("the shared directive %s had ended here already", told.id)
            return
        left_s, text = told.expires_at - now, (told.reason, told.author)
        log.warning("%s of %s by another node: %s", told.kind, told.author, told.reason)
        match told.kind:
            case "bounce":
                bounces.add(
                    Criteria(**told.criteria),
                    *text,
                    left_s,
                    suppress_logging=told.suppress_logging,
                    directive_id=told.id,
                )
            case "suspend":
                criteria = Criteria(**told.criteria)
                suspensions.add_scheduled(criteria, *text, left_s, directive_id=told.id)
            case "suspend-ready-q":
                suspensions.add_ready(told.name, *text, left_s, directive_id=told.id)
            case "suspend-source":
                suspensions.add_source(told.name, *text, left_s, directive_id=told.id)
            case _:
                log.error("a shared directive of an unknown kind is skipped: %r", told.kind)


def replaced_by(told: SharedDirective, known: Any) -> list[SharedDirective]:
    """Return the directives in force that a new one takes the place of."""
    return [
        other
        for other in known
        if not other.is_cancelled
        and other.id != told.id
        and (other.kind, other.criteria, other.name) == (told.kind, told.criteria, told.name)
    ]
