"""Methods that wait: awaited, or an error with its line."""

from __future__ import annotations

import asyncio

import pytest

from engine.script_modules.waiting_call import account_result, measure_plain, waiting
from policy.budget import MAX_TEXT_BYTES, Budget
from policy.errors import HookFailedError, LimitExceededError
from tests.fakes.script_world import script_world


class Bell:
    """Something of the engine that scripts are handed."""

    @waiting("bell.ring")
    async def ring(self, times: int = 1) -> str:
        await asyncio.sleep(times)
        return "ding" * times


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


async def test_a_method_is_awaited(world):
    assert await world.ask("return await given.ring(times=2)", Bell()) == "dingding"


async def test_the_engine_calls_it_as_it_is():
    assert await Bell().ring() == "ding"


async def test_in_a_def_handler_it_is_an_error_with_its_line(world):
    world.load_body("given.ring()", kind="def")

    with pytest.raises(HookFailedError, match=r"init.py:6: .*bell.ring\(\) waits: await it"):
        world.runtime.fire_nowait("ask", Bell())


async def test_without_await_it_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:7: .*bell.ring\(\) without await"):
        await world.ask("x = 1\ngiven.ring()", Bell())


async def test_a_wrong_argument_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: TypeError: .*loud"):
        await world.ask("await given.ring(loud=True)", Bell())


async def test_the_budget_of_waiting_ends_it(world):
    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await world.ask("await given.ring(11)", Bell())


@pytest.mark.parametrize(
    ("value", "least"),
    [("x" * 100, 100), ([b"y" * 50, {"k": "z" * 50}], 100), (None, 1), ((1, 2, 3), 3)],
)
def test_a_plain_value_is_measured_with_its_parts(value, least):
    assert least < measure_plain(value) < least + 400


def test_a_result_that_is_too_large_is_refused():
    budget = Budget()
    budget.enter(10**9)

    with pytest.raises(LimitExceededError):
        account_result(budget, ["x" * 100] * (MAX_TEXT_BYTES // 100))
