"""Run the load generator: sessions side by side, paced, until count or time is reached.

Place in flow: ``cirrus traffic`` and tests call ``run_traffic``.

Invariants:
    * A message counts once; one whose connection broke while it was handed over is lost, never
      sent again.
    * After the end is reached no message begins; those under way get their replies.
    * Turns are reserved on a schedule, so that late timers do not lower the rate; what a slow
      server holds up is made up for, up to ``MAX_LAG_S`` of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.tools.traffic_client import TrafficConnection, TrafficConnectionError
from engine.tools.traffic_content import MessageMaker
from engine.tools.traffic_http import HttpInjector
from engine.tools.traffic_options import TrafficOptions, TrafficProtocol
from engine.tools.traffic_tally import Tally, TrafficSummary

#: A session gives up after so many failures to connect in a row, or after the time for a reply.
MAX_FAILURES = 5
#: How much of the schedule is made up for after all sessions were busy, seconds.
MAX_LAG_S = 0.5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

#: Told the state of the run now and then.
Watch = Callable[[TrafficSummary], None]


class TrafficRun:
    """One run.

    Args:
        options: What is sent.
        clock: The time.
    """

    def __init__(self, options: TrafficOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._maker = MessageMaker(options, clock.wall)
        self._started_mono = clock.mono()
        self.tally = Tally(self._started_mono)
        self._next_number = 1
        self._next_mono = self._started_mono
        self._end_mono = float("inf")
        if options.ends_after_s is not None:
            self._end_mono = self._started_mono + options.ends_after_s
        self._has_no_turns = False
        self._is_stopping = asyncio.Event()
        self._opening: set[asyncio.Timeout] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Begin no further message, and wait for no further connection."""
        self._is_stopping.set()
        for opening in self._opening:
            opening.reschedule(asyncio.get_running_loop().time())

    def abort(self) -> None:
        """End now; what is under way is lost."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    async def run(self) -> TrafficSummary:
        """Return the summary when everything under way has ended."""
        supervisor = Supervisor()
        work = self._http_session if self._is_http else self._smtp_session
        injector = HttpInjector(self._options, self.tally) if self._is_http else None
        self._injector = injector
        self._context = _trusting_context()
        sessions = min(self._options.sessions, self._options.count or self._options.sessions)
        tasks = self._tasks = [
            supervisor.start(work(), f"traffic session {number}")
            for number in range(1, sessions + 1)
        ]
        try:
            await asyncio.wait(tasks)
        finally:
            await supervisor.stop()
            if injector is not None:
                await injector.close()
        for task in tasks:
            if not task.cancelled():
                task.result()
        return self.summary()

    def summary(self) -> TrafficSummary:
        """Return the state now."""
        return self.tally.summary(self._clock.mono())

    @property
    def _is_http(self) -> bool:
        return self._options.protocol is TrafficProtocol.HTTP

    @property
    def _is_over(self) -> bool:
        count = self._options.count
        return (
            self._is_stopping.is_set()
            or self._has_no_turns
            or (count is not None and self._next_number > count)
            or self._clock.mono() >= self._end_mono
        )

    async def _wait_turn(self) -> int | None:
        """Return the number of the next message when its time has come, None at the end."""
        if self._is_over:
            return None
        number = self._next_number
        self._next_number += 1
        if self._options.per_s is None:
            return number
        now_mono = self._clock.mono()
        turn_mono = max(self._next_mono, now_mono - MAX_LAG_S)
        self._next_mono = turn_mono + 1.0 / self._options.per_s
        if turn_mono >= self._end_mono:
            # Nor will there be another; without this, sessions would reconnect until the end.
            self._has_no_turns = True
            return None
        if turn_mono > now_mono and await self._is_stopped_within(turn_mono - now_mono):
            return None
        return number

    async def _is_stopped_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._is_stopping.wait()
        except TimeoutError:
            return False
        return True

    # -- SMTP

    async def _smtp_session(self) -> None:
        failures = 0
        number: int | None = None
        reached_mono = self._clock.mono()
        while number is not None or not self._is_over:
            connection = TrafficConnection(self._options, self.tally)
            if not failures:
                reached_mono = self._clock.mono()
            try:
                if not await self._is_opened(connection):
                    return
            except TrafficConnectionError as error:
                failures += 1
                self.tally.connect_failures += 1
                self.tally.trouble = str(error)
                # A server that says nothing is given up after one timeout, not after five.
                is_silent = self._clock.mono() - reached_mono >= self._options.timeout_s
                if (failures >= MAX_FAILURES or is_silent) and not self._options.keep_going:
                    self.tally.gave_up = True
                    return
                pause_s = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_S)
                if await self._is_stopped_within(pause_s):
                    return
                continue
            failures = 0
            self.tally.connections += 1
            self.tally.open_connections += 1
            try:
                number = await self._use(connection, number)
            finally:
                self.tally.open_connections -= 1
                connection.close()

    async def _is_opened(self, connection: TrafficConnection) -> bool:
        """Return whether the connection is ready for mail; False when the run was stopped before.

        Raises:
            TrafficConnectionError: It cannot be had.
        """
        is_opened = False
        try:
            async with asyncio.timeout(None) as opening:
                self._opening.add(opening)
                await connection.open(self._context)
                is_opened = True
        except TimeoutError:
            return False
        finally:
            self._opening.discard(opening)
            if not is_opened:
                connection.close()
        return True

    async def _use(self, connection: TrafficConnection, number: int | None) -> int | None:
        """Send messages; return the number of one whose turn came when the connection was over.

        Args:
            connection: Ready for mail.
            number: A message that waits already.
        """
        limit = self._options.messages_per_connection
        while not connection.is_over and not (limit and connection.messages >= limit):
            if number is None:
                number = await self._wait_turn()
                if number is None:
                    break
                if connection.is_over:
                    return number
            message = self._maker.make(number)
            number = None
            began_mono = self._clock.mono()
            try:
                code = await connection.send(message)
            except TrafficConnectionError as error:
                self.tally.lost += 1
                self.tally.trouble = str(error)
                return None
            except asyncio.CancelledError:
                self.tally.lost += 1
                raise
            latency_s = self._clock.mono() - began_mono
            self.tally.note_outcome(code, len(message.content), latency_s)
        await connection.quit()
        return number

    # -- HTTP

    async def _http_session(self) -> None:
        assert self._injector is not None
        failures = 0
        while not self._is_over and (failures < MAX_FAILURES or self._options.keep_going):
            number = await self._wait_turn()
            if number is None:
                return
            message = self._maker.make(number)
            began_mono = self._clock.mono()
            try:
                code = await self._injector.send(message)
            except TrafficConnectionError as error:
                failures += 1
                self.tally.lost += 1
                self.tally.trouble = str(error)
                await self._is_stopped_within(_FIRST_PAUSE_S)
                continue
            except asyncio.CancelledError:
                self.tally.lost += 1
                raise
            failures = 0
            latency_s = self._clock.mono() - began_mono
            self.tally.note_outcome(code, len(message.content), latency_s)
        self.tally.gave_up = self.tally.gave_up or failures >= MAX_FAILURES


def _trusting_context() -> ssl.SSLContext:
    # It tests servers that sign their certificates themselves.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def run_traffic(
    options: TrafficOptions,
    *,
    clock: Clock | None = None,
    watch: Watch | None = None,
    watch_every_s: float = 1.0,
    on_start: Callable[[TrafficRun], None] | None = None,
) -> TrafficSummary:
    """Send what the options say; return what came of it.

    Args:
        options: What, where, how fast.
        clock: The time; the process's own when not given.
        watch: Told the state now and then.
        watch_every_s: How often, seconds.
        on_start: Told the run, whose ``stop`` ends it early.
    """
    run = TrafficRun(options, clock if clock is not None else Clock())
    if on_start is not None:
        on_start(run)
    if watch is None:
        return await run.run()
    supervisor = Supervisor()
    supervisor.start(_tell(run, watch, watch_every_s), "traffic progress")
    try:
        return await run.run()
    finally:
        await supervisor.stop()


async def _tell(run: TrafficRun, watch: Watch, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        watch(run.summary())
