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
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from engine.model.proxy_header import Endpoint
from proxy.access import Who
from proxy.client_stream import ClientStream, Relay
from proxy.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    ProxyError,
    ReplyCode,
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


class SessionPorts(Protocol):
    """What a session asks of its listener."""

    options: SocksOptions

    @property
    def can_judge(self) -> bool:
        """Return whether there is anything to hold a password against."""

    async def authenticate(self, credentials: Credentials, session: Session) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first.

        Raises:
            ConnectFailedError: It has none.
        """

    def connecting(self, host: str) -> None:
        """Count an attempt to connect to a destination."""


@dataclass(slots=True, eq=False)
class Session:
    """One connection of a client.

    Attributes:
        stream: Where the client is heard.
        peer: Address and port of the client.
        local: Where it connected to.
        ports: The listener's side.
        who: The client as rules see it.
        source: The address it asked to leave from.
        destination: Where it is connected to, or was to be.
        relay: Present once it is connected.
    """

    stream: ClientStream
    peer: Endpoint
    local: Endpoint
    ports: SessionPorts
    who: Who = field(init=False)
    source: str | None = None
    destination: Endpoint | None = None
    relay: Relay | None = None
    _dialogue: Socks5Dialogue = field(init=False, repr=False)
    _options: SocksOptions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.who = Who(self.peer[0])
        self._dialogue = Socks5Dialogue()
        self._options = self.ports.options

    async def run(self) -> None:
        """Serve the client to its end.

        Raises:
            ProxyError: It ended early; the client was told what it can be told.
            OSError: A side broke off.
        """
        try:
            await self._authenticate()
            server = await self._reach_destination()
            self.relay = self.stream.make_relay(server)
            await self.relay.run(self._dialogue.take_rest())
        finally:
            self.stream.close()

    async def _authenticate(self) -> None:
        """Agree on a method and find out who the client is.

        Raises:
            ProxyError: It is nobody who may go on.
        """
        ports, dialogue = self.ports, self._dialogue
        required = self._options.require_auth
        greeting = await self._next(Greeting)
        method = pick_method(
            greeting.methods,
            can_judge=ports.can_judge,
            is_required=ports.can_judge if required is None else required,
        )
        await self._send(dialogue.choose_method(method))
        if method is None:
            raise AuthenticationFailedError("no method that will do was offered")
        if method is Method.PASSWORD:
            credentials = await self._next(Credentials)
            who = await ports.authenticate(credentials, self)
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
            if bound is not None:
                bound.close()
        try:
            keep_alive(server, self._options.keep_alive)
            reply = (ReplyCode.SUCCEEDED, *server.getsockname()[:2])
            await self._send(self._dialogue.answer_request(*reply))
        except BaseException:
            server.close()
            raise
        return server

    def _bind(self, request: Request) -> socket.socket:
        if request.is_name:
            raise UnsupportedAddressError("a source is an IP address")
        if not self._options.access.may_leave_from(self.who, request.host):
            raise AccessDeniedError(f"may not leave from {request.host}")
        bound = bind_source(request.host)
        self.source = request.host
        return bound

    async def _connect(self, request: Request, bound: socket.socket | None) -> socket.socket:
        """Return a connection to what was asked for; ``bound`` is it, or is closed."""
        try:
            if request.command != Command.CONNECT:
                raise UnsupportedCommandError(f"command {request.command}")
            self.destination = (request.host, request.port)
            host = self._pick(await self._addresses(request), request.port)
            if bound is None and self.source is not None:
                bound = bind_source(self.source)
        except BaseException:
            if bound is not None:
                bound.close()
            raise
        self.destination = (host, request.port)
        self.ports.connecting(host)
        return await connect(host, request.port, bound=bound, timeout_s=self._options.timeout_s)

    def _pick(self, hosts: Iterable[str], port: int) -> str:
        """Return the first address that may be reached, and note the source it is reached from.

        Raises:
            AccessDeniedError: There is none.
        """
        access = self._options.access
        for host in hosts:
            source = self.source or access.default_source(self.who, host)
            if access.may_reach(self.who, source, host, port):
                self.source = source
                return host
        raise AccessDeniedError("may not go there")

    async def _addresses(self, request: Request) -> list[str]:
        if not request.is_name:
            return [request.host]
        if not self._options.resolve_names:
            raise UnsupportedAddressError("host names are not resolved here")
        return await self.ports.resolve(request.host)

    async def _refuse(self, error: ProxyError) -> None:
        """Tell the client why it gets no connection, if there are words for it."""
        if error.reply is None:
            return
        with contextlib.suppress(OSError, ProxyError):
            await self._send(self._dialogue.answer_request(error.reply))
            await self.stream.finish()

    # -- one step each

    async def _next(self, kind: type[_M]) -> _M:
        """Return the client's next message.

        Raises:
            ProxyError: It says nothing in time, or something else.
        """
        dialogue = self._dialogue
        message: Message | None = dialogue.next_message()
        if message is None:
            try:
                async with asyncio.timeout(self._options.timeout_s):
                    while message is None:
                        data = await self.stream.receive()
                        if not data:
                            raise StalledError("the client left in the middle of the dialogue")
                        dialogue.feed(data)
                        message = dialogue.next_message()
            except TimeoutError as error:
                raise StalledError(f"silent where a {kind.__name__} is expected") from error
        assert isinstance(message, kind)
        return message

    async def _send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await self.stream.send(data)
        except TimeoutError as error:
            raise StalledError("the client does not read the reply") from error
