"""Native code fails as a handler of a script does."""

from __future__ import annotations

import asyncio

import pytest

from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_tally import HandlerTally
from policy.hook import Hook
from policy.hook_registry import Handler
from policy.native_call import NativeFunction, native_runner
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace

PLACE = ("/etc/init.py", 12)


def handler(function):
    return Handler("probe", Hook("probe"), function, *PLACE, False, is_native=True)


def run(function, report):
    made = handler(function)
    return native_runner(made, report, HandlerTally(made, None, lambda: 0.0))()


def fail(*_args):
    raise KeyError("who")


def runtime(reports):
    return PolicyRuntime(
        (), ScriptNamespace(), mono=lambda: 0.0, report=lambda *report: reports.append(report)
    )


def test_an_exception_becomes_a_failure_at_the_place_of_setup():
    reports = []

    with pytest.raises(HookFailedError) as caught:
        run(fail, lambda *report: reports.append(report))

    assert (caught.value.file, caught.value.line) == PLACE
    assert caught.value.message == "KeyError: 'who'"
    assert [event for event, _ in reports] == ["handler_failed"]


def test_a_refusal_passes():
    def refuse():
        raise ScriptRefusal("550 no")

    with pytest.raises(ScriptRefusal):
        run(refuse, lambda *_: None)


def test_a_failure_of_a_script_called_by_native_code_keeps_its_place():
    def call():
        raise HookFailedError("filter", file="script.py", line=3, message="no")

    with pytest.raises(HookFailedError, match=r"script\.py:3"):
        run(call, lambda *_: None)


async def test_a_native_function_stands_for_one_of_a_script():
    async def send(text):
        return text.upper()

    answer = await runtime([]).call_function(NativeFunction("send", send, PLACE), "sent")

    assert answer == "SENT"


async def test_a_native_function_that_fails_is_named():
    async def send(text):
        raise OSError("connection refused")

    reports = []
    with pytest.raises(HookFailedError, match="connection refused"):
        await runtime(reports).call_function(NativeFunction("send", send, PLACE), "sent")

    assert reports[0][1]["hook"] == "send"


async def test_a_native_function_that_hangs_is_ended():
    async def send():
        await asyncio.Event().wait()

    with pytest.raises(HookFailedError, match="TimeoutError"):
        await runtime([]).call_function(NativeFunction("send", send, PLACE, wait_s=5.0))


def test_nobody_calls_a_native_function_by_hand():
    async def send():
        return "sent"

    with pytest.raises(TypeError, match="not for scripts"):
        NativeFunction("send", send, PLACE)()
