"""The sink: listens, keeps what its sessions take, and counts.

Place in flow: ``cirrus sink`` runs one; tests use it as a library::

    async with Sink() as sink:
        ...  # send to 127.0.0.1:sink.port
        (message,) = await sink.wait_messages(1)

Failure: a message that cannot be stored is answered 452, logged, and not counted as taken.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Self

from engine.base.lifecycle import Supervisor
from engine.base.tls_files import ServerTls
from engine.tools.sink_options import SinkMessage, SinkOptions, SinkStats, Stage
from engine.tools.sink_rules import ReplyRules
from engine.tools.sink_script import Hook, ReplyScript
from engine.tools.sink_session import SinkSession
from engine.tools.sink_store import MessageStore
from engine.tools.sink_wire import SinkWire

log = logging.getLogger("cirrus.sink")

_BACKLOG = 4096
#: How long the end may take, seconds.
STOP_S = 5.0


class Sink:
    """A receiving MTA.

    Args:
        options: How it behaves.
        script: Asked for each reply before everything else; see ``sink_script.Hook``.
        rules: Replies of a file.
        stores: Where messages are kept on disk.
        keep_messages: Whether ``messages`` is filled.

    Attributes:
        options: As given.
        script: What chooses the replies.
        messages: What was taken, in order.
        stats: What was counted.
        supervisor: Holds its tasks.
        addresses: Where it listens, host and port.
    """

    def __init__(
        self,
        options: SinkOptions | None = None,
        *,
        script: Hook | None = None,
        rules: ReplyRules | None = None,
        stores: Sequence[MessageStore] = (),
        keep_messages: bool = True,
    ) -> None:
        self.options = options if options is not None else SinkOptions()
        self.script = ReplyScript(self.options, rules, script)
        self.messages: list[SinkMessage] = []
        self.stats = SinkStats()
        self.supervisor = Supervisor()
        self.addresses: list[tuple[str, int]] = []
        self._stores = tuple(stores)
        self._keeps = keep_messages
        self._sessions: set[SinkWire] = set()
        self._servers: list[asyncio.Server] = []
        self._arrived = asyncio.Event()
        self._delays_s = dict(self.options.stage_delays_s)
        self._delay_s = self.options.delay_s
        self._tls: ServerTls | None = None
        if self.options.has_tls:
            self._tls = ServerTls(
                self.options.hostname,
                self.options.tls_certificate or None,
                self.options.tls_private_key or None,
            )

    @property
    def port(self) -> int:
        """Return the port of the first address it listens on."""
        return self.addresses[0][1]

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback, unless it listens already."""
        if not self._servers:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen on one more address; return its port.

        Raises:
            OSError: It cannot be had.
        """
        context: ssl.SSLContext | None = None
        if self.options.tls_from_first_byte:
            assert self._tls is not None
            context = self._tls.listening_context()
        server = await asyncio.get_running_loop().create_server(
            lambda: SinkSession(self), host, port, backlog=_BACKLOG, ssl=context
        )
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        self.addresses.append((host, bound))
        return bound

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        for session in list(self._sessions):
            session.close()
        await self.supervisor.stop(STOP_S)
        for session in list(self._sessions):
            session.abort()
        for server in self._servers:
            async with asyncio.timeout(STOP_S):
                await server.wait_closed()
        self._servers.clear()
        for store in self._stores:
            store.close()

    async def wait_messages(self, count: int, limit_s: float | None = 30.0) -> list[SinkMessage]:
        """Return the messages once so many were taken.

        Raises:
            TimeoutError: They were not, in the time given (seconds; None for ever).
        """
        async with asyncio.timeout(limit_s):
            while self.stats.messages < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages

    # -- what sessions ask

    def delay_of(self, stage: Stage) -> float:
        """Return the seconds before a reply of a stage."""
        if self._delays_s:
            return self._delays_s.get(stage, self._delay_s)
        return self._delay_s

    def tls_context(self) -> ssl.SSLContext:
        """Return the context of the next handshake."""
        assert self._tls is not None
        return self._tls.context()

    def note_connection(self, session: SinkWire) -> int:
        """Count a new connection; return its number."""
        stats = self.stats
        self._sessions.add(session)
        stats.connections += 1
        stats.connections_open += 1
        stats.connections_peak = max(stats.connections_peak, stats.connections_open)
        if session.tls:
            stats.tls_connections += 1
        return stats.connections

    def note_end(self, session: SinkWire) -> None:
        """Count the end of a connection."""
        if session in self._sessions:
            self._sessions.discard(session)
            self.stats.connections_open -= 1

    def may_store(self, message: SinkMessage) -> bool:
        """Return whether the message is on disk wherever it shall be kept."""
        try:
            for store in self._stores:
                store.keep(message)
        except OSError as error:
            log.error("a message cannot be stored: %s", error)
            return False
        return True

    def take(self, message: SinkMessage, size_bytes: int) -> None:
        """Count a message that was answered with yes, and keep it."""
        self.stats.note_message(message.recipients, size_bytes, message.at_mono, message.client)
        if self._keeps:
            self.messages.append(message)
        self._arrived.set()
