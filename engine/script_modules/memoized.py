"""``mta.memoize``: functions of scripts that remember their answers.

Place in flow: exposed by ``all_modules``; the answers are in ``memo_cache``.

Invariants:
    * Of several ``async`` calls with the same arguments one runs; the others wait for it, at most
      ``populate_timeout``, and get its answer or its error. Where it is broken off (its handler
      ran out of time, or refused), the next one takes over.
    * Errors are not kept. With ``allow_stale_reads`` an answer whose time is over is given while
      another call renews it, and when renewing fails.
    * The arguments are the key. What a function reads elsewhere (a tenant noted in a global, the
      time) is not: its answer for one would be given to all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from inspect import iscoroutinefunction
from typing import Any, NoReturn

from engine.model.duration import parse_duration
from engine.model.keyword_options import flag, whole
from engine.script_modules.memo_cache import (
    CAPACITY_MAX,
    Entry,
    Flight,
    MemoCache,
    MemoOptions,
    MemoRegistry,
    key_of,
)
from engine.script_modules.plain_value import thaw
from policy.budget import Budget
from policy.epoch import EPOCH_NAME, Epoch
from policy.errors import ConfinementError
from policy.guards import is_script_function
from policy.script_api import ScriptNamespace, Waiting

log = logging.getLogger("cirrus.script")

NAME_MAX = 200
_TRIES = 3


class _Asking(Waiting):
    """A call of a memoized ``async def``: waits only where its function does.

    It begins in a dry run too, where what waits does not.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Any]:
        self._unawaited.pop(id(self), None)
        awaitable: Awaitable[Any] = self._function(*self._args, **self._kwargs)
        return awaitable.__await__()


class Memoizer:
    """Makes memoized functions for the scripts of a node."""

    def __init__(self, registry: MemoRegistry) -> None:
        self._registry = registry

    def memoize(self, function: Any = None, /, **options: Any) -> Any:
        """Return a function that remembers its answers; without a function, a decorator."""
        name, read = _read_options(**options)
        if function is None:
            return lambda late: self._memoized(late, name, read)
        return self._memoized(function, name, read)

    def _memoized(self, function: Any, name: str, options: MemoOptions) -> Callable[..., Any]:
        if not is_script_function(function):
            raise TypeError("memoize wants a function of the script, def or async def")
        epoch: Epoch = function.__globals__[EPOCH_NAME]
        code = function.__code__
        definition = (epoch.serial, code.co_filename, code.co_firstlineno)
        cache = self._registry.find(name, options, definition)
        call = _Call(function, cache, epoch)
        if iscoroutinefunction(function):

            def memoized(*args: Any, **kwargs: Any) -> Any:
                waits = epoch.budget.waits
                if waits is None:
                    raise ConfinementError(f"{name}() waits: await it, in an `async def` handler")
                return _Asking(name, (call.run, args, kwargs), waits)

        else:

            def memoized(*args: Any, **kwargs: Any) -> Any:
                return call.run_nowait(args, kwargs)

        memoized.__name__, memoized.__doc__ = function.__name__, function.__doc__
        return memoized


def _read_options(
    *,
    name: str,
    ttl: Any,
    capacity: Any,
    invalidate_with_epoch: Any = False,
    populate_timeout: Any = 120,
    retry_on_populate_timeout: Any = False,
    allow_stale_reads: Any = False,
) -> tuple[str, MemoOptions]:
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
        raise ValueError(f"name: wants text of 1 to {NAME_MAX} characters")
    options = MemoOptions(
        ttl_s=_named("ttl", parse_duration, ttl),
        capacity=_named("capacity", whole(1, CAPACITY_MAX), capacity),
        invalidate_with_epoch=_named("invalidate_with_epoch", flag, invalidate_with_epoch),
        populate_timeout_s=_named("populate_timeout", parse_duration, populate_timeout),
        retry_on_populate_timeout=_named(
            "retry_on_populate_timeout", flag, retry_on_populate_timeout
        ),
        allow_stale_reads=_named("allow_stale_reads", flag, allow_stale_reads),
    )
    if options.invalidate_with_epoch and options.allow_stale_reads:
        raise ValueError("invalidate_with_epoch and allow_stale_reads exclude each other")
    return name, options


def _named(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


class _Call:
    """A function and where its answers are."""

    def __init__(self, function: Callable[..., Any], cache: MemoCache, epoch: Epoch) -> None:
        self._function = function
        self._cache = cache
        self._serial = epoch.serial if cache.options.invalidate_with_epoch else 0
        self._budget: Budget = epoch.budget

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._serial, key_of(args, kwargs)

    def run_nowait(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the answer of a ``def``."""
        key = self._key(args, kwargs)
        entry, is_fresh = self._cache.look_up(key)
        if entry is not None and is_fresh:
            return thaw(entry.kept, self._budget)
        try:
            return self._keep(key, self._function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - hook call
            return self._fall_back(entry, error)

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Return the answer of an ``async def``: kept, or of the call under way, or its own."""
        key, options, tries = self._key(args, kwargs), self._cache.options, 0
        task = _current_task()
        while True:
            entry, is_fresh = self._cache.look_up(key)
            if entry is not None and is_fresh:
                return thaw(entry.kept, self._budget)
            if task is None:
                # A dry run, perhaps in another thread: nobody can wait for it.
                return self._keep(key, await self._function(*args, **kwargs))
            flight = self._cache.flights.get(key)
            if flight is None:
                flight = self._cache.flights[key] = Flight(task)
                return await self._populate(key, flight, entry, args, kwargs)
            if entry is not None and options.allow_stale_reads:
                return thaw(entry.kept, self._budget)
            tries += 1
            try:
                await self._wait(flight, task)
            except TimeoutError:
                if not options.retry_on_populate_timeout or tries >= _TRIES:
                    raise

    async def _wait(self, flight: Flight, task: asyncio.Task[Any]) -> None:
        if flight.task is task:
            raise RuntimeError(f"{self._cache.name}() asks for its own answer")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flight.waiters.append(waiter)
        limit_s = self._cache.options.populate_timeout_s
        try:
            async with asyncio.timeout(limit_s) as scope:
                await waiter
        except TimeoutError:
            if scope.expired():
                text = f"{self._cache.name}() waited {limit_s:g} s for the same call elsewhere"
                raise TimeoutError(text) from None
            raise
        finally:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even where this call ended first
            waiter.cancel()

    async def _populate(
        self,
        key: Any,
        flight: Flight,
        stale: Entry | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        # No timeout of its own: it would cancel code of the script inside a call that goes on.
        # The time of its handler bounds it.
        failure: Exception | None = None
        try:
            return self._keep(key, await self._function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - hook call
            if stale is None or not self._cache.options.allow_stale_reads:
                failure = error
            return self._fall_back(stale, error)
        finally:
            self._cache.flights.pop(key, None)
            flight.land(failure)

    def _keep(self, key: Any, value: Any) -> Any:
        return thaw(self._cache.put(key, value, self._budget), self._budget)

    def _fall_back(self, stale: Entry | None, error: Exception) -> Any:
        if stale is None or not self._cache.options.allow_stale_reads:
            _raise(error)
        self._cache.postpone(stale)
        kind = type(error).__name__[:100]
        log.warning(
            "memoize %s: renewing failed (%s); an old answer counts", self._cache.name, kind
        )
        return thaw(stale.kept, self._budget)


def _raise(error: Exception) -> NoReturn:
    raise error


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


def expose_memoize(namespace: ScriptNamespace, registry: MemoRegistry) -> None:
    """Make ``mta.memoize`` importable by scripts."""
    namespace.expose("memoize", Memoizer(registry).memoize)
