"""A stand-in for a Kafka broker: speaks its protocol as far as a producer needs, and is no broker.

Requests and responses are read and made by the schemas of aiokafka, the client under test, and
batches by its record reader; so what this proves is the dialogue and our use of it, not the codec.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v3, ProduceResponse_v3
from aiokafka.record import MemoryRecords

_PRODUCE, _METADATA, _VERSIONS = 0, 3, 18
UNKNOWN_TOPIC, NOT_AUTHORIZED, TOO_LARGE = 3, 29, 10


class KafkaBroker:
    """One broker with one partition for each topic.

    Attributes:
        records: Topic, key, value and headers of each record it took; the offset is the place.
        errors: What a topic is answered, by its name.
        trouble: ``silent`` answers nothing, ``mute`` takes records and does not say so, ``hang-up``
            closes the connection instead of taking one.
        connections: How many are open.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes, list[Any]]] = []
        self.errors: dict[str, int] = {}
        self.trouble = ""
        self.connections = 0
        self.most_connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4))
                request = BytesIO(await reader.readexactly(size))
                head = RequestHeader_v1.SCHEMA.decode(request)
                answer = self._answer(head[0], request)
                if answer is None:
                    if self.trouble == "hang-up":
                        return
                    continue
                octets = head[2].to_bytes(4) + answer.encode()
                writer.write(len(octets).to_bytes(4) + octets)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    def _answer(self, api: int, request: BytesIO) -> Any:
        if self.trouble == "silent":
            return None
        if api == _VERSIONS:
            known = [(_PRODUCE, 3, 3), (_METADATA, 1, 1), (_VERSIONS, 0, 0)]
            return ApiVersionResponse_v0(0, known)
        if api == _METADATA:
            (topics,) = MetadataRequest_v1.SCHEMA.decode(request)
            found = [(0, topic, False, [(0, 0, 1, [1], [1])]) for topic in topics or []]
            return MetadataResponse_v1([(1, "127.0.0.1", self.port, None)], 1, found)
        if self.trouble:
            return None
        _, _, _, topics = ProduceRequest_v3.SCHEMA.decode(request)
        return ProduceResponse_v3([self._take(*topic) for topic in topics], 0)

    def _take(self, topic: str, partitions: list[tuple[int, bytes]]) -> Any:
        answers = []
        for partition, octets in partitions:
            error = self.errors.get(topic, 0)
            offset = len(self.records)
            if not error:
                batches = MemoryRecords(octets)
                while (batch := batches.next_batch()) is not None:
                    self.records += [(topic, one.key, one.value, one.headers) for one in batch]
            answers.append((partition, error, offset, -1))
        return topic, answers


@contextlib.asynccontextmanager
async def kafka_broker() -> AsyncIterator[KafkaBroker]:
    """Run one."""
    broker = KafkaBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
