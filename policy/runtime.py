"""The policy of a running program: load, swap, fire.

Place in flow: a program owns one, loads at start, fires hooks; ``watcher`` asks it to
reload.

Invariants:
    * ``epoch`` is replaced in one assignment; whoever passes an epoch to ``fire`` stays
      on it.
    * A failed reload changes nothing but the report of why, once per content.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, NamedTuple

from policy.breaker import Breaker
from policy.budget import Budget
from policy.epoch import EPOCH_NAME, Epoch, digest_of
from policy.errors import HookFailedError, PolicyLoadError, ScriptFrame
from policy.failure import line_of
from policy.handler_call import HandlerCall, Pending, Report
from policy.handler_tally import HandlerTally
from policy.hook import CallLimits, Hook, OnFailure
from policy.hook_registry import Handler, HookTable, PolicyFinding
from policy.native_call import NativeFunction, native_runner
from policy.script_api import ScriptNamespace
from policy.script_loader import ScriptLoader

#: Budgets of a function that a script handed over, such as a sender, in seconds.
FUNCTION_CPU_S = 0.05
FUNCTION_WAIT_S = 60.0

#: Port: for an event, what is told that a call began, and how many seconds one took.
Watch = Callable[[str], tuple[Callable[[], None], Callable[[float], None]]]
DryCheck = Callable[[Epoch], Sequence[PolicyFinding]]
_Stamp = tuple[int, int, int]


def _say_nothing(_event: str, _facts: dict[str, Any]) -> None:
    """Stand in for a program that wants no reports."""


def _rejection(finding: PolicyFinding, epoch: Epoch) -> PolicyLoadError:
    """Return what a finding that rejects an epoch is raised as, with the line it is about."""
    error = PolicyLoadError(finding.file, finding.line, finding.message)
    source = epoch.sources.get(finding.file)
    if source is not None and finding.line is not None:
        shown = line_of(source, finding.line)
        error.trace = (ScriptFrame(finding.file, finding.line, "", shown),)
    return error


class Rejection(NamedTuple):
    """A load that was rejected, and when, monotonic."""

    at_mono: float
    error: PolicyLoadError


class _Loading(threading.local):
    """The epoch that a thread is loading."""

    epoch: Epoch | None = None


class PolicyRuntime:
    """Scripts of one program, current and coming.

    Attributes:
        rejected: the last load that was rejected, while a program ran; None if none was.
    """

    def __init__(
        self,
        hooks: Iterable[Hook],
        namespace: ScriptNamespace,
        *,
        mono: Callable[[], float],
        report: Report = _say_nothing,
        watch: Watch | None = None,
    ) -> None:
        """Own the scripts of a program.

        Args:
            hooks: the events it fires.
            namespace: what its scripts may import.
            mono: monotonic time.
            report: told what happens to the policy.
            watch: asked once for each event that has handlers, in each epoch.
        """
        self._table = HookTable(hooks)
        self.namespace = namespace
        self._mono = mono
        self._report = report
        self._watch = watch
        self._serial = 0
        self._epoch = Epoch(0, Budget())
        self._loading = _Loading()
        self.rejected: Rejection | None = None
        self._path: Path | None = None
        self._dry_check: DryCheck | None = None
        # What the last attempt to load saw, whether or not it succeeded.
        self._seen: dict[Path, str | None] = {}
        self._stamps: dict[Path, _Stamp] = {}

    @property
    def epoch(self) -> Epoch:
        """The current epoch."""
        return self._epoch

    @property
    def active_epoch(self) -> Epoch:
        """The epoch being loaded by this thread, else the current one: where a file belongs."""
        return self._loading.epoch or self._epoch

    # --- loading

    def load(self, path: Path, *, dry_check: DryCheck | None = None) -> Epoch:
        """Return a new epoch made from a script; the current one stays.

        Args:
            path: the policy script.
            dry_check: asked about the new epoch, with what its native hooks found; an error
                among its findings rejects it.

        Raises:
            PolicyLoadError: the script is missing, does not compile or run, registers what
                does not fit, or fails the dry check.
        """
        self._path, self._dry_check = path, dry_check
        self._serial += 1
        began_mono = self._mono()
        epoch = Epoch(self._serial, Budget())
        self._loading.epoch = epoch
        try:
            write_line = self.namespace.printer() or self._report_print
            ScriptLoader(epoch, self._table, self.namespace, write_line).load(path)
            self._build_runners(epoch)
            for finding in dry_check(epoch) if dry_check else epoch.native.findings:
                if finding.severity == "error":
                    raise _rejection(finding, epoch)
                epoch.warnings.append(finding)
        finally:
            self._loading.epoch = None
            self._seen = dict(epoch.files)
        epoch.load_s = self._mono() - began_mono
        return epoch

    def swap(self, epoch: Epoch) -> None:
        """Make an epoch the current one."""
        self._epoch = epoch
        epoch.began_mono = self._mono()
        facts = {
            "serial": epoch.serial,
            "content_hash": epoch.content_hash,
            "files": [str(path) for path in sorted(epoch.files)],
            "warnings": [str(finding) for finding in epoch.warnings],
        }
        self._report("policy_loaded", facts)

    def reload_if_changed(self, *, rehash: bool = True) -> Epoch | None:
        """Load and swap if the content of any file changed; return the new epoch.

        Whatever goes wrong, the running epoch stays; it never raises.

        Args:
            rehash: whether to read files even if size and times look unchanged.
        """
        epoch = self.load_if_changed(rehash=rehash)
        if epoch is not None:
            self.swap(epoch)
        return epoch

    def load_if_changed(self, *, rehash: bool = True) -> Epoch | None:
        """Return a new epoch if the content of any file changed and it loads; never raises.

        Nothing that runs is touched: it may be called in a thread of its own, one call at a
        time. Swapping the epoch in is for the thread that fires hooks.

        Args:
            rehash: whether to read files even if size and times look unchanged.
        """
        before, stamps = dict(self._seen), dict(self._stamps)
        try:
            return self._load_if_changed(rehash=rehash)
        except OSError:
            # No descriptor is left to look at the files: that is no change, and what did
            # change is still to be loaded.
            self._seen, self._stamps = before, stamps
            return None
        except Exception as error:  # noqa: BLE001 - supervisor: the watch must not end
            text = f"cannot be loaded: {error!r}"
            self._reject(PolicyLoadError(str(self._path), None, text))
            return None

    def _load_if_changed(self, *, rehash: bool) -> Epoch | None:
        if self._path is None or not self._has_changed(rehash=rehash):
            return None
        try:
            return self.load_again()
        except PolicyLoadError:
            return None

    def load_again(self) -> Epoch:
        """Return a new epoch from the script loaded last, whether or not it changed.

        Raises:
            PolicyLoadError: it was rejected, which has been reported.
        """
        if self._path is None:
            raise PolicyLoadError("policy", None, "no script was loaded yet")
        before = dict(self._seen)
        try:
            return self.load(self._path, dry_check=self._dry_check)
        except PolicyLoadError as error:
            # Files the broken attempt did not reach are still worth watching.
            for path in before.keys() | self._epoch.files.keys():
                if path not in self._seen:
                    self._seen[path] = digest_of(path)
            self._reject(error)
            raise

    def _reject(self, error: PolicyLoadError) -> None:
        self.rejected = Rejection(self._mono(), error)
        self._report("policy_rejected", _facts(error))

    def _has_changed(self, *, rehash: bool) -> bool:
        for path, digest in self._epoch.files.items():
            self._seen.setdefault(path, digest)
        changed = False
        for path, digest in self._seen.items():
            stamp = _stamp_of(path)
            if rehash or stamp != self._stamps.get(path):
                changed = changed or digest_of(path) != digest
                self._stamps[path] = stamp
        return changed

    def limit_calls(self, epoch: Epoch, limits: Mapping[str | None, CallLimits]) -> None:
        """Have the handlers of an epoch that is not in use yet keep other limits.

        Args:
            epoch: a new epoch, as a dry check has it.
            limits: by event; under None those of all others and of functions, but not of what
                must not fail: that keeps its own.
        """
        if limits or epoch.limits:
            epoch.limits = dict(limits)
            epoch.functions.clear()
            self._build_runners(epoch)

    def _build_runners(self, epoch: Epoch) -> None:
        limits = epoch.limits
        epoch.tallies.clear()
        for event, handlers in epoch.handlers.items():
            hook = handlers[0].hook
            for_all = None if hook.on_failure is OnFailure.FATAL else limits.get(None)
            for one in filter(None, (for_all, limits.get(event))):
                hook = one.of(hook)
            runners = [self._runner(replace(each, hook=hook), epoch) for each in handlers]
            answered = handlers[0].hook.result is not None
            alone = len(runners) == 1 and answered
            run = runners[0] if alone else _in_turn(runners, answered=answered)
            epoch.runners[event] = (
                _watched(run, self._mono, *self._watch(event)) if self._watch else run
            )

    def _runner(
        self, handler: Handler, epoch: Epoch, tally: HandlerTally | None = None
    ) -> Callable[..., Any]:
        breaker = None if handler.is_native else Breaker(self._mono)
        if tally is None:
            tally = HandlerTally(handler, breaker, self._mono)
            epoch.tallies.append(tally)
        else:
            tally.breaker = breaker
        if breaker is None:
            return native_runner(handler, self._report, tally)
        return HandlerCall(handler, epoch, breaker, self._report, tally).build_runner()

    def _report_print(self, line: str) -> None:
        self._report("script_print", {"text": line})

    # --- firing

    def is_handled(self, hook: str, epoch: Epoch | None = None) -> bool:
        """Tell whether any handler is registered for an event."""
        return hook in (epoch or self._epoch).runners

    def fire_nowait(self, hook: str, *args: Any, epoch: Epoch | None = None) -> Any:
        """Return the answer, or a ``Pending`` where an ``async def`` handler must give it.

        Raises:
            HookFailedError: a handler failed.
            ScriptRefusal: a handler refused.
        """
        run = (epoch or self._epoch).runners.get(hook)
        return None if run is None else run(*args)

    call = fire_nowait

    async def fire(self, hook: str, *args: Any, epoch: Epoch | None = None) -> Any:
        """Return the answer of an event's handlers, waiting for it if need be.

        Raises:
            HookFailedError: a handler failed.
            ScriptRefusal: a handler refused.
        """
        run = (epoch or self._epoch).runners.get(hook)
        if run is None:
            return None
        answer = run(*args)
        return await answer.finish() if type(answer) is Pending else answer

    async def call_function(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the answer of a function that a script handed over, waiting for it if need be.

        Args:
            function: a ``def`` or ``async def`` of a script, such as a sender.
            args: its positional arguments.

        Raises:
            HookFailedError: it failed, or is no function of a script.
            ScriptRefusal: it refused.
        """
        answer = self.call_function_nowait(function, *args)
        return await answer.finish() if type(answer) is Pending else answer

    def call_function_nowait(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the answer of a function that a script handed over, run like a handler.

        A ``Pending`` where an ``async def`` must give it.

        Raises:
            HookFailedError: it failed, or is no function of a script.
            ScriptRefusal: it refused.
        """
        if isinstance(function, NativeFunction):
            return function.call(args, self._report)
        epoch: Epoch | None = getattr(function, "__globals__", {}).get(EPOCH_NAME)
        if epoch is None:
            message = "not a function of a policy script"
            raise HookFailedError("call", file="policy", line=None, message=message)
        run = epoch.functions.get(function)
        if run is None:
            run = epoch.functions[function] = self._function_runner(function, epoch)
        return run(*args)

    def _function_runner(self, function: Callable[..., Any], epoch: Epoch) -> Callable[..., Any]:
        code = function.__code__
        hook = Hook(function.__name__, cpu_budget_s=FUNCTION_CPU_S, wait_budget_s=FUNCTION_WAIT_S)
        handler = Handler(
            event=function.__name__,
            hook=epoch.limits.get(None, CallLimits()).of(hook),
            function=function,
            file=code.co_filename,
            line=code.co_firstlineno,
            is_async=iscoroutinefunction(function),
        )
        return self._runner(handler, epoch, self._function_tally(handler, epoch))

    def _function_tally(self, handler: Handler, epoch: Epoch) -> HandlerTally:
        """Return the tally of a function: one for all that were made at the same line."""
        place = handler.event, handler.file, handler.line
        tally = epoch.function_tallies.get(place)
        if tally is None:
            tally = HandlerTally(handler, None, self._mono)
            epoch.function_tallies[place] = tally
        return tally

    def regex_fallback_uses(self) -> int:
        """Return how many patterns of the current epoch needed the slower engine."""
        return self._epoch.regex_fallback_uses()


def _watched(
    run: Callable[..., Any],
    mono: Callable[[], float],
    started: Callable[[], None],
    took: Callable[[float], None],
) -> Callable[..., Any]:
    """Return a runner whose calls are counted and timed, waiting included."""

    async def finish(pending: Pending, began_s: float, is_timed: bool) -> Any:
        try:
            return await pending.finish(is_timed=is_timed)
        finally:
            took(mono() - began_s)

    def watched(*args: Any) -> Any:
        started()
        began_s = mono()
        try:
            answer = run(*args)
        except BaseException:
            took(mono() - began_s)
            raise
        if type(answer) is Pending:
            return Pending(partial(finish, answer, began_s))
        took(mono() - began_s)
        return answer

    return watched


def _facts(error: PolicyLoadError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "message": error.message,
        "trace": error.trace,
    }


def _stamp_of(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _in_turn(runners: list[Callable[..., Any]], *, answered: bool) -> Callable[..., Any]:
    """Return a runner that asks each handler until one answers."""

    async def finish(
        pending: Pending, rest: list[Callable[..., Any]], args: Any, is_timed: bool
    ) -> Any:
        answer = await pending.finish(is_timed=is_timed)
        for run in rest:
            if answer is not None:
                break
            answer = run(*args)
            if type(answer) is Pending:
                answer = await answer.finish(is_timed=is_timed)
        return answer if answered else None

    def run(*args: Any) -> Any:
        for position, each in enumerate(runners):
            answer = each(*args)
            if answer is not None:
                if type(answer) is Pending:
                    return Pending(partial(finish, answer, runners[position + 1 :], args))
                return answer if answered else None
        return None

    return run
