"""A stand-in for RabbitMQ: speaks AMQP 0-9-1 as far as a publisher needs, and is no broker.

Frames are made and read by pamqp, the codec that the client library uses too; so what this proves
is the dialogue, not the codec. RabbitMQ itself would need Erlang installed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pamqp import body, commands, frame, header, heartbeat

_PROTOCOL = b"AMQP\x00\x00\x09\x01"


class AmqpBroker:
    """What it was sent, and how it misbehaves.

    Attributes:
        published: Exchange, routing key, properties and body of each message it took.
        trouble: ``silent`` takes a message and does not say so, ``nack`` refuses it, ``return``
            returns it, ``hang-up`` closes the connection instead of answering, ``no-channel``
            answers no opening of a channel, ``unknown`` has no such exchange.
        password: What a client must show.
        opened: How many connections there have been.
        connections: How many are open.
    """

    def __init__(self) -> None:
        self.published: list[tuple[str, str, Any, bytes]] = []
        self.trouble = ""
        self.password = "guest"
        self.opened = 0
        self.connections = 0
        self.most_connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            if await reader.readexactly(8) == _PROTOCOL:
                await _Dialogue(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()


class _Dialogue:
    def __init__(
        self, broker: AmqpBroker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._broker = broker
        self._reader = reader
        self._writer = writer
        self._tag = 0
        self._message: list[Any] = []

    def _send(self, what: Any, channel: int = 0) -> None:
        self._writer.write(frame.marshal(what, channel))

    async def _frame(self) -> tuple[int, Any]:
        head = await self._reader.readexactly(7)
        rest = await self._reader.readexactly(int.from_bytes(head[3:7]) + 1)
        _, channel, value = frame.unmarshal(head + rest)
        return channel, value

    async def run(self) -> None:
        able = {"publisher_confirms": True, "basic.nack": True, "connection.blocked": True}
        said = {"capabilities": able, "product": "RabbitMQ", "version": "3.10.8"}
        self._send(commands.Connection.Start(0, 9, said, "PLAIN", "en_US"))
        while True:
            channel, value = await self._frame()
            if isinstance(value, heartbeat.Heartbeat):
                continue
            if not self._answer(channel, value):
                return

    def _answer(self, channel: int, value: Any) -> bool:
        """Return whether the dialogue goes on."""
        broker = self._broker
        match value:
            case commands.Connection.StartOk():
                if str(value.response).rpartition("\0")[2] != broker.password:
                    return False
                self._send(commands.Connection.Tune(0, 131072, 0))
            case commands.Connection.Open():
                self._send(commands.Connection.OpenOk())
            case commands.Connection.Close():
                self._send(commands.Connection.CloseOk())
                return False
            case commands.Channel.Open():
                if broker.trouble != "no-channel":
                    self._send(commands.Channel.OpenOk(), channel)
            case commands.Channel.Close():
                self._send(commands.Channel.CloseOk(), channel)
            case commands.Confirm.Select():
                self._send(commands.Confirm.SelectOk(), channel)
            case commands.Basic.Publish():
                self._message = [value]
            case header.ContentHeader() if value.body_size == 0:
                return self._take(channel, [*self._message, value])
            case header.ContentHeader():
                self._message.append(value)
            case body.ContentBody():
                return self._take(channel, [*self._message, value])
        return True

    def _take(self, channel: int, message: list[Any]) -> bool:
        publish, head, *rest = message
        self._tag += 1
        octets = b"".join(part.value for part in rest)
        match self._broker.trouble:
            case "silent":
                return True
            case "hang-up":
                return False
            case "unknown":
                self._send(commands.Channel.Close(404, "NOT_FOUND", 60, 40), channel)
                return True
            case "nack":
                self._send(commands.Basic.Nack(self._tag), channel)
                return True
            case "return":
                returned = commands.Basic.Return(
                    312, "NO_ROUTE", publish.exchange, publish.routing_key
                )
                self._send(returned, channel)
                self._send(head, channel)
                self._send(body.ContentBody(octets), channel)
                self._send(commands.Basic.Ack(self._tag), channel)
                return True
        self._broker.published.append(
            (publish.exchange, publish.routing_key, head.properties, octets)
        )
        self._send(commands.Basic.Ack(self._tag), channel)
        return True


@contextlib.asynccontextmanager
async def amqp_broker() -> AsyncIterator[AmqpBroker]:
    """Run one."""
    broker = AmqpBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
