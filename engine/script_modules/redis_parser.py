"""A reader of Redis replies that knows when to stop.

Place in flow: ``redis_query`` gives it to the connections of redis-py, whose own reader takes in
whatever a server sends.

Invariants:
    * Reading a reply of many values lets others have the loop in between.
    * A reply has at most ``REPLY_BYTES_MAX`` octets and ``REPLY_VALUES_MAX`` values; a larger one
      ends the connection, since what is left of it cannot be skipped in bounded time.

Standard: RESP, version 2.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis._parsers import _AsyncRESP2Parser
from redis.exceptions import InvalidResponse

REPLY_BYTES_MAX = 16 << 20
#: A cluster's own list of commands has some 15,000.
REPLY_VALUES_MAX = 50_000
#: Reading so many values takes some 3 ms.
_VALUES_AT_ONCE = 512


class BoundedParser(_AsyncRESP2Parser):
    """Reads one reply at a time, within bounds."""

    _left_bytes = 0
    _left_values = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next reply."""
        self._left_bytes, self._left_values = REPLY_BYTES_MAX, REPLY_VALUES_MAX
        return await super().read_response(disable_decoding=disable_decoding)

    async def _read(self, length: int) -> bytes:
        self._left_bytes -= length
        if self._left_bytes < 0 or length < 0:
            raise InvalidResponse(f"the reply has more than {REPLY_BYTES_MAX} octets")
        return await super()._read(length)

    async def _readline(self) -> bytes:
        self._left_values -= 1
        if self._left_values < 0:
            raise InvalidResponse(f"the reply has more than {REPLY_VALUES_MAX} values")
        if self._left_values % _VALUES_AT_ONCE == 0:
            await asyncio.sleep(0)
        return await super()._readline()
