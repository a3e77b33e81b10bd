"""Open a connection from an egress source to a host.

Place in flow: ``engine.deliver.smtp_client`` asks for each candidate.

Invariants: every error that leaves here is ours, with a text for the log record; the wait is
bounded by the caller's timeout.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from engine.model.egress import EgressSource
from engine.model.errors import ConnectFailedError, PeerTimeoutError
from engine.route.mx_plan import Candidate

#: The source's address is not on this machine.
UNPLUMBED = "the source address is not on this machine"


async def open_connection(
    candidate: Candidate,
    source: EgressSource,
    factory: Callable[[], asyncio.Protocol],
    timeout_s: float,
) -> tuple[Any, Any]:
    """Return transport and protocol of a new connection.

    Raises:
        ConnectFailedError: It was refused, or the source cannot be bound.
        PeerTimeoutError: It took longer than the time given.
    """
    loop = asyncio.get_running_loop()
    local = (source.source_address, 0) if source.source_address is not None else None
    try:
        async with asyncio.timeout(timeout_s):
            return await loop.create_connection(
                factory, candidate.address, candidate.port, local_addr=local
            )
    except TimeoutError:
        raise PeerTimeoutError(f"no connection within {timeout_s:g} s") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL and local is not None:
            raise ConnectFailedError(f"{UNPLUMBED}: {source.source_address}") from error
        reason = errno.errorcode.get(error.errno or 0, "") or str(error)
        raise ConnectFailedError(f"connection failed: {reason}") from error
