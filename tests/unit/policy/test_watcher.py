"""The watcher sees each change of content."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from policy.hook import Hook
from policy.testing import LoadedScript
from policy.watcher import Watcher

HOOKS = (Hook("text", result=(str,)),)
ONE = "from mta import on\n@on('text')\ndef f(): return 'one'\n"


async def test_a_change_is_loaded_in_the_next_round(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    watching = asyncio.get_running_loop().create_task(Watcher(script.runtime).run(asyncio.sleep))

    script.rewrite(ONE.replace("one", "four"))
    await asyncio.sleep(1.5)
    watching.cancel()

    assert script.runtime.fire_nowait("text") == "four"


async def test_a_change_behind_an_unchanged_stat_is_seen_within_ten_rounds(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, ONE, HOOKS)
    watching = asyncio.get_running_loop().create_task(Watcher(script.runtime).run(asyncio.sleep))
    await asyncio.sleep(1.5)
    before = script.path.stat()

    script.rewrite(ONE.replace("one", "two"))
    os.utime(script.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    await asyncio.sleep(10.0)
    watching.cancel()

    assert script.runtime.fire_nowait("text") == "two"
