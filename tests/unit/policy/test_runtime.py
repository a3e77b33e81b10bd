"""The runtime: answers, failures, multi-handler events, reload."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policy.epoch import Epoch
from policy.errors import HookFailedError, PolicyLoadError, ScriptRefusal
from policy.handler_call import Pending, WouldWaitError
from policy.hook import CallLimits, Hook, OnFailure
from policy.hook_registry import PolicyFinding
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (
    Hook("init", on_failure=OnFailure.FATAL),
    Hook("text", ("a",), result=(str,)),
    Hook("ignored", ("a",)),
    Hook("many", ("a",), result=(str, int), multiple=True),
    Hook("log_disposition", ("msg", "record"), prefix=True),
    Hook("slow", (), result=(str,), wait_budget_s=5.0),
)


class RejectRefusal(ScriptRefusal):
    """A program's refusal."""


def _namespace() -> ScriptNamespace:
    def reject(code: int) -> None:
        raise RejectRefusal(code)

    async def pause(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "woken"

    def configure(*, path: str) -> None:
        if path == "bad":
            raise ValueError("path is bad")

    namespace = ScriptNamespace()
    namespace.expose("reject", reject)
    namespace.expose("pause", pause, waits=True)
    namespace.expose("pause", pause, module="mta.dns", waits=True)
    namespace.expose("configure", configure)
    return namespace


def _load(folder: Path, source: str) -> LoadedScript:
    return LoadedScript(folder, "import mta\nfrom mta import on\n" + source, HOOKS, _namespace())


def test_an_event_without_handler_answers_none(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "").runtime

    assert not runtime.is_handled("text")
    assert runtime.fire_nowait("text", 1) is None


def test_a_handler_answers(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('text')\ndef f(a): return a + '!'\n").runtime

    assert runtime.is_handled("text")
    assert runtime.fire_nowait("text", "x") == "x!"
    assert runtime.call("text", "x") == "x!"


def test_an_answer_of_the_wrong_type_fails_at_the_handler(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('text')\ndef f(a): return 1\n").runtime

    with pytest.raises(HookFailedError, match=r"init.py:3: .*str or None, and returned int"):
        runtime.fire_nowait("text", "x")


def test_an_ignored_answer_is_none(tmp_path: Path) -> None:
    assert (
        _load(tmp_path, "@on('ignored')\ndef f(a): return 1\n").runtime.fire_nowait("ignored", 1)
        is None
    )


def test_the_first_of_many_that_answers_ends_the_turn(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        "seen = []\n@on('many')\ndef a(x): seen.append('a')\n@on('many')\ndef b(x): return 'b'\n"
        "@on('many')\ndef c(x): return 'c'\n",
    )

    assert script.runtime.fire_nowait("many", 1) == "b"


async def test_sync_and_async_handlers_take_turns(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        "@on('many')\ndef a(x): pass\n@on('many')\nasync def b(x): await mta.pause(1)\n"
        "@on('many')\ndef c(x): return 3\n",
    )

    pending = script.runtime.fire_nowait("many", 1)

    assert type(pending) is Pending
    assert await pending.finish() == 3
    assert await script.runtime.fire("many", 1) == 3
    assert await script.runtime.call("many", 1) == 3


def test_a_prefixed_event_takes_any_ending(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('log_disposition_mine')\ndef f(msg, record): pass\n").runtime

    assert runtime.is_handled("log_disposition_mine")
    assert not runtime.is_handled("log_disposition_other")


def test_a_refusal_passes_as_it_is(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('text')\ndef f(a): mta.reject(550)\n").runtime

    with pytest.raises(RejectRefusal) as caught:
        runtime.fire_nowait("text", "x")

    assert caught.value.args == (550,)


async def test_what_waits_is_awaited(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('slow')\nasync def f(): return await mta.dns.pause(1)\n").runtime

    assert await runtime.fire("slow") == "woken"


async def test_a_missing_await_is_an_error_with_its_line(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('slow')\nasync def f():\n    x = 1\n    mta.pause(1)\n").runtime

    with pytest.raises(HookFailedError, match=r"init.py:6: .*mta.pause\(\).*must be awaited"):
        await runtime.fire("slow")


async def test_waiting_in_a_def_handler_is_an_error_with_its_line(tmp_path: Path) -> None:
    runtime = _load(tmp_path, "@on('slow')\ndef f():\n    mta.pause(1)\n").runtime

    with pytest.raises(HookFailedError, match=r"init.py:5: .*mta.pause\(\) waits"):
        runtime.fire_nowait("slow")


@pytest.mark.parametrize("guard", ["", "try: ", "while 1: "])
async def test_waiting_is_bounded(tmp_path: Path, guard: str) -> None:
    body = {
        "": "    await mta.pause(60)\n",
        "try: ": "    try: await mta.pause(60)\n    except: return 'swallowed'\n",
        "while 1: ": "    while True:\n        try: await mta.pause(1)\n        except BaseException: pass\n",
    }[guard]
    runtime = _load(tmp_path, f"@on('slow')\nasync def f():\n{body}").runtime

    with pytest.raises(HookFailedError, match="waited longer than 5") as caught:
        await runtime.fire("slow")

    assert caught.value.overrun


async def test_cancellation_passes_through_a_swallowing_handler(tmp_path: Path) -> None:
    runtime = _load(
        tmp_path,
        "@on('slow')\nasync def f():\n    try: await mta.pause(2)\n    except: return 'x'\n",
    ).runtime

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await runtime.fire("slow")


@pytest.mark.real_time
async def test_cpu_of_an_async_handler_counts_across_its_waits(tmp_path: Path) -> None:
    runtime = _load(
        tmp_path,
        "@on('slow')\nasync def f():\n    while True:\n        await mta.pause(0)\n"
        "        for i in range(1000): pass\n",
    ).runtime

    with pytest.raises(HookFailedError, match="more than its 50 ms") as caught:
        await runtime.fire("slow")

    assert caught.value.overrun


async def test_two_async_calls_do_not_disturb_each_other(tmp_path: Path) -> None:
    runtime = _load(
        tmp_path,
        "@on('slow')\nasync def f():\n    w = mta.pause(2)\n    await mta.pause(1)\n    return await w\n",
    ).runtime

    assert await asyncio.gather(runtime.fire("slow"), runtime.fire("slow")) == ["woken", "woken"]


def test_a_bad_value_at_load_names_the_line_of_the_script(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError, match=r"init.py:4: ValueError: path is bad"):
        _load(tmp_path, "\nmta.configure(path='bad')\n")
    with pytest.raises(PolicyLoadError, match=r"init.py:3: TypeError: .*unexpected keyword"):
        _load(tmp_path, "mta.configure(pth='x')\n")


def test_what_the_dry_check_rejects_is_shown_with_its_line(tmp_path: Path) -> None:
    error = PolicyFinding(str(tmp_path / "init.py"), 2, "error", "wrong")

    with pytest.raises(PolicyLoadError) as caught:
        LoadedScript(
            tmp_path, "x = 1\ny = wrong(x) if 0 else 3\n", HOOKS, dry_check=lambda _epoch: [error]
        )

    (frame,) = caught.value.trace
    assert (frame.line, frame.source) == (2, "y = wrong(x) if 0 else 3")


def test_the_dry_check_can_reject_or_warn(tmp_path: Path) -> None:
    error = PolicyFinding("a.py", 3, "error", "no such pool")
    warning = PolicyFinding("a.py", 4, "warning", "odd")

    warned = LoadedScript(tmp_path, "", HOOKS, dry_check=lambda epoch: [warning])

    assert warned.runtime.epoch.warnings == [warning]
    with pytest.raises(PolicyLoadError, match="a.py:3: no such pool"):
        LoadedScript(tmp_path, "", HOOKS, dry_check=lambda epoch: [error])


# --- the breaker


@pytest.mark.real_time
def test_an_overrunning_handler_is_not_run_for_a_growing_while(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        "calls = []\n@on('text')\ndef f(a):\n    if a == 'ok': return 'fine'\n    while True: pass\n",
    )

    def overruns() -> HookFailedError:
        with pytest.raises(HookFailedError) as caught:
            script.runtime.fire_nowait("text", "bad")
        assert caught.value.overrun
        return caught.value

    for _ in range(3):
        assert "CPU" in overruns().message
    assert "not run" in overruns().message

    script.time.advance(1.0)
    assert "CPU" in overruns().message
    script.time.advance(1.0)
    assert "not run" in overruns().message

    script.time.advance(1.0)
    assert script.runtime.fire_nowait("text", "ok") == "fine"
    assert script.runtime.fire_nowait("text", "ok") == "fine"
    assert [facts["pause_s"] for facts in script.reported("breaker_open")] == [1.0, 2.0]
    assert len(script.reported("breaker_closed")) == 1
    assert len(script.reported("handler_overrun")) == 4


# --- reload


def test_an_edit_is_seen_and_a_broken_one_keeps_the_old(tmp_path: Path) -> None:
    script = _load(tmp_path, "@on('text')\ndef f(a): return 'one'\n")
    old = script.runtime.epoch

    script.rewrite("from mta import on\n@on('text')\ndef f(a): return 'two'\n")
    assert script.runtime.reload_if_changed() is script.runtime.epoch
    assert script.runtime.fire_nowait("text", "") == "two"
    assert script.runtime.fire_nowait("text", "", epoch=old) == "one"

    script.rewrite("from mta import on\n@on('text'\n")
    assert script.runtime.reload_if_changed() is None
    assert script.runtime.reload_if_changed() is None
    assert script.runtime.fire_nowait("text", "") == "two"
    (rejected,) = script.reported("policy_rejected")
    assert rejected["file"] == str(script.path)
    assert rejected["line"] == 2

    script.rewrite("from mta import on\n@on('text')\ndef f(a): return 'three'\n")
    script.runtime.reload_if_changed()
    assert script.runtime.fire_nowait("text", "") == "three"


def test_nothing_changes_without_a_change_of_content(tmp_path: Path) -> None:
    script = _load(tmp_path, "")

    script.path.touch()

    assert script.runtime.reload_if_changed() is None


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Leave this process without a free descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as last:
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(last.fileno()))
            yield
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ANSWER = "@on('text')\ndef f(a): return '{}'\n"


def test_a_reload_without_a_descriptor_to_read_by_is_made_up_for(tmp_path: Path) -> None:
    script = _load(tmp_path, ANSWER.format("one"))
    script.rewrite("from mta import on\n" + ANSWER.format("two"))

    with no_descriptors():
        assert script.runtime.reload_if_changed() is None
        assert script.runtime.fire_nowait("text", "") == "one"
    script.runtime.reload_if_changed(rehash=False)

    assert script.runtime.fire_nowait("text", "") == "two"
    assert script.reported("policy_rejected") == []


def test_a_defect_while_reloading_is_reported_and_the_running_epoch_stays(tmp_path: Path) -> None:
    broken: list[bool] = []

    def check(_epoch: Epoch) -> list[PolicyFinding]:
        return [][0] if broken else []

    source = "from mta import on\n" + ANSWER
    script = LoadedScript(tmp_path, source.format("one"), HOOKS, dry_check=check)
    broken.append(True)
    script.rewrite(source.format("two"))
    assert script.runtime.reload_if_changed() is None

    assert script.runtime.fire_nowait("text", "") == "one"
    (rejected,) = script.reported("policy_rejected")
    assert rejected["file"] == str(script.path)
    assert "IndexError" in rejected["message"]


def test_data_files_are_part_of_the_epoch(tmp_path: Path) -> None:
    data = tmp_path / "data.toml"
    data.write_text("a = 1\n")
    namespace = ScriptNamespace()
    script = LoadedScript(tmp_path, "", HOOKS, namespace)
    namespace.expose("load", lambda: script.runtime.active_epoch.watch_file(data))
    script.rewrite("import mta\nmta.load()\n")
    assert script.runtime.reload_if_changed() is not None

    data.write_text("a = 2\n")

    assert script.runtime.reload_if_changed() is not None
    assert script.runtime.reload_if_changed() is None


def test_a_missing_script_is_a_load_error(tmp_path: Path) -> None:
    script = _load(tmp_path, "")
    script.path.unlink()

    assert script.runtime.reload_if_changed() is None
    assert "cannot be read" in script.reported("policy_rejected")[0]["message"]


def test_print_is_reported(tmp_path: Path) -> None:
    script = _load(tmp_path, "print('hello', 1)\n")

    assert script.reported("script_print") == [{"text": "hello 1"}]


async def test_a_handler_that_is_only_tried_begins_nothing_that_waits(tmp_path: Path) -> None:
    begun: list[str] = []

    async def ask(name: str) -> str:
        begun.append(name)
        return name

    namespace = ScriptNamespace()
    namespace.expose("ask", ask, waits=True)
    source = (
        "import mta\nfrom mta import on\n@on('slow')\nasync def f(): return await mta.ask('x')\n"
    )
    runtime = LoadedScript(tmp_path, source, HOOKS, namespace).runtime

    with pytest.raises(WouldWaitError):
        runtime.fire_nowait("slow").finish_nowait()

    assert begun == []


async def test_memory_of_an_async_handler_counts_across_its_waits(tmp_path: Path) -> None:
    runtime = _load(
        tmp_path,
        "@on('slow')\nasync def f():\n    for i in range(20):\n        await mta.pause(0)\n"
        "        x = 'x' * 12_000_000\n",
    ).runtime
    # So much memory takes its time on a busy machine.
    runtime.limit_calls(runtime.epoch, {"slow": CallLimits(cpu_s=10.0)})

    with pytest.raises(HookFailedError, match="more than 128 MiB"):
        await runtime.fire("slow")


async def test_calls_are_counted_and_timed_waiting_included(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    def watch(event: str):  # noqa: ANN202 - as the port has it
        return (
            lambda: told.append((event, "began")),
            lambda seconds: told.append((event, "took" if seconds >= 0 else "no time")),
        )

    path = tmp_path / "init.py"
    path.write_text(
        "from mta import on\n"
        "@on('value')\ndef value(x):\n    return x\n"
        "@on('later')\nasync def later(x):\n    return x\n"
    )
    hooks = [Hook("value", ("x",), result=(int,)), Hook("later", ("x",), result=(int,))]
    runtime = PolicyRuntime(hooks, ScriptNamespace(), mono=lambda: 0.0, watch=watch)
    runtime.swap(runtime.load(path))

    assert runtime.fire_nowait("value", 3) == 3
    pending = runtime.fire_nowait("later", 4)
    assert told == [("value", "began"), ("value", "took"), ("later", "began")]
    assert await pending == 4
    with pytest.raises(HookFailedError):
        runtime.fire_nowait("value", "text")

    assert told[3:] == [("later", "took"), ("value", "began"), ("value", "took")]


def test_limits_hold_for_an_event_for_all_others_and_for_functions(tmp_path: Path) -> None:
    source = """
    from mta import on

    def work():
        done = 0
        while done < 1_500_000:
            done += 1
        return str(done)

    @on("init")
    def init():
        work()

    @on("text")
    def text(a):
        return work()

    @on("many")
    def many(a):
        return work()
    """
    (tmp_path / "init.py").write_text(textwrap.dedent(source))
    runtime = PolicyRuntime(HOOKS, _namespace(), mono=time.monotonic)
    limits = {None: CallLimits(cpu_s=0.002), "text": CallLimits(cpu_s=30.0)}

    def check(epoch: Epoch) -> list[PolicyFinding]:
        runtime.limit_calls(epoch, limits)
        return []

    epoch = runtime.load(tmp_path / "init.py", dry_check=check)
    runtime.swap(epoch)
    work = epoch.handlers["many"][0].function.__globals__["work"]

    assert runtime.fire_nowait("text", 1) == "1500000"
    with pytest.raises(HookFailedError, match="used more than its 2 ms of CPU"):
        runtime.fire_nowait("many", 1)
    with pytest.raises(HookFailedError, match="used more than its 2 ms of CPU"):
        runtime.call_function_nowait(work)
    with pytest.raises(HookFailedError, match="used more than its 50 ms of CPU"):
        runtime.fire_nowait("init")


async def test_the_time_a_handler_may_wait_can_be_set(tmp_path: Path) -> None:
    source = (
        "from mta import on, pause\n@on('slow')\nasync def slow():\n    return await pause(60)\n"
    )
    (tmp_path / "init.py").write_text(source)
    runtime = PolicyRuntime(HOOKS, _namespace(), mono=time.monotonic)

    def check(epoch: Epoch) -> list[PolicyFinding]:
        runtime.limit_calls(epoch, {"slow": CallLimits(wait_s=0.5)})
        return []

    runtime.swap(runtime.load(tmp_path / "init.py", dry_check=check))

    with pytest.raises(HookFailedError, match="waited longer than 0.5 s"):
        await runtime.fire("slow")
