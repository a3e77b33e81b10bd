"""The consoles of a node, in a thread and a loop of their own.

Place in flow: ``engine.declared`` reconciles it with each policy; runs ``engine.console.server``.

Invariants:
    * Mail never waits for the console: key exchanges, drawing and slow readers are the console's
      loop's. Acts hop over to the node's loop, one call at a time.
    * The console outlives a stalled node's loop: an operator gets an error, not silence.
    * The node outlives the console's loop: one that is dead or stuck is said in the log, a reload
      begins anew where it is dead, and a stop goes on without it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from engine.model.console_options import ConsoleOptions
from engine.model.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.console.desk import ConsoleDesk
    from engine.console.server import ConsoleServer

log = logging.getLogger("cirrus.console")

#: How long the console's loop may take for a start or a stop, seconds.
ANSWER_S = 10.0

_T = TypeVar("_T")
Address = tuple[str, int]


class Consoles:
    """The consoles of one node.

    Args:
        make_desk: Returns the node's side of a console.
    """

    def __init__(self, make_desk: Any) -> None:
        self._make_desk = make_desk
        self._servers: dict[Address, ConsoleServer] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def port_of(self, address: Address) -> int:
        """Return the port that a console listens on."""
        return self._servers[address].port

    async def reconcile(self, declared: Mapping[Address, ConsoleOptions]) -> None:
        """Open and close consoles as the policy has them; what did not change goes on.

        Args:
            declared: Those that the policy has, by address.

        Raises:
            ConfigurationError: One cannot be had; the others are as they should be.
        """
        self._bury_dead_thread()
        for address in self._servers.keys() - declared.keys():
            await self._run(self._servers.pop(address).stop())
        failures = []
        for address, options in declared.items():
            running = self._servers.get(address)
            if running is not None and running.options == options:
                continue
            try:
                await self._replace(address, options)
            except ConfigurationError as error:
                failures.append(str(error))
        if not self._servers:
            await self._end_thread()
        if failures:
            raise ConfigurationError("; ".join(failures))

    async def _replace(self, address: Address, options: ConsoleOptions) -> None:
        # The library is large: who has no console does not load it.
        from engine.console.host_key import settle_host_key  # noqa: PLC0415 - a large library
        from engine.console.server import ConsoleServer  # noqa: PLC0415 - a large library

        running = self._servers.get(address)
        if running is not None:
            if running.options.host_key == options.host_key:
                # Sessions go on; who comes from now on is met by what is said now.
                running.options = options
                return
            # One that cannot be had leaves the console as it is: it may be the only way in.
            await asyncio.to_thread(settle_host_key, options.host_key)
            await self._run(self._servers.pop(address).stop())
        desk: ConsoleDesk = self._make_desk()
        made = ConsoleServer(options, desk, asyncio.get_running_loop())
        await self._run(made.start())
        self._servers[address] = made

    async def close(self) -> None:
        """End all of them; a loop that does not answer holds up nothing."""
        self._bury_dead_thread()
        for server in self._servers.values():
            try:
                await self._run(server.stop())
            except ConfigurationError as error:
                log.error("a console is not ended: %s", error)
        self._servers.clear()
        await self._end_thread()

    # -- the thread ---------------------------------------------------------------------------

    async def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what a coroutine returns in the console's loop.

        Raises:
            ConfigurationError: The loop does not answer.
        """
        loop = self._begin_thread()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
        except TimeoutError:
            raise ConfigurationError("the console's thread does not answer") from None

    def _begin_thread(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._serve, args=(self._loop,), name="console", daemon=True
            )
            self._thread.start()
        return self._loop

    def _bury_dead_thread(self) -> None:
        """Forget a thread that died, and what it served: its sockets are closed."""
        if self._thread is None or self._thread.is_alive():
            return
        log.error("the console's thread has died; its sessions are lost")
        for server in self._servers.values():
            server.close_socket()
        self._servers.clear()
        self._loop = self._thread = None

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _end_thread(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.get_running_loop().run_in_executor(None, thread.join, ANSWER_S)
            if thread.is_alive():
                log.error("the console's thread does not end")
