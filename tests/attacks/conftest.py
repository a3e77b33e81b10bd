"""A node for each test of an attack."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.smtp_node import SmtpNode, smtp_node


@pytest.fixture
async def start_node(tmp_path: Any) -> AsyncIterator[Any]:
    """Return a coroutine function that starts a node with a script and listener options."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: str = "", **listener: Any) -> SmtpNode:
            return await stack.enter_async_context(smtp_node(tmp_path, script, **listener))

        yield start
