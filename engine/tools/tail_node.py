"""Log records of a running node as they happen, without access to its files.

Place in flow: ``cirrus tail`` without directories; a client of ``engine.admin.record_stream``.

Invariants:
    * A slow reader of the output does not make the node wait, nor its connection end: what does not
      fit here is missed, and it is told how much.
    * A connection that ends is made again for a while; what happened meanwhile is not shown, and
      that is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from engine.base.clock import Clock
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.http_node import HttpNode
from engine.model.record_filter import RecordFilter
from engine.tools.record_printer import RecordPrinter

PATH = "/api/admin/records/v1"
#: Lines, and octets of them, that wait for the output.
LINES_MAX, OCTETS_MAX = 16_384, 32 << 20
#: A connection that breaks later than this was one, seconds.
CONNECT_S = 30.0
#: Seconds between attempts, and after which a node that does not answer is given up.
AGAIN_S, AWAY_S = 1.0, 60.0


class NodeTail:
    """Prints records of a node as they happen.

    Args:
        endpoint: The node.
        wanted: Which records.
        printer: Prints them.
        tell: Told what is not shown.
        clock: Tells for how long the node has been away.
        sleep: Lets seconds pass.
    """

    def __init__(
        self,
        endpoint: str,
        wanted: RecordFilter,
        printer: RecordPrinter,
        tell: Callable[[str], None],
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self._printer = printer
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._lines: deque[bytes] = deque()
        self._octets = 0
        self._missed = 0
        self._arrived = asyncio.Event()
        self._has_connected = False

    async def run(self) -> None:
        """Print records until the limit is reached.

        Raises:
            NodeRefusedError: The node refuses.
            NodeAwayError: It does not answer.
            OSError: The output cannot be written.
        """
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_on())
                while not self._printer.is_full:
                    await self._print_some()
                reading.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _print_some(self) -> None:
        await self._arrived.wait()
        self._arrived.clear()
        lines, self._lines = self._lines, deque()
        self._octets = 0
        missed, self._missed = self._missed, 0
        # In a thread: the connection has to live on while the output waits for its reader.
        await asyncio.get_running_loop().run_in_executor(None, self._print, lines)
        if missed:
            self._tell(f"{missed} records were missed: they came faster than they were read")

    def _print(self, lines: deque[bytes]) -> None:
        for line in lines:
            if self._printer.is_full:
                break
            self._printer.print(line)
        self._printer.flush()

    async def _read_on(self) -> None:
        away_mono: float | None = None
        async with HttpNode(self._endpoint) as node:
            while True:
                began_mono = self._clock.mono()
                try:
                    await self._read(node)
                    away_mono = None
                except NodeAwayError:
                    now_mono = self._clock.mono()
                    if now_mono - began_mono > CONNECT_S:
                        # It was there, and had nothing to show.
                        self._has_connected, away_mono = True, None
                    away_mono = now_mono if away_mono is None else away_mono
                    if not self._has_connected or now_mono - away_mono >= AWAY_S:
                        raise
                except NodeRefusedError as refused:
                    # One that was just started may not be ready for all.
                    if refused.status != 503 or not self._has_connected:
                        raise
                await self._sleep(AGAIN_S)

    async def _read(self, node: HttpNode) -> None:
        """Read records until the connection ends.

        Raises:
            NodeRefusedError: The node refuses.
            NodeAwayError: It does not answer, or the connection broke.
        """
        is_new = True
        async for frame in node.watch(PATH, msgspec.to_builtins(self._wanted)):
            if is_new and self._has_connected:
                self._tell("connected again; what happened meanwhile is not shown")
            is_new, self._has_connected = False, True
            self._take(frame)
        self._has_connected = True
        self._tell("the connection to the node ended; trying again")

    def _take(self, frame: dict[str, Any]) -> None:
        if "missed" in frame:
            self._missed += frame["missed"]
        else:
            line = msgspec.json.encode(frame) + b"\n"
            if len(self._lines) >= LINES_MAX or self._octets + len(line) > OCTETS_MAX:
                self._missed += 1
            else:
                self._lines.append(line)
                self._octets += len(line)
        self._arrived.set()
