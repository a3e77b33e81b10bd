"""Rates that scripts apply: whole seconds, waiting that ends, and delays."""

from __future__ import annotations

import asyncio
import textwrap

import pytest

from engine.base.clock import Clock
from engine.hooks import HOOKS
from engine.model.message import Message, new_spool_id
from engine.script_api import ScriptApi
from engine.script_throttle import ScriptThrottle
from engine.script_views import MessageView
from engine.throttle.limiter import MemoryLimiter
from policy.errors import HookFailedError
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript


def throttle(spec: str, now: float = 0.0) -> ScriptThrottle:
    return ScriptThrottle(MemoryLimiter(lambda: now), "t", spec)


def test_times_are_whole_seconds_rounded_up():
    rate = throttle("2/3s,max_burst=1")

    assert rate.throttle() == {
        "throttled": False,
        "limit": 1,
        "remaining": 0,
        "reset_after": 2,
        "retry_after": None,
    }
    assert rate.throttle()["retry_after"] == 2


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "1", True, None])
def test_a_quantity_is_a_whole_number(quantity):
    with pytest.raises(ValueError):
        throttle("1/s").throttle(quantity)


def test_a_message_is_delayed_by_exactly_what_is_to_be_waited():
    message = Message(new_spool_id(), "", ["a@b.test"], data=b"x", size=1, created_at=0.0)
    view = MessageView(message, None, Clock(lambda: 100.0, lambda: 0.0))
    rate = throttle("2/3s,max_burst=1")

    assert not rate.delay_message_if_throttled(view)
    assert message.due_mono == 0.0
    assert rate.delay_message_if_throttled(view)
    assert message.due_mono == pytest.approx(101.5)
    with pytest.raises(TypeError):
        rate.delay_message_if_throttled(message)


class Handler:
    """Runs lines of an ``async def`` handler in the loop's time."""

    def __init__(self, folder) -> None:
        self._folder = folder

    async def __call__(self, lines: str, head: str = "async def") -> Message:
        loop = asyncio.get_running_loop()
        namespace = ScriptNamespace()
        ScriptApi(MemoryLimiter(loop.time)).expose(namespace, version="1")
        source = "import mta\n\nrate = mta.make_throttle('t', '1/10s')\n\n"
        source += f"@mta.on('message_received')\n{head} handle(msg):\n"
        source += textwrap.indent(textwrap.dedent(lines), "    ")
        script = LoadedScript(self._folder, source, HOOKS, namespace)
        message = Message(new_spool_id(), "", ["a@b.test"], data=b"x", size=1, created_at=0.0)
        await script.runtime.fire("message_received", MessageView(message))
        return message


@pytest.fixture
def run(tmp_path):
    return Handler(tmp_path)


async def test_sleeping_ends_when_the_rate_allows_one(run):
    started = asyncio.get_running_loop().time()

    message = await run(
        "msg.set_meta('slept', [await rate.sleep_if_throttled() for _ in range(3)])"
    )

    assert message.meta["slept"] == [False, True, True]
    assert asyncio.get_running_loop().time() - started == pytest.approx(20, abs=0.5)


async def test_sleeping_ends_with_the_waiting_time_of_the_event(run):
    with pytest.raises(HookFailedError, match="waited longer"):
        await run("for _ in range(9):\n    await rate.sleep_if_throttled()")


@pytest.mark.parametrize("head", ["def", "async def"])
async def test_sleeping_without_await_is_an_error(run, head):
    with pytest.raises(HookFailedError, match="sleep_if_throttled"):
        await run("rate.sleep_if_throttled()", head)
