"""What calls came to is counted for each handler, nearly for nothing."""

from __future__ import annotations

import asyncio

import pytest

from policy.breaker import Breaker
from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_tally import EVERY, FIRST, HandlerTally
from policy.hook import Hook
from policy.hook_registry import Handler
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (Hook("probe", ("a",), result=(str, int), wait_budget_s=5.0),)


def _tally() -> HandlerTally:
    handler = Handler("probe", HOOKS[0], lambda a: a, "init.py", 3, False)
    return HandlerTally(handler, Breaker(lambda: 0.0), lambda: 0.0)


def _call(tally: HandlerTally, spent_ns: int) -> bool:
    """Count a call as those do who make it; return whether it was measured."""
    tally.left -= 1
    if tally.left > 0:
        return False
    tally.note(spent_ns)
    return True


def test_the_first_calls_are_measured_and_then_few_that_stand_for_the_others() -> None:
    tally = _tally()
    measured = [_call(tally, 1000) for _ in range(FIRST + 10 * EVERY)]

    assert all(measured[:FIRST])
    assert sum(measured[FIRST:]) == 10
    assert tally.calls == FIRST + 10 * EVERY
    assert (tally.cpu_ns, tally.mean_ns) == (1000 * tally.calls, 1000)


def test_the_mean_is_that_of_the_measured_calls_while_others_follow() -> None:
    tally = _tally()
    for _ in range(FIRST + 5):
        _call(tally, 2000)

    assert (tally.calls, tally.mean_ns) == (FIRST + 5, 2000)


def test_a_long_call_out_of_turn_is_the_longest_and_does_not_weigh_on_the_mean() -> None:
    tally = _tally()
    for _ in range(FIRST):
        _call(tally, 1000)
    tally.left -= 1
    tally.note(5_000_000)

    assert (tally.longest_ns, tally.mean_ns) == (5_000_000, 1000)
    assert tally.calls == FIRST + 1


def test_nothing_called_costs_nothing() -> None:
    tally = _tally()

    assert (tally.calls, tally.mean_ns, tally.cpu_ns) == (0, 0.0, 0)


# -- of scripts ---------------------------------------------------------------------------------


def _load(folder, source: str) -> LoadedScript:
    def reject() -> None:
        raise ScriptRefusal("no")

    namespace = ScriptNamespace()
    namespace.expose("reject", reject)
    namespace.expose("pause", asyncio.sleep, waits=True)
    return LoadedScript(folder, f"import mta\nfrom mta import on\n{source}", HOOKS, namespace)


def _only(script: LoadedScript) -> HandlerTally:
    (tally,) = script.runtime.epoch.tallies
    return tally


def test_calls_failures_and_refusals_of_a_script_are_told_apart(tmp_path) -> None:
    source = "@on('probe')\ndef f(a):\n    if a == 1: return [1]\n    if a == 2: mta.reject()\n"
    script = _load(tmp_path, source + "    return 1 // a\n")
    for value in (5, 1, 2, 0, 5):
        try:
            script.runtime.fire_nowait("probe", value)
        except (HookFailedError, ScriptRefusal):
            pass
        script.time.advance(1)

    tally = _only(script)
    assert (tally.calls, tally.errors, tally.overruns) == (5, 2, 0)
    assert tally.last_error is not None
    assert tally.last_error.line == 7
    assert tally.last_error.message.startswith("ZeroDivisionError")
    assert 0 < tally.mean_ns <= tally.longest_ns


def test_overruns_open_the_breaker_and_calls_turned_away_are_none(tmp_path) -> None:
    script = _load(tmp_path, "@on('probe')\ndef f(a):\n    while True: pass\n")
    for _ in range(5):
        with pytest.raises(HookFailedError):
            script.runtime.fire_nowait("probe", 1)

    tally = _only(script)
    assert (tally.calls, tally.errors, tally.overruns, tally.turned_away) == (3, 3, 3, 2)
    assert tally.breaker is not None
    assert tally.breaker.is_open
    assert tally.longest_ns >= HOOKS[0].cpu_budget_s * 1e9


def test_a_long_call_is_seen_however_rarely_calls_are_measured(tmp_path) -> None:
    body = "    n = 0\n    for i in range(a): n += i * i\n    return n\n"
    script = _load(tmp_path, f"@on('probe')\ndef f(a):\n{body}")
    tally = _only(script)
    for _ in range(FIRST + 1):
        script.runtime.fire_nowait("probe", 1)
    before_ns = tally.longest_ns
    script.runtime.fire_nowait("probe", 30_000)

    assert tally.left > 0
    assert tally.longest_ns > max(before_ns, 1_000_000)


async def test_what_waits_is_under_way_and_its_wait_is_no_cpu_time(tmp_path) -> None:
    script = _load(
        tmp_path, "@on('probe')\nasync def f(a):\n    await mta.pause(a)\n    return a\n"
    )
    tally = _only(script)
    pending = asyncio.ensure_future(script.runtime.fire("probe", 0))
    await asyncio.sleep(0)
    assert tally.under_way == 1
    await pending

    assert (tally.under_way, tally.calls, tally.errors) == (0, 1, 0)
    assert tally.mean_ns > 0


async def test_time_that_passes_while_a_handler_waits_is_waited(tmp_path) -> None:
    script = _load(
        tmp_path, "@on('probe')\nasync def f(a):\n    await mta.pause(0)\n    return a\n"
    )
    pending = asyncio.ensure_future(script.runtime.fire("probe", 1))
    await asyncio.sleep(0)
    script.time.advance(3)
    await pending

    assert _only(script).longest_wait_s == pytest.approx(3, abs=0.1)


async def test_functions_made_at_one_line_are_counted_together(tmp_path) -> None:
    source = "@on('probe')\ndef f(a):\n    return 1\ndef make(n):\n    def sender(a):\n"
    source += "        return n + a\n    return sender\nsenders = [make(1), make(2)]\n"
    script = _load(tmp_path, source)
    made = script.runtime.epoch.handlers["probe"][0].function.__globals__["senders"]
    assert [await script.runtime.call_function(one, 5) for one in made] == [6, 7]

    (tally,) = script.runtime.epoch.function_tallies.values()
    assert (tally.handler.event, tally.calls) == ("sender", 2)


def test_what_the_program_itself_answers_is_counted_too(tmp_path) -> None:
    script = _load(tmp_path, "@on('probe')\ndef f(a):\n    return None\n")
    runtime = script.runtime

    def answer(value: int) -> int:
        return 10 // value

    handler = Handler("probe", HOOKS[0], answer, "init.py", 9, False, is_native=True)
    run = runtime._runner(handler, runtime.epoch)
    assert run(5) == 2
    with pytest.raises(HookFailedError):
        run(0)

    tally = runtime.epoch.tallies[-1]
    assert (tally.calls, tally.errors, tally.breaker) == (2, 1, None)
