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

import aiohttp
import msgspec

from engine.base.clock import Clock
from engine.cli.endpoint import parse_endpoint, shown_endpoint
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.model.record_filter import RecordFilter
from engine.tools.record_printer import RecordPrinter

PATH = "/api/admin/records/v1"
#: Lines, and octets of them, that wait for the output.
LINES_MAX, OCTETS_MAX = 16_384, 32 << 20
#: Seconds between attempts, and after which a node that does not answer is given up.
AGAIN_S, AWAY_S = 1.0, 60.0
#: How long a connection may take, seconds.
CONNECT_S = 10.0
#: Seconds between signs of life.
HEARTBEAT_S = 20.0
_MISSED, _ERROR = b'{"missed":', b'{"error":'


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
        base, headers = parse_endpoint(self._endpoint)
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            while True:
                try:
                    await self._read(session, base + PATH)
                    away_mono = None
                except (aiohttp.ClientError, OSError) as error:
                    now_mono = self._clock.mono()
                    away_mono = now_mono if away_mono is None else away_mono
                    if not self._has_connected or now_mono - away_mono >= AWAY_S:
                        shown = shown_endpoint(self._endpoint)
                        raise NodeAwayError(f"no answer of {shown}: {_text(error)}") from error
                await self._sleep(AGAIN_S)

    async def _read(self, session: aiohttp.ClientSession, url: str) -> None:
        """Read records until the connection ends.

        Raises:
            NodeRefusedError: The node refuses.
        """
        try:
            socket = await session.ws_connect(url, heartbeat=HEARTBEAT_S, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 503 and self._has_connected:
                return
            raise NodeRefusedError(f"the node answers {error.status}: {error.message}") from error
        async with socket:
            if self._has_connected:
                self._tell("connected again; what happened meanwhile is not shown")
            self._has_connected = True
            await socket.send_str(msgspec.json.encode(self._wanted).decode())
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data.encode())
        self._tell("the connection to the node ended; trying again")

    def _take(self, line: bytes) -> None:
        if line.startswith(_MISSED):
            self._missed += msgspec.json.decode(line)["missed"]
        elif line.startswith(_ERROR):
            raise NodeRefusedError(f"the node says: {msgspec.json.decode(line)['error']}")
        elif len(self._lines) >= LINES_MAX or self._octets + len(line) > OCTETS_MAX:
            self._missed += 1
        else:
            self._lines.append(line + b"\n")
            self._octets += len(line)
        self._arrived.set()


def _text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
