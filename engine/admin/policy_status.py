"""The policy as it runs: its epochs, the last load that was rejected, what each handler costs.

Place in flow: an operation of ``engine.admin.operation``; reads the epochs of ``policy.runtime``
and the tallies of their handlers.

Invariants:
    * Nothing of a script is run, and no file is read: what is shown is what was loaded.
    * An answer is bounded: lists are cut, and say how much they leave out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.instant import format_instant
from engine.admin.operation import Operation
from engine.admin.shown_text import shown_text
from engine.base.clock import Clock
from engine.model.caller import Caller
from policy.epoch import Epoch
from policy.handler_tally import HandlerTally
from policy.hook_registry import Handler
from policy.runtime import Rejection

#: Handlers in an answer at most.
LIMIT_MAX = 1000
#: Files and warnings of an epoch in an answer at most.
LISTED_MAX = 500


class PolicyRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which handlers are wanted.

    Attributes:
        event: Those of this event, or the functions of this name; all by default.
        limit: How many at most, those first that took most CPU time.
    """

    event: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 200


class PolicyFile(msgspec.Struct, frozen=True):
    """A file that was read for an epoch.

    Attributes:
        name: Its path.
        hash: SHA-256 of its content, of a folder that of its names; None where it is missing.
    """

    name: str
    hash: str | None


class PolicyPlace(msgspec.Struct, frozen=True):
    """Something that was said of a line of the policy.

    Attributes:
        file: The file.
        line: The line; None where it is about the file as a whole.
        message: What is wrong with it.
    """

    file: str
    line: int | None
    message: str


class RunningEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """The set of scripts that answers new mail.

    Attributes:
        number: Its number, from 1; each load counts, also one that was rejected.
        hash: One hash for all of its files.
        loaded_at: Since when it runs, RFC 3339.
        load_s: How long it took to load and to check, seconds.
        files: Its files, by name.
        files_left_out: How many more it has than are listed.
        warnings: What is odd about it.
        warnings_left_out: How many more there are.
        transactions: SMTP transactions that go by it.
    """

    number: int
    hash: str
    loaded_at: str
    load_s: float
    files: list[PolicyFile]
    files_left_out: int
    warnings: list[PolicyPlace]
    warnings_left_out: int
    transactions: int


class RetiredEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """A set of scripts that another took the place of, and that is still there.

    Attributes:
        number: Its number.
        hash: One hash for all of its files.
        loaded_at: Since when it ran, RFC 3339.
        transactions: SMTP transactions that go by it: they end as they began.
        calls_under_way: Calls of its handlers that wait for something outside.
    """

    number: int
    hash: str
    loaded_at: str
    transactions: int
    calls_under_way: int


class RejectedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A load that failed, so that what ran went on.

    Attributes:
        at: When, RFC 3339; later than ``loaded_at`` of the running epoch where the files on disk
            are still the rejected ones.
        is_pending: Whether nothing was loaded since.
        file: The file at fault.
        line: The line; None where it is about the file as a whole.
        message: What is wrong with it.
    """

    at: str
    is_pending: bool
    file: str
    line: int | None
    message: str


class HandlerError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of a handler.

    Attributes:
        at: When, RFC 3339.
        file: The script.
        line: The line.
        message: What went wrong.
    """

    at: str
    file: str
    line: int | None
    message: str


class BreakerState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a handler is run: one that overruns again and again is not, for a while.

    Attributes:
        is_open: Whether calls are turned away.
        until: When one call is tried again, RFC 3339; None while calls go through.
        is_probing: Whether that call is under way.
        turned_away: Calls that were not made.
    """

    is_open: bool
    until: str | None
    is_probing: bool
    turned_away: int


class HandlerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One handler of the running epoch, since it was loaded; calls of its check count.

    Attributes:
        event: The event; of a function that a script handed over, its name.
        function: The function of the script; empty where a helper answers.
        file: The script; where a helper answers, the one that set it up.
        line: The line.
        kind: ``handler``, ``helper`` where the program itself answers as a script asked it to, or
            ``function`` for one that a script handed over, such as a sender.
        is_async: Whether it may wait.
        calls: How often it was called.
        errors: Calls that failed, overruns among them.
        overruns: Calls that took more CPU time or waited longer than they may.
        cpu_us: CPU time of all calls, microseconds; of short calls that do not wait one in 61 is
            measured, and stands for the others.
        cpu_mean_us: CPU time of a call on average, microseconds.
        cpu_max_us: CPU time of the longest call, microseconds.
        cpu_budget_us: CPU time that a call may take, microseconds; None where there is no bound.
        wait_us: Time that calls waited, microseconds.
        wait_mean_us: Time that a call waited on average, microseconds.
        wait_max_us: The most that one call waited, microseconds.
        under_way: Calls that wait now.
        breaker: Whether it is run; None where nothing keeps it from that.
        last_error: Its last failure; None where there was none.
    """

    event: str
    function: str
    file: str
    line: int
    kind: str
    is_async: bool
    calls: int
    errors: int
    overruns: int
    cpu_us: float
    cpu_mean_us: float
    cpu_max_us: float
    cpu_budget_us: float | None
    wait_us: float
    wait_mean_us: float
    wait_max_us: float
    under_way: int
    breaker: BreakerState | None
    last_error: HandlerError | None


class PolicyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of a node.

    Attributes:
        running: The set of scripts that answers.
        retired: Earlier ones that are still there, the oldest first.
        rejected: The last load that failed while the node ran; None where none did.
        handlers: What handlers cost, those first that took most CPU time.
        handlers_left_out: How many more match.
    """

    running: RunningEpoch
    retired: list[RetiredEpoch]
    rejected: RejectedLoad | None
    handlers: list[HandlerStatus]
    handlers_left_out: int


async def show_policy(node: AdminNode, _caller: Caller, request: PolicyRequest) -> PolicyStatus:
    """Return what runs, what was rejected and what handlers cost."""
    epoch = node.runtime.epoch
    in_use = node.declared.transactions()
    tallies = [
        (tally, kind)
        for kind, tally in _tallies(epoch)
        if request.event in (None, tally.handler.event)
    ]
    tallies.sort(key=lambda pair: pair[0].cpu_ns, reverse=True)
    return PolicyStatus(
        running=show_epoch(epoch, node.clock, in_use),
        retired=[show_retired(one, node.clock, in_use) for one in node.retired.held()[:LISTED_MAX]],
        rejected=show_rejection(node.runtime.rejected, epoch, node.clock),
        handlers=[show_handler(one, kind, node.clock) for one, kind in tallies[: request.limit]],
        handlers_left_out=max(0, len(tallies) - request.limit),
    )


def _tallies(epoch: Epoch) -> list[tuple[str, HandlerTally]]:
    handlers = [("helper" if one.handler.is_native else "handler", one) for one in epoch.tallies]
    return handlers + [("function", one) for one in list(epoch.function_tallies.values())]


def show_epoch(epoch: Epoch, clock: Clock, in_use: Mapping[int, int]) -> RunningEpoch:
    """Return the running epoch as operators see it.

    Args:
        epoch: The epoch.
        clock: Turns monotonic instants into dates.
        in_use: Transactions by the serial of their epoch.
    """
    files = sorted(epoch.files.items())
    warnings = [
        PolicyPlace(shown_text(one.file), one.line, shown_text(one.message))
        for one in epoch.warnings[:LISTED_MAX]
    ]
    return RunningEpoch(
        number=epoch.serial,
        hash=epoch.content_hash,
        loaded_at=_loaded_at(epoch, clock),
        load_s=round(epoch.load_s, 6),
        files=[PolicyFile(shown_text(str(path)), digest) for path, digest in files[:LISTED_MAX]],
        files_left_out=max(0, len(files) - LISTED_MAX),
        warnings=warnings,
        warnings_left_out=max(0, len(epoch.warnings) - LISTED_MAX),
        transactions=in_use.get(epoch.serial, 0),
    )


def show_retired(epoch: Epoch, clock: Clock, in_use: Mapping[int, int]) -> RetiredEpoch:
    """Return an old epoch as operators see it; the arguments are those of ``show_epoch``."""
    return RetiredEpoch(
        number=epoch.serial,
        hash=epoch.content_hash,
        loaded_at=_loaded_at(epoch, clock),
        transactions=in_use.get(epoch.serial, 0),
        calls_under_way=sum(tally.under_way for _, tally in _tallies(epoch)),
    )


def _loaded_at(epoch: Epoch, clock: Clock) -> str:
    began_mono = epoch.began_mono
    return format_instant(clock.wall() if began_mono is None else clock.wall_of(began_mono))


def show_rejection(rejected: Rejection | None, epoch: Epoch, clock: Clock) -> RejectedLoad | None:
    """Return the last rejected load as operators see it."""
    if rejected is None:
        return None
    error = rejected.error
    return RejectedLoad(
        at=format_instant(clock.wall_of(rejected.at_mono)),
        is_pending=epoch.began_mono is None or rejected.at_mono >= epoch.began_mono,
        file=shown_text(error.file),
        line=error.line,
        message=shown_text(error.message),
    )


def show_handler(tally: HandlerTally, kind: str, clock: Clock) -> HandlerStatus:
    """Return what a handler cost, as operators see it."""
    handler, calls, seen = tally.handler, tally.calls, tally.last_error
    return HandlerStatus(
        event=shown_text(handler.event),
        function=shown_text(name_of(handler)),
        file=shown_text(handler.file),
        line=handler.line,
        kind=kind,
        is_async=handler.is_async,
        calls=calls,
        errors=tally.errors,
        overruns=tally.overruns,
        cpu_us=round(tally.mean_ns * calls / 1e3, 1),
        cpu_mean_us=round(tally.mean_ns / 1e3, 1),
        cpu_max_us=round(tally.longest_ns / 1e3, 1),
        cpu_budget_us=None if handler.is_native else round(handler.hook.cpu_budget_s * 1e6, 1),
        wait_us=round(tally.waited_s * 1e6, 1),
        wait_mean_us=round(tally.waited_s * 1e6 / calls, 1) if calls else 0.0,
        wait_max_us=round(tally.longest_wait_s * 1e6, 1),
        under_way=tally.under_way,
        breaker=_breaker(tally, clock),
        last_error=None
        if seen is None
        else HandlerError(
            at=format_instant(clock.wall_of(seen.at_mono)),
            file=shown_text(seen.file),
            line=seen.line,
            message=shown_text(seen.message),
        ),
    )


def name_of(handler: Handler) -> str:
    """Return the name of a script's function as it stands in the script."""
    code = getattr(handler.function, "__code__", None)
    return "" if handler.is_native or code is None else str(code.co_qualname)


def _breaker(tally: HandlerTally, clock: Clock) -> BreakerState | None:
    breaker = tally.breaker
    if breaker is None:
        return None
    return BreakerState(
        is_open=breaker.is_open,
        until=format_instant(clock.wall_of(breaker.until_mono)) if breaker.is_open else None,
        is_probing=breaker.is_probing,
        turned_away=tally.turned_away,
    )


POLICY = Operation(
    "policy",
    show_policy,
    PolicyRequest,
    PolicyStatus,
    "Show the running policy, what it costs and what went wrong",
    leaves_record=False,
)
