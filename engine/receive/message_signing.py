"""Signing messages on their way in, in threads.

Place in flow: ``engine.receive.admission`` hands over what handlers noted with ``msg.dkim_sign``,
after the last handler and the trace headers, before the spool write.

Invariants:
    * The event loop neither hashes nor signs; a message changes only once all signatures of its
      transaction are made.
    * A message that was to be signed is never stored without: whoever calls gets the error.

Failure: a key or content that cannot be signed raises; admission answers 451.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from engine.base.dkim_signer import DkimSigner, SharedContent, sign_message
from engine.model.message import FLAG_WIRE_READY, Message

#: More threads than processors only wait for each other.
SIGNING_THREADS = min(8, os.cpu_count() or 1)


class SigningJob(NamedTuple):
    """A message and those who sign it, in order."""

    message: Message
    signers: list[DkimSigner]


class MessageSigning:
    """Signs the messages of transactions."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="dkim")

    async def sign(self, jobs: Sequence[SigningJob], wall_s: float) -> None:
        """Put the signatures in front of the messages of one transaction.

        Args:
            jobs: What is to be signed.
            wall_s: The present, in seconds since the Unix epoch.

        Raises:
            Exception: A message cannot be signed; none was changed.
        """
        loop = asyncio.get_running_loop()
        prefixes = await loop.run_in_executor(self._threads, _make_prefixes, jobs, wall_s)
        for (message, _), prefix in zip(jobs, prefixes, strict=True):
            message.size += len(prefix) - len(message.prefix)
            message.prefix = prefix


def _make_prefixes(jobs: Sequence[SigningJob], wall_s: float) -> list[bytes]:
    """Return what stands in front of each message once it is signed; runs in a thread."""
    contents: dict[int, SharedContent] = {}
    prefixes = []
    for message, signers in jobs:
        data = message.data
        if data is None:
            raise ValueError(f"the content of message {message.id} is not in memory")
        content = contents.get(id(data))
        if content is None:
            is_wire_ready = bool(message.flags & FLAG_WIRE_READY)
            content = contents[id(data)] = SharedContent(data, is_wire_ready=is_wire_ready)
        prefixes.append(sign_message(message.prefix, content, signers, wall_s))
    return prefixes
