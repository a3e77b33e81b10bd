"""What tests of scripts stand on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from policy.hook import Hook
from policy.testing import LoadedScript, ManualTime, VirtualLoop, write_scripts

HOOKS = (Hook("probe", result=(str,)),)
SOURCE = "from mta import on\n@on('probe')\ndef f(): return 'one'\n"


def test_manual_time_moves_when_told() -> None:
    time = ManualTime()
    began = time()

    time.advance(5.0)

    assert time() - began == 5.0


def test_a_script_is_loaded_and_current(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, SOURCE, HOOKS)

    assert script.runtime.fire_nowait("probe") == "one"
    assert [facts["serial"] for facts in script.reported("policy_loaded")] == [1]


def test_a_rewritten_script_is_there_to_be_loaded(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, SOURCE, HOOKS)

    script.rewrite(SOURCE.replace("one", "two"))
    script.runtime.reload_if_changed()

    assert script.runtime.fire_nowait("probe") == "two"


def test_a_broken_script_raises_where_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError):
        LoadedScript(tmp_path, "x = (", HOOKS)


def test_a_loop_in_virtual_time_waits_for_nothing() -> None:
    time = ManualTime()
    loop = VirtualLoop(time)
    began = time()

    try:
        loop.run_until_complete(asyncio.sleep(3600))
    finally:
        loop.close()

    assert time() - began == pytest.approx(3600)


@pytest.mark.timeout(20)
def test_a_year_passes_at_once() -> None:
    time = ManualTime()
    loop = VirtualLoop(time)
    began = time()

    try:
        loop.run_until_complete(asyncio.sleep(365 * 86_400))
    finally:
        loop.close()

    assert time() - began == pytest.approx(365 * 86_400)


def test_time_stands_still_while_a_thread_works() -> None:
    time = ManualTime()
    loop = VirtualLoop(time)
    began = time()
    release = threading.Event()

    async def work() -> str:
        async with asyncio.timeout(60):
            task = asyncio.ensure_future(asyncio.to_thread(release.wait, 10))
            threading.Timer(0.05, release.set).start()
            return "done" if await task else "given up"

    try:
        assert loop.run_until_complete(work()) == "done"
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    assert time() == began


def test_scripts_are_written_with_what_stands_beside_them(tmp_path: Path) -> None:
    path = write_scripts(tmp_path, "x = 1\n", {"data/a.toml": "b = 1\n"})

    assert path.read_text() == "x = 1\n"
    assert (tmp_path / "data" / "a.toml").read_text() == "b = 1\n"
