"""Scripts that hold on: to the processor, to their waiting time, to a spent budget."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest

from policy.errors import HookFailedError, ScriptRefusal
from tests.attacks.hostile import MOST_CPU_S, error_of, load

CPU = "ms of CPU"

# Where a script's own code runs without being called by name.
OWN_METHODS = {
    "__eq__ in a list": "class C:\n    def __eq__(self, o):\n        while True: pass\n1 in [C()]",
    "__eq__ in a dict": "class C:\n    def __eq__(self, o):\n        while True: pass\n    def __hash__(self): return 1\n{C(): 1, C(): 2}",
    "__eq__ in a cache": "import functools\n@functools.lru_cache\ndef f(x): return 1\nclass C:\n    def __eq__(self, o):\n        while True: pass\n    def __hash__(self): return 1\nf(C())\nf(C())",
    "__lt__ in sort": "class C:\n    def __lt__(self, o):\n        while True: pass\nsorted([C(), C()])",
    "__bool__ in any": "class C:\n    def __bool__(self):\n        while True: pass\nany([C()])",
    "__len__": "class C:\n    def __len__(self):\n        while True: pass\nlen(C())",
    "__contains__": "class C:\n    def __contains__(self, x):\n        while True: pass\n1 in C()",
    "__iter__": "class C:\n    def __iter__(self):\n        while True: pass\na, b = C()",
    "__format__": "class C:\n    def __format__(self, s):\n        while True: pass\nf'{C():x}'",
    "__radd__": "class C:\n    def __radd__(self, o):\n        while True: pass\nsum([C()])",
    "__imul__": "class C:\n    def __imul__(self, o):\n        while True: pass\nc = C()\nc *= 2",
    "__call__": "class C:\n    def __call__(self, x):\n        while True: pass\nlist(map(C(), [1]))",
    "__post_init__": "import dataclasses\n@dataclasses.dataclass\nclass C:\n    def __post_init__(self):\n        while True: pass\nC()",
    "default factory": "import collections\ndef f():\n    while True: pass\ncollections.defaultdict(f)[1]",
    "cached property": "import functools\nclass C:\n    @functools.cached_property\n    def x(self):\n        while True: pass\nC().x",
    "decorator": "def d(f):\n    while True: pass\n@d\ndef g(): pass",
    "class body": "class C:\n    while True: pass",
    "default of an argument": "def f(x=[0 for i in iter(int, 1)]): pass",
    "sort key": "sorted(range(10**5), key=lambda x: sum(range(1000)))",
    "sort in place": "list(range(10**5)).sort(key=lambda x: sum(range(1000)))",
    "cmp_to_key": "import functools\nsorted(range(10**5), key=functools.cmp_to_key(lambda a, b: 1))",
    "re callback": "import re\ndef f(m):\n    while True: pass\nre.sub('x', f, 'x')",
    "json hook": "import json\ndef f(o):\n    while True: pass\njson.loads('{}', object_hook=f)",
    "json default": "import json\ndef f(o):\n    while True: pass\njson.dumps(f, default=f)",
    "exception text": "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
    "match guard": "match 1:\n    case x if [0 for i in iter(int, 1)]: pass",
    "except clause": "def f():\n    while True: pass\ntry: 1 / 0\nexcept f(): pass",
    "finaliser of a generator": "def g():\n    try: yield 1\n    finally:\n        while True: pass\nx = g()\nnext(x)",
    "nested generators": "def g(n):\n    while True:\n        if n: yield from g(n - 1)\nfor x in g(9): pass",
    "walrus": "while (n := 1): pass",
    "star target": "def g():\n    while True: yield 1\na, *b = g()",
    "nested lambda": "f = lambda f, n: n and [f(f, n - 1) for i in (1, 2)]\nf(f, 60)",
}

# Each round is one slow operation in C: the clock must be read more often than for short ones.
SLOW_ROUNDS = {
    "upper": "x = 'x' * 10**7\nwhile True: x.upper()",
    "count": "x = 'y' * 10**7\nwhile True: x.count('yy')",
    "copies": "x = [0] * 10**6\nwhile True: list(x)",
    "sets": "x = set(range(10**6))\nwhile True: x | {1}",
    "digests": "import hashlib\nh = hashlib.sha256()\nx = b'x' * 10**7\nwhile True: h.update(x)",
    "hosts": "import ipaddress\nn = ipaddress.ip_network('10.0.0.0/16')\nwhile True: list(n.hosts())",
    "max": "x = list(range(10**6))\nwhile True: max(x)",
    "classes": "while True:\n    class C: pass",
    "dataclasses": "import dataclasses\nwhile True:\n    @dataclasses.dataclass\n    class C: x: int",
    "named tuples": "import collections\nwhile True: collections.namedtuple('P', [f'a{i}' for i in range(900)])",
    "patterns": "import re\nn = 0\nwhile True:\n    n += 1\n    re.compile(f'{n}(?=x)')",
    "pattern timeouts, caught": "import re\nwhile True:\n    try: re.search('(?=a)(a|aa)+$', 'a' * 60 + 'b')\n    except TimeoutError: pass",
    "pattern of many states": "import re\nre.search('(x|y|z|xy|yz){0,1000}w', 'xyz' * 5000000)",
    "pattern of optional parts": "import re\nre.search('(?:(?:x?){30}){30}y', 'x' * 10**6)",
    "pattern, all matches": "import re\nre.findall('(x|y|z|xy|yz){0,1000}w', 'xyz' * 500000)",
    "limit errors, caught": "while True:\n    try: 'x' * 10**10\n    except ValueError: pass",
}

SWALLOWING = {
    "in a generator": "def g():\n    while True:\n        try: yield 1\n        except: pass\nx = g()\nnext(x)\nwhile True:\n    try: x.throw(ValueError)\n    except: pass",
    "two managers": "class C:\n    def __enter__(self): pass\n    def __exit__(self, *a): return True\nwhile True:\n    with C(), C():\n        while True: pass",
    "return in __exit__": "class C:\n    def __enter__(self): pass\n    def __exit__(self, *a):\n        while True: pass\nwith C(): pass",
    "nested finally": "while True:\n    try:\n        try:\n            while True: pass\n        finally: continue\n    finally: continue",
    "finally in a function": "def f():\n    while True:\n        try:\n            while True: pass\n        finally: return\nwhile True: f()",
    "else": "while True:\n    try:\n        while True: pass\n    except Exception: pass\n    else: continue\n    finally: continue",
    "sum of a spent generator": "def g():\n    try:\n        while True: pass\n    except: pass\n    yield 1\nsum(g())",
    "hasattr": "class C:\n    @property\n    def x(self):\n        while True: pass\nwhile True: hasattr(C(), 'x')",
    "getattr": "class C:\n    @property\n    def x(self):\n        while True: pass\nwhile True: getattr(C(), 'x', 1)",
    "next": "def g():\n    while True: pass\n    yield 1\nwhile True: next(g(), 1)",
    "recursion": "def f():\n    try:\n        while True: pass\n    except: f()\nf()",
    "raise another": "while True:\n    try:\n        while True: pass\n    except: raise ValueError",
    "memory": "while True:\n    try:\n        k = ['x' * 10**6 for i in range(200)]\n    except BaseException: pass",
}

CASES = [
    pytest.param(body, id=f"{table}: {name}")
    for table, scripts in (
        ("own method", OWN_METHODS),
        ("slow rounds", SLOW_ROUNDS),
        ("swallowing", SWALLOWING),
    )
    for name, body in scripts.items()
]


@pytest.mark.real_time
@pytest.mark.parametrize("body", CASES)
def test_the_budget_ends_the_call(tmp_path: Path, body: str) -> None:
    text = error_of(tmp_path, body)

    assert (
        CPU in text
        or "MiB of memory" in text
        # Its text would take for ever: the error it is stays.
        or (text == "E" and "__str__" in body)
    )


# --- waiting

WAITING = {
    "finally": "try: await mta.pause(60)\nfinally: await mta.pause(60)",
    "finally, nested": "try: await mta.pause(60)\nfinally:\n    try: await mta.pause(60)\n    finally: await mta.pause(60)",
    "except": "try: await mta.pause(60)\nexcept: await mta.pause(60)",
    "finally with a loop": "try: await mta.pause(60)\nfinally:\n    while True: await mta.pause(1)",
    "loop": "while True: await mta.pause(1)",
    "loop that catches": "while True:\n    try: await mta.pause(1)\n    except BaseException: continue",
    "helper": "async def f():\n    try: await mta.pause(60)\n    finally: await mta.pause(60)\nawait f()",
    "comprehension": "return [await mta.pause(1) for i in iter(int, 1)]",
    "manager": "class C:\n    def __enter__(self): pass\n    def __exit__(self, *a): return True\nwhile True:\n    with C(): await mta.pause(60)",
}


@pytest.mark.parametrize("name", WAITING)
async def test_waiting_ends_with_its_budget(tmp_path: Path, name: str) -> None:
    script = load(tmp_path, WAITING[name], is_async=True)
    loop_time = asyncio.get_running_loop().time
    started = loop_time()

    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await script.runtime.fire("probe")

    assert loop_time() - started < 11


ENDLESS_COROUTINES = {
    "no waiting": "async def f(): pass\nwhile True: await f()",
    "waits of nothing": "while True: await mta.pause(0)",
    "recursion": "async def f():\n    try: await f()\n    except RecursionError: await f()\nawait f()",
    "finally without waiting": "try: await mta.pause(0)\nfinally:\n    while True: pass",
    "cleaning up": "try: await mta.pause(60)\nfinally:\n    while True: pass",
}


@pytest.mark.parametrize("name", ENDLESS_COROUTINES)
async def test_a_coroutine_has_one_budget_for_all_its_steps(tmp_path: Path, name: str) -> None:
    script = load(tmp_path, ENDLESS_COROUTINES[name], is_async=True)
    started_s = time.thread_time()

    with pytest.raises(HookFailedError) as caught:
        await script.runtime.fire("probe")

    assert caught.value.overrun
    assert time.thread_time() - started_s < MOST_CPU_S


async def test_a_refusal_is_not_undone_by_waiting_in_finally(tmp_path: Path) -> None:
    body = "try: mta.reject()\nfinally:\n    await mta.pause(1)\n    return 'undone'"
    script = load(tmp_path, body, is_async=True)

    with pytest.raises(ScriptRefusal):
        await script.runtime.fire("probe")


# --- between calls


@pytest.mark.real_time
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_the_collector_runs_between_calls_is_bounded(tmp_path: Path) -> None:
    body = "def g(l):\n    try: yield 1\n    finally:\n        while True: pass\nl = []\nx = g(l)\nl.append(x)\nnext(x)\nreturn 1"
    script = load(tmp_path, body)
    assert script.runtime.fire_nowait("probe") == 1
    started_s = time.thread_time()

    gc.collect()

    assert time.thread_time() - started_s < MOST_CPU_S
    assert script.runtime.fire_nowait("probe") == 1


@pytest.mark.real_time
def test_an_overrun_leaves_the_next_call_its_whole_budget(tmp_path: Path) -> None:
    body = "calls.append(1)\nif len(calls) == 1:\n    while True: pass\nreturn sum(range(100))"
    script = load(tmp_path, body)
    script.rewrite("calls = []\n" + script.path.read_text())
    script.runtime.reload_if_changed()

    with pytest.raises(HookFailedError, match=CPU):
        script.runtime.fire_nowait("probe")

    assert script.runtime.fire_nowait("probe") == 4950
