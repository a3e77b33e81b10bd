"""The watcher sees each change of content."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy.errors import PolicyLoadError
from policy.hook import Hook
from policy.testing import LoadedScript
from policy.watcher import Watcher

HOOKS = (Hook("text", result=(str,)),)
ONE = "from mta import on\n@on('text')\ndef f(): return 'one'\n"


async def inline(load: Callable[[], Any]) -> Any:
    """Stand in for a thread, which virtual time would not wait for."""
    return load()


async def test_a_change_is_loaded_in_the_next_round(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    watching = asyncio.get_running_loop().create_task(
        Watcher(script.runtime, inline).run(asyncio.sleep)
    )

    script.rewrite(ONE.replace("one", "four"))
    await asyncio.sleep(1.5)
    watching.cancel()

    assert script.runtime.fire_nowait("text") == "four"


async def test_a_change_behind_an_unchanged_stat_is_seen_within_ten_rounds(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    watching = asyncio.get_running_loop().create_task(
        Watcher(script.runtime, inline).run(asyncio.sleep)
    )
    await asyncio.sleep(1.5)
    before = script.path.stat()

    script.rewrite(ONE.replace("one", "two"))
    os.utime(script.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    await asyncio.sleep(10.0)
    watching.cancel()

    assert script.runtime.fire_nowait("text") == "two"


@pytest.mark.real_time
async def test_the_loop_goes_on_while_a_script_uses_up_its_budget_to_load(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    watcher = Watcher(script.runtime)
    script.rewrite("while True:\n    pass\n")
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0.005)

    counting = asyncio.get_running_loop().create_task(count())
    with pytest.raises(PolicyLoadError, match="CPU"):
        await watcher.reload_now()
    counting.cancel()

    assert rounds > 50
    assert script.runtime.fire_nowait("text") == "one"


async def test_who_asks_is_told_why_a_script_was_rejected(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    script.rewrite(ONE + "x = = 1\n")

    with pytest.raises(PolicyLoadError) as caught:
        await Watcher(script.runtime, inline).reload_now()

    assert caught.value.line == 4
    assert script.runtime.fire_nowait("text") == "one"


async def test_loads_wait_for_one_another(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    under_way = most = 0

    async def slowly(load: Callable[[], Any]) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(5)
        under_way -= 1
        return load()

    watcher = Watcher(script.runtime, slowly)
    await asyncio.gather(watcher.reload_now(), watcher.reload_now(), watcher.reload_now())

    assert most == 1
    assert script.runtime.epoch.serial == 4
