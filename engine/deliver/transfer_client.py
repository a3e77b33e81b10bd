"""Messages posted to other nodes over HTTP, one request each.

Place in flow: ``engine.deliver.transfer_dispatcher`` sends by it, ``transfer_intake`` of the other
node answers.

Invariants:
    * A message counts as taken only when the answer names its new id: whatever else may say 200 at
      a wrong URL has taken nothing.
    * Each request ends within the time it is given. Redirects are not followed.
    * The octets of a message go as they are, compressed on the way.

Failure: ``TransferError``, which tells a message that the other node will not have from a node that
takes none at all. Never more than a deferral.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import aiohttp
import msgspec

from engine.base.os_reason import os_reason
from engine.control.transfer_targets import TransferTargets
from engine.model.errors import EngineError
from engine.model.transfer_target import TransferTarget

#: How long opening a connection may take, and closing all of them, seconds.
CONNECT_S = 30.0
CLOSE_S = 5.0
#: Contents above this are compressed in a thread, octets.
IN_THREAD_FROM = 64 * 1024
#: Fast rather than small: between nodes there is bandwidth, and mail is mostly compressed already.
_LEVEL = 1
_ANSWER_MAX = 64 * 1024
_SHOWN_MAX = 200
_ID = re.compile(r"[0-9a-f]{32}\Z")
#: Statuses that are about this one message: too large, or not to be understood.
_ABOUT_MESSAGE = frozenset({413, 422})


class TransferError(EngineError):
    """The other node did not take a message.

    Attributes:
        is_about_message: Whether others may be taken all the same.
    """

    def __init__(self, text: str, *, is_about_message: bool = False) -> None:
        super().__init__(text)
        self.is_about_message = is_about_message


class _Answer(msgspec.Struct):
    id: str = ""
    error: str = ""


class Handed(NamedTuple):
    """What the other node said: the id that the message has there."""

    new_id: str


class TransferClient:
    """The connections of one node to those that it transfers mail to.

    Attributes:
        targets: Who we are to them, and where it is noted how it goes.
    """

    def __init__(self, targets: TransferTargets) -> None:
        self.targets = targets
        self._session: aiohttp.ClientSession | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="transfer")

    async def send(
        self, target: TransferTarget, pieces: Sequence[bytes], timeout_s: float
    ) -> Handed:
        """Return what a node called a message that it took.

        Args:
            target: The node.
            pieces: The message as ``engine.model.transfer_wire`` writes it, in order.
            timeout_s: How long all of it may take, seconds.

        Raises:
            TransferError: It was not taken, or nobody knows.
        """
        try:
            async with asyncio.timeout(timeout_s):
                body = await self._pack(pieces)
                status, raw = await self._post(target, body)
        except TimeoutError as error:
            raise TransferError("it gave no answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise TransferError(f"no connection: {os_reason(error.os_error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransferError(f"the connection broke: {type(error).__name__}") from error
        return _judge(status, raw)

    async def _pack(self, pieces: Sequence[bytes]) -> bytes:
        if sum(map(len, pieces)) < IN_THREAD_FROM:
            return pack(pieces)
        return await asyncio.get_running_loop().run_in_executor(self._threads, pack, pieces)

    async def _post(self, target: TransferTarget, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            # No cookies and nothing of the environment: each request stands for itself.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                trust_env=False,
                headers={"User-Agent": "Cirrus"},
            )
        known = self.targets.credentials(target)
        async with self._session.post(
            target.inject_url,
            data=io.BytesIO(body),
            auth=None if known is None else aiohttp.BasicAuth(known[0], known[1], "utf-8"),
            headers={"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"},
            allow_redirects=False,
        ) as answer:
            return answer.status, await answer.content.read(_ANSWER_MAX)

    async def close(self) -> None:
        """Close the connections, at the stop of the node."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        session, self._session = self._session, None
        if session is not None:
            # What does not close in time is closed with the process.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()


def pack(pieces: Sequence[bytes]) -> bytes:
    """Return pieces as one gzip stream."""
    packer = zlib.compressobj(_LEVEL, wbits=16 + zlib.MAX_WBITS)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def _judge(status: int, raw: bytes) -> Handed:
    """Return the new id that an answer names.

    Raises:
        TransferError: It names none.
    """
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = _Answer(error=raw[: 4 * _SHOWN_MAX].decode("utf-8", "replace"))
    if 200 <= status < 300:
        if _ID.match(answer.id):
            return Handed(answer.id)
        raise TransferError(f"it answered {status} without the id of a message: is it a node?")
    text = f"it answered {status} {_shown(answer.error)}".rstrip()
    raise TransferError(text, is_about_message=status in _ABOUT_MESSAGE)


def _shown(text: str) -> str:
    one_line = " ".join(text.split())[:_SHOWN_MAX]
    return "".join(mark if mark.isprintable() else " " for mark in one_line)
