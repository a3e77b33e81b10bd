"""A sink in the test's own process, and clients that talk to it octet by octet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from engine.tools.sink_options import SinkOptions
from engine.tools.sink_rules import load_rules
from engine.tools.sink_server import Sink
from tests.fakes.smtp_node import Client, client_tls


async def connect(sink: Sink, *, tls: bool = False) -> Client:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", sink.port, ssl=client_tls() if tls else None, limit=1 << 24
    )
    return Client(reader, writer)


async def greeted(sink: Sink, hello: bytes = b"EHLO c.test") -> Client:
    """Return a client after banner and EHLO."""
    client = await connect(sink)
    assert (await client.reply()).code == 220
    assert (await client.command(hello)).code == 250
    return client


@contextlib.asynccontextmanager
async def talking(
    options: dict[str, Any] | None = None, *, rules: Path | None = None, **sink_options: Any
) -> AsyncIterator[tuple[Sink, Client]]:
    """Give a sink and a greeted client."""
    loaded = load_rules(rules) if rules else None
    given = options or {}
    async with Sink(SinkOptions(**given), rules=loaded, **sink_options) as sink:
        client = await greeted(sink, b"LHLO c.test" if given.get("lmtp") else b"EHLO c.test")
        try:
            yield sink, client
        finally:
            client.close()
