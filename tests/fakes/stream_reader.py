"""What tests of websockets that show events have in common."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from engine.base.trace_hub import TraceEvent


def event(
    kind: str = "Read", value: Any = b"NOOP\r\n", is_content: bool = False, **meta: Any
) -> TraceEvent:
    return TraceEvent(meta, kind, value, 7.0, is_content)


async def until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


async def receive(socket: Any) -> Any:
    """Return the next frame of a client's socket."""
    message = await socket.receive(timeout=10)
    return json.loads(message.data)
