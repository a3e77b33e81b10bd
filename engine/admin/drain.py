"""A node emptied into another one: no new mail, everything moved, until nothing is left.

Place in flow: operators start and end it through ``node_transfers``; it has ``transferring`` sweep
the queues again and again, and everything that comes back from an attempt go the same way.

Invariants:
    * While it is under way the node takes no mail (``reason`` closes the gate).
    * It is under way until it is cancelled, also over a restart and after nothing is left.
    * Nothing is left only when queues, dispatchers and reception hold no message twice in a row
      and the spool holds none either.

Failure: what cannot be moved stays, is counted as left, and is tried again by each sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.control.transfer_targets import TransferTally, TransferTargets, write_private
from engine.deliver.outgoing_session import OutgoingSession
from engine.model.errors import SpoolUnavailableError
from engine.model.log_record import format_created_time
from engine.model.suspension import Criteria
from engine.model.transfer_target import parse_target
from engine.ready.ready_registry import ReadyRegistry
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.transferring import TransferOrder, Transferring
from engine.spool.spool_store import SpoolStore, StoredMessage

log = logging.getLogger("cirrus.transfer")

FILE_NAME = "drain.json"
#: Pause between sweeps, seconds.
SWEEP_S = 1.0
#: Sweeps in a row that must find nothing, before the spool is asked.
QUIET_SWEEPS = 2
#: Sweeps between looks into a spool that holds what the queues do not know.
LOOK_EVERY = 10
#: Messages of which nothing but the spool knows: counted up to this.
STRANDED_MAX = 1000
#: What clients are told; where the mail goes is not theirs to know.
REASON = "draining"


class DrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a drain goes, for operators.

    Attributes:
        draining: Whether one is under way.
        target, reason, author, since: Of the drain under way.
        is_empty: Whether it has found that nothing is left.
        left: Messages on this node, the sum of those that follow.
        scheduled: Waiting, those that wait to be transferred among them.
        ready: In ready queues.
        in_flight: With a dispatcher.
        receiving: Being received.
        stranded: On disk only; a restart of the node takes them up.
        is_recovering: The spool is still being read: there may be more.
        transferred: Taken by the target, in this run of the node.
        failed: Attempts that failed, in this run of the node.
        last_error: Why the last attempt failed, unless one has succeeded since.
        last_error_at: When that was.
    """

    draining: bool
    target: str | None = None
    reason: str | None = None
    author: str | None = None
    since: str | None = None
    is_empty: bool = False
    left: int = 0
    scheduled: int = 0
    ready: int = 0
    in_flight: int = 0
    receiving: int = 0
    stranded: int = 0
    is_recovering: bool = False
    transferred: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: str | None = None


class DrainState(msgspec.Struct, frozen=True):
    """What is kept of a drain under way; credentials are kept apart."""

    target: str
    reason: str
    author: str
    since_at: float

    @property
    def order(self) -> TransferOrder:
        """Return where everything is to go."""
        why = f"{self.reason} (by {self.author})"
        return TransferOrder(parse_target(self.target), why, self.author)


class _Dispatchers(Protocol):
    @property
    def dispatchers(self) -> Mapping[Any, OutgoingSession]:
        """Return the dispatchers at work."""


class DrainNode(Protocol):
    """What a drain needs from the node."""

    clock: Clock
    supervisor: Supervisor
    queues: ScheduledRegistry
    ready: ReadyRegistry
    store: SpoolStore
    stopping: bool

    @property
    def dispatching(self) -> _Dispatchers:
        """Return what runs the dispatchers."""


class Drain:
    """The drain of one node.

    Args:
        node: The node.
        transferring: Carries it out.
        targets: Where it is noted how it goes.
        receiving: Returns how many messages are being received.
        has_recovered: Whether the queues hold all that the spool held at the start.
    """

    def __init__(
        self,
        node: DrainNode,
        transferring: Transferring,
        targets: TransferTargets,
        *,
        receiving: Callable[[], int],
        has_recovered: Callable[[], bool],
    ) -> None:
        self._node = node
        self._receiving = receiving
        self._has_recovered = has_recovered
        self._transferring = transferring
        self._targets = targets
        self._path: Path | None = None
        self._state: DrainState | None = None
        self._task: asyncio.Task[None] | None = None
        self._quiet_sweeps = 0
        self._stranded = 0
        self._is_empty = False

    @property
    def state(self) -> DrainState | None:
        """Return the drain under way."""
        return self._state

    @property
    def is_recovering(self) -> bool:
        """Return whether the spool holds messages that the queues do not know yet."""
        return not self._has_recovered()

    def reason(self) -> str | None:
        """Return why no mail is taken because of a drain, or None."""
        return None if self._state is None else REASON

    # -- orders -------------------------------------------------------------------------------

    def open(self, folder: Path) -> None:
        """Take up the drain that was under way at the end of the last run, if there was one.

        From here on the node takes no mail; ``begin`` has the mail moved.
        """
        self._path = folder / FILE_NAME
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=DrainState)
            parse_target(state.target)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.error("%s cannot be read, the drain is not gone on with: %s", self._path, error)
            return
        self._state = state
        log.warning("the node is still being drained to %s", state.target)

    def begin(self) -> None:
        """Have the mail moved, if a drain is under way."""
        if self._state is not None and self._task is None:
            self._transferring.standing = self._state.order
            self._task = self._node.supervisor.start(self._run(), "drain")

    def start(self, state: DrainState) -> None:
        """Drain from now on; a drain that is under way goes to the new target.

        Raises:
            OSError: It cannot be kept for a restart; nothing has begun.
        """
        if self._path is not None:
            write_private(self._path, msgspec.json.encode(state))
        log.warning("draining to %s: %s (by %s)", state.target, state.reason, state.author)
        self._end_task()
        self._state = state
        self._quiet_sweeps, self._stranded, self._is_empty = 0, 0, False
        self.begin()

    def cancel(self) -> DrainState | None:
        """End the drain: the node takes mail again. Return what it was, None if there was none.

        What is set aside already is brought back by ``Transferring.bring_back``.
        """
        state, self._state = self._state, None
        if state is not None:
            log.warning("the drain to %s is cancelled", state.target)
            self._transferring.standing = None
            self._end_task()
            self._is_empty = False
            if self._path is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
        return state

    def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            # Between two messages: what is in hand for a moment goes back to its queue.
            task.cancel()

    # -- carrying it out ----------------------------------------------------------------------

    async def _run(self) -> None:
        while (state := self._state) is not None and not self._node.stopping:
            try:
                await self._transferring.move(Criteria(), state.order)
                self._look()
            except Exception:  # boundary: supervisor
                log.exception("a sweep of the drain met a defect; the next one goes on")
            await asyncio.sleep(SWEEP_S)

    def _look(self) -> None:
        """See whether anything is left."""
        if self._node.stopping:
            # What comes back from now on stays on disk for the next start.
            return
        report = self._counts()
        if report["is_recovering"] or any(report[name] for name in _PARTS):
            self._quiet_sweeps, self._stranded, self._is_empty = 0, 0, False
            return
        self._quiet_sweeps += 1
        if self._is_empty or self._quiet_sweeps < QUIET_SWEEPS:
            return
        if self._quiet_sweeps == QUIET_SWEEPS or not self._quiet_sweeps % LOOK_EVERY:
            self._look_at_spool()

    def _look_at_spool(self) -> None:
        """See whether the spool holds what the queues do not know: that would be a defect."""
        try:
            entries = self._node.store.enumerate()
        except SpoolUnavailableError as error:
            log.warning("nothing seems to be left, but the spool cannot be read: %s", error)
            return
        found = itertools.islice(entries, STRANDED_MAX)
        self._stranded = sum(isinstance(entry, StoredMessage) for entry in found)
        close = getattr(entries, "close", None)
        if close is not None:
            close()
        self._is_empty = not self._stranded
        if self._is_empty:
            log.warning("the node is drained: no message is left")
        else:
            log.error("%d messages are on disk only: restart the node", self._stranded)

    def _counts(self) -> dict[str, Any]:
        node = self._node
        dispatchers = node.dispatching.dispatchers.values()
        return {
            "scheduled": sum(len(queue) for queue in node.queues),
            "ready": sum(len(queue.messages) for queue in node.ready) + self._transferring.in_hand,
            "in_flight": sum(one.held for one in dispatchers),
            "receiving": self._receiving(),
            "is_recovering": self.is_recovering,
        }

    def report(self) -> DrainReport:
        """Return how it goes."""
        counts = self._counts()
        left = sum(counts[name] for name in _PARTS) + self._stranded
        state = self._state
        if state is None:
            return DrainReport(draining=False, left=left, **counts)
        tally = self._targets.tally(state.order.target)
        return DrainReport(
            draining=True,
            target=state.target,
            reason=state.reason,
            author=state.author,
            since=format_created_time(state.since_at),
            is_empty=self._is_empty and not left,
            left=left,
            stranded=self._stranded,
            transferred=tally.transferred,
            failed=tally.failed,
            last_error=tally.last_error,
            last_error_at=error_time(tally),
            **counts,
        )


_PARTS = ("scheduled", "ready", "in_flight", "receiving")


def error_time(tally: TransferTally) -> str | None:
    """Return when the last error was, where there is one."""
    return format_created_time(tally.last_error_at) if tally.last_error is not None else None
