"""One client: who it is, what it asks for, the connection it gets, and its end.

Place in flow: ``proxy.listener`` runs one per connection; it asks ``proxy.access``, connects
through ``proxy.outbound`` and hands over to the relay of its stream.

Invariants:
    * Nothing is connected to before the client, the source and the destination were allowed.
    * Each step of the dialogue ends within the listener's timeout, however its octets come.
    * What was opened is closed, whatever happens.

Failure: every mistake of a client, and everything that keeps it from its destination, is a
``ProxyError`` after the reply that belongs to it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Protocol, TypeVar

from engine.model.listener_options import format_listen
from engine.model.proxy_header import Endpoint
from proxy.access import Who
from proxy.authentication import Ends
from proxy.client_stream import ClientStream, Relay
from proxy.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    ConnectFailedError,
    ProxyError,
    ReplyCode,
    SourceUnavailableError,
    StalledError,
    UnsupportedAddressError,
    UnsupportedCommandError,
)
from proxy.outbound import bind_source, connect, keep_alive
from proxy.settings import SocksOptions
from proxy.socks5 import (
    Command,
    Credentials,
    Greeting,
    Message,
    Method,
    Request,
    Socks5Dialogue,
    pick_method,
)

_M = TypeVar("_M", Greeting, Credentials, Request)
_SHOWN = ("destination", "relay", "source", "who")


class SessionPorts(Protocol):
    """What a session asks of its listener."""

    def can_judge(self, options: SocksOptions) -> bool:
        """Return whether there is anything to hold a password against."""

    async def authenticate(
        self, options: SocksOptions, credentials: Credentials, ends: Ends
    ) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first.

        Raises:
            ConnectFailedError: It has none.
        """

    def connecting(self, host: str) -> None:
        """Count an attempt to connect to a destination."""


class Session:
    """One client's dialogue and the connection it leads to.

    Attributes:
        who: The client as rules see it.
        source: The address it asked to leave from, or was given.
        destination: Where it is connected to, or was to be.
        relay: Present once it is connected.

    Args:
        stream: Where the client is heard.
        ends: Who is at its ends.
        options: By what it is served.
        ports: The listener's side.
    """

    __slots__ = ("_deadline", "_dialogue", "_ends", "_options", "_ports", "_stream", *_SHOWN)

    def __init__(
        self, stream: ClientStream, ends: Ends, options: SocksOptions, ports: SessionPorts
    ) -> None:
        self.who = Who(ends.peer[0])
        self.source: str | None = None
        self.destination: Endpoint | None = None
        self.relay: Relay | None = None
        self._stream = stream
        self._ends = ends
        self._options = options
        self._ports = ports
        self._dialogue = Socks5Dialogue()

    def describe(self) -> str:
        """Return who wants what, as far as it is known, to be put before a reason."""
        words = []
        if self.who.identities:
            words.append(f"user {', '.join(sorted(self.who.identities))}")
        if self.source is not None:
            words.append(f"from {self.source}")
        if self.destination is not None:
            words.append(f"to {format_listen(self.destination)}")
        return f"{' '.join(words)}: " if words else ""

    async def run(self) -> None:
        """Serve the client to its end.

        Raises:
            ProxyError: It ended early; the client was told what it can be told.
            OSError: A side broke off.
        """
        try:
            try:
                # Put off at each step; one timer is a good deal cheaper than one for each.
                async with asyncio.timeout(None) as self._deadline:
                    await self._authenticate()
                    server = await self._reach_destination()
            except TimeoutError as error:
                raise StalledError("the client does not go on with the dialogue") from error
            self.relay = self._stream.make_relay(server)
            await self.relay.run(self._dialogue.take_rest())
        finally:
            self._stream.close()

    async def _authenticate(self) -> None:
        """Agree on a method and find out who the client is.

        Raises:
            ProxyError: It is nobody who may go on.
        """
        ports, dialogue, options = self._ports, self._dialogue, self._options
        can_judge, required = ports.can_judge(options), options.require_auth
        greeting = await self._next(Greeting)
        method = pick_method(
            greeting.methods,
            can_judge=can_judge,
            is_required=can_judge if required is None else required,
        )
        await self._send(dialogue.choose_method(method))
        if method is None:
            raise AuthenticationFailedError("no method that will do was offered")
        if method is Method.PASSWORD:
            credentials = await self._next(Credentials)
            self._end_step()
            who = await ports.authenticate(options, credentials, self._ends)
            await self._send(dialogue.answer_credentials(is_good=who is not None))
            if who is None:
                raise AuthenticationFailedError("wrong user name or password")
            self.who = who

    async def _reach_destination(self) -> socket.socket:
        """Answer requests up to the connection they lead to.

        Raises:
            ProxyError: They lead to none.
        """
        bound: socket.socket | None = None
        try:
            request = await self._next(Request)
            if request.command == Command.BIND:
                bound = self._bind(request)
                reply = (ReplyCode.SUCCEEDED, *bound.getsockname()[:2])
                await self._send(self._dialogue.answer_request(*reply))
                request = await self._next(Request)
            # It closes the socket if it fails.
            taken, bound = bound, None
            server = await self._connect(request, taken)
        except ProxyError as error:
            await self._refuse(error)
            raise
        finally:
            _close(bound)
        try:
            keep_alive(server, self._options.keep_alive)
            reply = (ReplyCode.SUCCEEDED, *server.getsockname()[:2])
            await self._send(self._dialogue.answer_request(*reply))
        except BaseException:
            server.close()
            raise
        return server

    def _bind(self, request: Request) -> socket.socket:
        """Return a socket that leaves from the source that is asked for.

        Raises:
            ProxyError: It cannot be had, or not by this client.
        """
        if request.is_name:
            raise UnsupportedAddressError("a source is an IP address")
        self.source = request.host
        if not self._options.access.may_leave_from(self.who, request.host):
            raise AccessDeniedError("no rule allows this source")
        return bind_source(request.host)

    async def _connect(self, request: Request, bound: socket.socket | None) -> socket.socket:
        """Return a connection to what was asked for; ``bound`` is it, or is closed.

        Raises:
            ProxyError: There is none.
        """
        try:
            if request.command != Command.CONNECT:
                raise UnsupportedCommandError(f"command {request.command} where CONNECT is due")
            self.destination = (request.host, request.port)
            self._end_step()
            ways = self._ways(await self._addresses(request), request.port)
        except BaseException:
            _close(bound)
            raise
        deadline = asyncio.get_running_loop().time() + self._options.timeout_s
        for last, (host, source) in enumerate(ways, 1 - len(ways)):
            try:
                return await self._try(host, source, bound, deadline)
            except (ConnectFailedError, SourceUnavailableError):
                bound = None
                if last == 0:
                    raise
        raise AssertionError("there is always a way")

    async def _try(
        self, host: str, source: str | None, bound: socket.socket | None, deadline: float
    ) -> socket.socket:
        """Return a connection to one address; ``bound`` is it, or is closed.

        Raises:
            ProxyError: There is none.
        """
        assert self.destination is not None
        port = self.destination[1]
        self.source, self.destination = source, (host, port)
        if bound is None and source is not None:
            bound = bind_source(source)
        self._ports.connecting(host)
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        return await connect(host, port, bound=bound, timeout_s=left_s)

    def _ways(self, hosts: Iterable[str], port: int) -> list[tuple[str, str | None]]:
        """Return the addresses that may be reached, each with the source it is reached from.

        Raises:
            AccessDeniedError: There are none.
        """
        access = self._options.access
        ways = []
        for host in hosts:
            source = self.source or access.default_source(self.who, host)
            if access.may_reach(self.who, source, host, port):
                ways.append((host, source))
        if not ways:
            raise AccessDeniedError("no rule allows this destination")
        return ways

    async def _addresses(self, request: Request) -> list[str]:
        if not request.is_name:
            return [request.host]
        if not self._options.resolve_names:
            raise UnsupportedAddressError("host names are not resolved here")
        return await self._ports.resolve(request.host)

    async def _refuse(self, error: ProxyError) -> None:
        """Tell the client why it gets no connection, if there are words for it."""
        if error.reply is None:
            return
        with contextlib.suppress(OSError, ProxyError):
            await self._send(self._dialogue.answer_request(error.reply))
            await self._stream.finish()

    # -- one step each

    def _step(self) -> None:
        """Begin a step, which the dialogue may not take longer for than the timeout."""
        now = asyncio.get_running_loop().time()
        self._deadline.reschedule(now + self._options.timeout_s)

    def _end_step(self) -> None:
        """Leave the time that follows to something that has a limit of its own."""
        self._deadline.reschedule(None)

    async def _next(self, kind: type[_M]) -> _M:
        """Return the client's next message.

        Raises:
            ProxyError: It says nothing in time, or something else.
        """
        dialogue = self._dialogue
        message: Message | None = dialogue.next_message()
        self._step()
        while message is None:
            data = await self._stream.receive()
            if not data:
                raise StalledError("the client left in the middle of the dialogue")
            dialogue.feed(data)
            message = dialogue.next_message()
        assert isinstance(message, kind)
        return message

    async def _send(self, data: bytes) -> None:
        rest = self._stream.send_nowait(data)
        if rest:
            self._step()
            await self._stream.send(rest)


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
