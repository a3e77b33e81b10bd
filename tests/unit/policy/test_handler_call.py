"""One call of a handler: what leaves it is an answer, a refusal or a named failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_call import Pending, WouldWaitError
from policy.hook import Hook
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (
    Hook("probe", ("a",), result=(str, int), wait_budget_s=5.0),
    Hook("other", ("a",), result=(str,)),
)


def _load(folder: Path, source: str) -> LoadedScript:
    def reject() -> None:
        raise ScriptRefusal("no")

    namespace = ScriptNamespace()
    namespace.expose("reject", reject)
    namespace.expose("pause", asyncio.sleep, waits=True)
    return LoadedScript(folder, f"import mta\nfrom mta import on\n{source}", HOOKS, namespace)


def _def(body: str, *, word: str = "def") -> str:
    return f"@on('probe')\n{word} f(a):\n    {body}\n"


@pytest.mark.parametrize(("body", "answer"), [("return a", "x"), ("return 5", 5), ("pass", None)])
def test_an_answer_of_a_declared_type_or_none_passes(
    tmp_path: Path, body: str, answer: object
) -> None:
    assert _load(tmp_path, _def(body)).runtime.fire_nowait("probe", "x") == answer


def test_true_is_an_integer_and_passes_as_one(tmp_path: Path) -> None:
    assert _load(tmp_path, _def("return True")).runtime.fire_nowait("probe", "x") is True


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return [a]", "the handler must return str or int or None, and returned list"),
        ("return 1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ValueError", "ValueError"),
        ("raise StopIteration", "StopIteration"),
        ("return f(a)", "RecursionError"),
        ("return 'x' * 10**10", "LimitExceededError"),
        ("return nothing", "NameError: name 'nothing' is not defined"),
        ("return mta.nothing", "AttributeError: module 'mta' has no attribute 'nothing'"),
        ("mta.pause(1)", "ConfinementError: mta.pause() waits"),
    ],
)
def test_a_failure_names_the_line_and_what_went_wrong(tmp_path: Path, body: str, text: str) -> None:
    script = _load(tmp_path, _def(body))

    with pytest.raises(HookFailedError) as caught:
        script.runtime.fire_nowait("probe", "x")

    assert caught.value.message.startswith(text)
    assert (caught.value.file, caught.value.overrun) == (str(script.path), False)
    assert caught.value.line in {3, 4, 5}
    (reported,) = script.reported("handler_failed")
    assert reported["message"] == caught.value.message


def test_a_returned_coroutine_is_told_to_be_awaited(tmp_path: Path) -> None:
    script = _load(tmp_path, "async def g(): return 1\n" + _def("return g()"))

    with pytest.raises(HookFailedError, match="await it instead"):
        script.runtime.fire_nowait("probe", "x")


def test_a_failure_inside_another_is_told_at_its_own_line(tmp_path: Path) -> None:
    script = _load(tmp_path, "def helper(a):\n    return a['x']\n" + _def("return helper({})"))

    with pytest.raises(HookFailedError, match=r"init.py:4: KeyError: 'x'"):
        script.runtime.fire_nowait("probe", "x")


async def test_an_async_handler_gives_a_pending_answer(tmp_path: Path) -> None:
    script = _load(tmp_path, _def("await mta.pause(1)\n    return a", word="async def"))

    pending = script.runtime.fire_nowait("probe", "x")

    assert type(pending) is Pending
    assert await pending == "x"


def test_an_async_handler_that_waits_for_nothing_needs_no_loop(tmp_path: Path) -> None:
    script = _load(tmp_path, _def("return a", word="async def"))

    assert script.runtime.fire_nowait("probe", "x").finish_nowait() == "x"


def test_an_async_handler_that_would_wait_says_so(tmp_path: Path) -> None:
    script = _load(tmp_path, _def("await mta.pause(1)", word="async def"))

    with pytest.raises((WouldWaitError, HookFailedError)):
        script.runtime.fire_nowait("probe", "x").finish_nowait()


async def test_a_refusal_after_a_wait_is_one(tmp_path: Path) -> None:
    script = _load(tmp_path, _def("await mta.pause(1)\n    mta.reject()", word="async def"))

    with pytest.raises(ScriptRefusal):
        await script.runtime.fire("probe", "x")


async def test_cleaning_up_after_a_timeout_may_not_wait(tmp_path: Path) -> None:
    body = "try: await mta.pause(60)\n    finally: await mta.pause(60)"
    script = _load(tmp_path, _def(body, word="async def"))
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(HookFailedError, match="waited longer than 5") as caught:
        await script.runtime.fire("probe", "x")

    assert caught.value.overrun
    assert loop.time() - began < 6


async def test_cleaning_up_after_a_cancellation_may_not_wait(tmp_path: Path) -> None:
    body = "try: await mta.pause(4)\n    finally: await mta.pause(4)"
    script = _load(tmp_path, _def(body, word="async def"))
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await script.runtime.fire("probe", "x")

    assert loop.time() - began < 2


async def test_what_a_handler_does_while_it_is_unwound_stays_inside(tmp_path: Path) -> None:
    body = (
        "try: await mta.pause(60)\n"
        "    except: raise ValueError('a')\n"
        "    finally:\n        for i in range(3): raise KeyError('b')"
    )
    script = _load(tmp_path, _def(body, word="async def"))

    with pytest.raises(HookFailedError):
        await script.runtime.fire("probe", "x")
    assert script.runtime.epoch.budget.depth == 0


async def test_many_calls_in_flight_keep_their_own_budgets(tmp_path: Path) -> None:
    script = _load(tmp_path, _def("await mta.pause(a)\n    return a", word="async def"))

    answers = await asyncio.gather(*(script.runtime.fire("probe", n % 4) for n in range(50)))

    assert answers == [n % 4 for n in range(50)]


async def test_a_failed_call_beside_another_does_not_end_it(tmp_path: Path) -> None:
    body = "await mta.pause(1)\n    if a == 1:\n        while True: pass\n    return a"
    script = _load(tmp_path, _def(body, word="async def"))

    answers = await asyncio.gather(
        *(script.runtime.fire("probe", n) for n in (1, 2)), return_exceptions=True
    )

    assert isinstance(answers[0], HookFailedError)
    assert answers[1] == 2


def test_a_call_inside_a_call_has_a_budget_of_its_own(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        _def("try: mta.again()\n    except Exception: return 'went on'")
        + "@on('other')\ndef g(a):\n    while True: pass\n",
    )
    namespace = ScriptNamespace()
    namespace.expose("again", lambda: script.runtime.fire_nowait("other", 1))
    again = LoadedScript(tmp_path, script.path.read_text(), HOOKS, namespace)

    assert again.runtime.fire_nowait("probe", "x") == "went on"
