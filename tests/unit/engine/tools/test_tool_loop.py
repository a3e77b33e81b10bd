"""What a tool runs in."""

from __future__ import annotations

import asyncio
import resource

import pytest

from engine.tools.tool_loop import raise_descriptor_limit, run_loop


def test_a_coroutine_is_run_to_its_result():
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert run_loop(answer()) == 42


def test_an_error_comes_out_as_it_is():
    async def fail() -> None:
        raise LookupError("this")

    with pytest.raises(LookupError, match="this"):
        run_loop(fail())


def test_descriptors_are_raised_to_what_the_system_allows():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
