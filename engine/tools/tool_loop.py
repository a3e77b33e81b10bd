"""What a tool that holds many connections runs in: the event loop and its descriptors.

Place in flow: ``sink`` and ``traffic`` call it from their commands.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("cirrus.tools")


def run_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine, run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def raise_descriptor_limit() -> None:
    """Let this process hold as many connections as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warning("the descriptor limit stays: %s", error)
