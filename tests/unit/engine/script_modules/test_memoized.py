"""Functions of scripts that remember: one call for many, copies, errors, reloads, stale answers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.script_modules.memo_cache import MemoRegistry
from engine.script_modules.memoized import expose_memoize
from policy.errors import HookFailedError, PolicyLoadError
from policy.handler_call import WouldWaitError
from policy.script_api import ScriptNamespace

ASK = """
@on("get_queue_config")
async def ask(domain, *rest):
    return await plan(domain)
"""
SLOW = (
    """
@mta.memoize(name="plan", ttl="5m", capacity=100{options})
async def plan(domain):
    print("asked " + domain)
    await mta.time.sleep(1)
    return "plan of " + domain
"""
    + ASK
)
COUNTED = """
@mta.memoize(name="plan", ttl="5m", capacity={capacity}{options})
def plan(*args, **options):
    print(repr(args))
    return {answer}
@on("get_queue_config")
def ask(*args):
    return {call}
"""


def counted(*, call="plan(args[0])", answer="args[0]", capacity=100, options=""):
    return COUNTED.format(call=call, answer=answer, capacity=capacity, options=options)


def slow(options=""):
    return SLOW.format(options=options)


async def test_one_of_many_calls_runs_and_all_get_its_answer(host):
    host.load(slow())

    answers = await host.ask_together(*["a.test"] * 20)

    assert answers == ["plan of a.test"] * 20
    assert host.printed == ["asked a.test"]


async def test_calls_with_other_arguments_run_at_once(host):
    host.load(slow())
    began = asyncio.get_running_loop().time()

    await host.ask_together("a.test", "b.test", "c.test")

    assert asyncio.get_running_loop().time() - began < 1.5
    assert len(host.printed) == 3


async def test_an_answer_is_asked_for_again_after_its_time(host):
    host.load(counted())

    await host.fire("a")
    host.mono.advance(299)
    await host.fire("a")
    host.mono.advance(2)
    await host.fire("a")

    assert len(host.printed) == 2


async def test_an_error_reaches_all_who_wait_and_is_not_kept(host):
    host.load(
        """
@mta.memoize(name="plan", ttl="5m", capacity=100)
async def plan(domain):
    print("asked")
    await mta.time.sleep(1)
    raise LookupError("no such plan")
"""
        + ASK
    )

    outcomes = await host.ask_together("a", "a")
    await host.ask_together("a")

    assert ["no such plan" in str(outcome) for outcome in outcomes] == [True, True]
    assert len(host.printed) == 2


async def test_a_script_can_catch_the_error_of_the_call_it_waited_for(host):
    host.load(
        """
@mta.memoize(name="plan", ttl="5m", capacity=100)
async def plan(domain):
    await mta.time.sleep(1)
    raise LookupError("gone")
@on("get_queue_config")
async def ask(domain, *rest):
    try:
        return await plan(domain)
    except LookupError:
        return "default"
"""
    )

    assert await host.ask_together("a", "a", "a") == ["default"] * 3


async def test_the_next_one_takes_over_when_the_call_is_broken_off(host):
    host.load(slow())
    first = asyncio.ensure_future(host.fire("a"))
    others = [asyncio.ensure_future(host.fire("a")) for _ in range(3)]
    await asyncio.sleep(0.5)

    first.cancel()

    assert await asyncio.gather(*others) == ["plan of a"] * 3
    assert host.printed == ["asked a"] * 2


async def test_waiting_for_the_call_of_another_is_bounded(host):
    host.load(slow(", populate_timeout='200ms'"))

    first, second = await host.ask_together("a", "a")

    assert first == "plan of a"
    assert "waited 0.2 s for the same call elsewhere" in str(second)


async def test_waiting_goes_on_three_times_where_the_script_says_so(host):
    host.load(slow(", populate_timeout='400ms', retry_on_populate_timeout=True"))

    assert await host.ask_together("a", "a") == ["plan of a"] * 2


async def test_a_call_for_its_own_answer_is_an_error_and_no_deadlock(host):
    host.load(
        """
@mta.memoize(name="plan", ttl="5m", capacity=100)
async def plan(domain):
    return await plan(domain)
"""
        + ASK
    )

    with pytest.raises(HookFailedError, match="asks for its own answer"):
        await host.fire("a")


async def test_an_async_one_cannot_be_called_from_def(host):
    host.load(slow().replace("async def ask", "def ask").replace("await plan(", "plan("))

    with pytest.raises(HookFailedError, match="waits: await it"):
        await host.fire("a")


async def test_an_async_one_left_without_await_is_an_error(host):
    host.load(slow().replace("return await plan(domain)", "plan(domain)"))

    with pytest.raises(HookFailedError, match="must be awaited"):
        await host.fire("a")


async def test_lists_and_dicts_are_copies(host):
    call = "plan(1)['x'].append(args[0]) or repr(plan(1))"
    host.load(counted(call=call, answer="{'x': [1, {2}]}"))

    assert await host.fire("a") == "{'x': [1, {2}]}"
    assert len(host.printed) == 1


async def test_what_the_function_keeps_of_its_answer_is_no_longer_the_answer(host):
    host.load(
        """
TABLE = {"a": 1}
@mta.memoize(name="plan", ttl="5m", capacity=10)
def plan():
    return TABLE
@on("get_queue_config")
def ask(*args):
    before = plan()
    TABLE["a"] = 2
    return repr((before, plan()))
"""
    )

    assert await host.fire("a") == "({'a': 1}, {'a': 1})"


@pytest.mark.parametrize(
    "arguments",
    ["(1,), (1.0,)", "(1,), (True,)", "('1',), (1,)", "('a',), (b'a',)", "([1],), ((1,),)"],
)
async def test_arguments_of_other_types_are_other_keys(host, arguments):
    host.load(counted(call=f"[plan(*each) for each in ({arguments})]", answer="len(args)"))

    await host.fire("a")

    assert len(host.printed) == 2


async def test_dicts_with_the_same_content_are_the_same_key(host):
    host.load(counted(call="[plan({'a': 1, 'b': 2}), plan({'b': 2, 'a': 1})]", answer="1"))

    await host.fire("a")

    assert len(host.printed) == 1


async def test_the_answer_used_least_recently_goes_first(host):
    host.load(counted(call="[plan(x) for x in (1, 2, 1, 3, 1, 2)]", capacity=2))

    await host.fire("a")

    assert host.printed == ["(1,)", "(2,)", "(3,)", "(2,)"]


async def test_answers_outlive_a_reload_by_the_name_of_the_cache(host):
    host.load(counted())
    await host.fire("a")
    host.load("# edited\n" + counted())
    await host.fire("a")

    assert len(host.printed) == 1


async def test_answers_end_with_the_epoch_where_the_script_says_so(host):
    script = counted(options=", invalidate_with_epoch=True")
    host.load(script)
    await host.fire("a")
    host.load(script)
    await host.fire("a")

    assert len(host.printed) == 2


async def test_a_load_that_is_rejected_leaves_the_answers_alone(host):
    host.load(counted())
    await host.fire("a")
    with pytest.raises(PolicyLoadError):
        host.load(counted(options=", allow_stale_reads=True") + "\nraise ValueError('no')")
    host.load(counted())
    await host.fire("a")

    assert len(host.printed) == 1


STALE = """
FAILS = {fails}
@mta.memoize(name="plan", ttl="1m", capacity=10, allow_stale_reads=True)
async def plan(domain):
    print("asked")
    await mta.time.sleep(1)
    if FAILS:
        raise LookupError("down")
    return "{answer}"
"""


async def test_an_old_answer_is_given_while_a_call_renews_it(host):
    host.load(STALE.format(fails=False, answer="old") + ASK)
    await host.fire("a")
    host.load(STALE.format(fails=False, answer="new") + ASK)
    host.mono.advance(61)

    assert await host.ask_together("a", "a", "a") == ["new", "old", "old"]
    assert await host.fire("a") == "new"
    assert len(host.printed) == 2


async def test_an_old_answer_counts_when_renewing_fails_and_it_is_not_tried_each_time(host):
    host.load(STALE.format(fails=False, answer="old") + ASK)
    await host.fire("a")
    host.load(STALE.format(fails=True, answer="") + ASK)
    host.mono.advance(61)

    assert [await host.fire("a") for _ in range(3)] == ["old"] * 3
    assert len(host.printed) == 2
    host.mono.advance(6)
    assert await host.fire("a") == "old"
    assert len(host.printed) == 3


async def test_a_refusal_inside_is_a_refusal_and_nobody_waits_for_ever(host):
    host.load(
        """
@mta.memoize(name="plan", ttl="5m", capacity=100)
async def plan(domain):
    await mta.time.sleep(1)
    while True:
        pass
"""
        + ASK
    )

    outcomes = await host.ask_together("a", "a")

    assert ["CPU" in str(outcome) for outcome in outcomes] == [True, True]


async def test_nothing_of_a_call_is_left_behind(host):
    host.load(slow(", populate_timeout='200ms'"))
    await host.ask_together(*["a"] * 5)

    assert await host.fire("b") == "plan of b"
    assert await host.fire("a") == "plan of a"


async def test_maps_are_kept_as_they_are_and_cannot_be_changed(host):
    host.load(
        """
@mta.memoize(name="maps", ttl="5m", capacity=10)
def maps():
    print("made")
    return {
        "d": mta.domain_map.new({"*.com": [1]}),
        "c": mta.cidr.make_map({"10.0.0.0/8": [2]}),
        "r": mta.regex_set_map.new({"x+": [3]}),
    }
@on("get_queue_config")
def ask(*args):
    found = maps()
    found["d"]["a.com"].append(9)
    found["c"]["10.1.1.1"].append(9)
    found["r"]["xx"].append(9)
    try:
        found["d"]["b.com"] = 1
    except TypeError as error:
        print(str(error))
    found = maps()
    return repr([found["d"]["a.com"], found["c"]["10.1.1.1"], found["r"]["xx"]])
"""
    )

    assert await host.fire("a") == "[[1], [2], [3]]"
    assert host.printed == ["made", "this map is kept by memoize and cannot be changed"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.memoize(len, name='n', ttl=1, capacity=1)", "wants a function of the script"),
        ("mta.memoize(lambda: 1, name='n', ttl='soon', capacity=1)", "ttl: "),
        ("mta.memoize(lambda: 1, name='n', ttl=1, capacity=0)", "capacity: "),
        ("mta.memoize(lambda: 1, name='', ttl=1, capacity=1)", "name: wants"),
        ("mta.memoize(lambda: 1, name='n', ttl=1)", "capacity"),
        ("mta.memoize(lambda: 1, name='n', ttl=1, capacity=1, tll=2)", "tll"),
        ("mta.memoize(lambda: object(), name='n', ttl=1, capacity=1)()", "only plain values"),
        ("mta.memoize(lambda: lambda: 1, name='n', ttl=1, capacity=1)()", "only plain values"),
        ("mta.memoize(lambda x: 1, name='n', ttl=1, capacity=1)(object())", "plain values"),
        ("mta.memoize(lambda x: 1, name='n', ttl=1, capacity=1)('x' * 20000)", "too large"),
        (
            "mta.memoize(lambda: 1, name='n', ttl=1, capacity=1, invalidate_with_epoch=True,"
            " allow_stale_reads=True)",
            "exclude each other",
        ),
        (
            "mta.memoize(lambda: 1, name='n', ttl=1, capacity=1)\n"
            "mta.memoize(lambda: 2, name='n', ttl=1, capacity=1)",
            "the name 'n' is taken by the function at",
        ),
        ("mta.memoize(lambda: 1, name='n', ttl=1, capacity=1).name = 1", "cannot be set"),
    ],
)
def test_what_does_not_fit_is_a_load_error(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(script)


def test_a_class_of_the_script_is_not_kept(host):
    with pytest.raises(PolicyLoadError, match="only plain values can be kept"):
        host.load(
            "class Plan:\n    pass\nmta.memoize(lambda: Plan(), name='n', ttl=1, capacity=1)()"
        )


def test_recursion_ends_in_the_script(host):
    with pytest.raises(PolicyLoadError, match="RecursionError"):
        host.load("f = mta.memoize(lambda x: f(x), name='n', ttl=1, capacity=1)\nf(1)")


def test_hits_and_misses_are_in_the_metrics(host):
    host.load("f = mta.memoize(lambda x: x, name='n', ttl=1, capacity=5)\nf(1), f(1), f(2)")

    text = host.text_of_metrics()
    assert 'lruttl_hit_count{cache_name="n"} 1' in text
    assert 'lruttl_miss_count{cache_name="n"} 2' in text
    assert 'lruttl_cache_size{cache_name="n"} 2' in text


def test_it_is_exposed_as_a_function_of_mta():
    namespace = ScriptNamespace()
    expose_memoize(namespace, MemoRegistry(lambda: 0.0, Metrics(ENGINE_METRICS)))

    assert callable(namespace.modules()["mta"].memoize)


def dry(host, domain):
    """Return the answer as a dry run asks for it: without a loop."""
    return host.runtime.fire_nowait("get_queue_config", domain, None, None, None).finish_nowait()


def test_a_dry_run_needs_no_loop(host):
    host.load(slow().replace("await mta.time.sleep(1)", "pass"))

    assert dry(host, "a") == dry(host, "a") == "plan of a"
    assert host.printed == ["asked a"]


async def test_a_dry_run_in_a_thread_does_not_wait_for_a_call_of_the_loop(host):
    host.load(slow())
    under_way = asyncio.ensure_future(host.fire("a"))
    await asyncio.sleep(0.5)

    outcomes = []

    def ask():
        try:
            outcomes.append(dry(host, "a"))
        except WouldWaitError as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)

    assert outcomes == [WouldWaitError]
    assert await under_way == "plan of a"
    assert await host.fire("a") == "plan of a"
