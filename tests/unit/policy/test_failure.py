"""Exceptions are described in one line, whatever a script made of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policy.budget import Budget
from policy.errors import HookFailedError, PolicyLoadError, ScriptFrame
from policy.failure import MAX_FRAMES, describe, place_of
from policy.hook import Hook
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript


class Endless(Exception):
    """Its text takes for ever."""

    budget: Budget

    def __str__(self) -> str:
        while True:
            self.budget.tick()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (ValueError([1]), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
    ],
)
def test_an_exception_is_one_line(error: BaseException, text: str) -> None:
    assert describe(error, Budget()) == text


def test_a_long_text_is_cut() -> None:
    assert len(describe(ValueError("x" * 10_000), Budget())) < 600


def test_a_text_that_never_ends_is_left_out() -> None:
    error = Endless()
    error.budget = Budget()

    assert describe(error, error.budget) == "Endless"


def test_an_exception_from_elsewhere_has_no_place() -> None:
    assert place_of(ValueError(), frozenset({"a.py"})) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("'a'.startwith('a')", "no attribute 'startwith'; did you mean 'startswith'?"),
        ("a.missing", "no attribute 'missing'"),
        ("mta.retsart", "module 'mta' has no attribute 'retsart'; did you mean 'restart'?"),
        ("class A:\n        near = 1\n    A().naer", "'A' object has no attribute 'naer'"),
    ],
)
def test_an_attribute_that_is_not_there_tells_which_was_meant(
    tmp_path: Path, body: str, text: str
) -> None:
    offered = ScriptNamespace()
    offered.expose("restart", len)
    source = f"import mta\nfrom mta import on\n@on('probe')\ndef probe(a):\n    {body}\n"
    script = LoadedScript(tmp_path, source, HOOKS, offered)

    with pytest.raises(HookFailedError) as raised:
        script.runtime.fire_nowait("probe", 1)

    assert raised.value.message.endswith(text)


# -- the lines of a script that led to an error

HOOKS = (Hook("probe", ("a",), result=(object,), wait_budget_s=5.0),)
SIBLING = """\
TABLE = {}
def look_up(name):
    return TABLE[name]
class Lazy:
    def __getitem__(self, name):
        return look_up(name)
"""
NESTED = """\
def inner(x):
    return 1 / x
def outer(x):
    return inner(x) + 1
@on("probe")
def handler(a):
    return outer(0)
"""
IMPORTED = """\
from tenants import look_up
@on("probe")
def handler(a):
    return look_up(a)
"""
ASYNC = """\
async def ask(x):
    await mta.pause(0)
    return x.nothing
@on("probe")
async def handler(a):
    return await ask(a)
"""
COMPREHENSION = """\
def share(n):
    return 10 // n
@on("probe")
def handler(a):
    return [share(n) for n in (1, 0)]
"""
LAMBDA = """\
@on("probe")
def handler(a):
    return sorted([2, 1], key=lambda n: n + a)
"""
DECORATOR = """\
def careful(function):
    def inner(a):
        return function(a)
    return inner
@on("probe")
@careful
def handler(a):
    raise ValueError(a)
"""
DATACLASS = """\
from dataclasses import dataclass
@dataclass
class Tenant:
    rate: int
    def __post_init__(self):
        self.each_s = 1 / self.rate
@on("probe")
def handler(a):
    return Tenant(rate=0)
"""
SHAPES = {
    "nested calls": (
        NESTED,
        [
            "init.py:9 in handler: return outer(0)",
            "init.py:6 in outer: return inner(x) + 1",
            "init.py:4 in inner: return 1 / x",
        ],
    ),
    "an imported sibling": (
        IMPORTED,
        [
            "init.py:6 in handler: return look_up(a)",
            "tenants.py:3 in look_up: return TABLE[name]",
        ],
    ),
    "async": (
        ASYNC,
        ["init.py:8 in handler: return await ask(a)", "init.py:5 in ask: return x.nothing"],
    ),
    "a comprehension": (
        COMPREHENSION,
        [
            "init.py:7 in handler: return [share(n) for n in (1, 0)]",
            "init.py:4 in share: return 10 // n",
        ],
    ),
    "a lambda": (
        LAMBDA,
        [
            "init.py:5 in handler: return sorted([2, 1], key=lambda n: n + a)",
            "init.py:5 in handler.<locals>.<lambda>: return sorted([2, 1], key=lambda n: n + a)",
        ],
    ),
    "a decorator": (
        DECORATOR,
        [
            "init.py:5 in careful.<locals>.inner: return function(a)",
            "init.py:10 in handler: raise ValueError(a)",
        ],
    ),
    "a dataclass": (
        DATACLASS,
        [
            "init.py:11 in handler: return Tenant(rate=0)",
            "init.py:8 in Tenant.__post_init__: self.each_s = 1 / self.rate",
        ],
    ),
}


def load(folder: Path, source: str) -> LoadedScript:
    (folder / "tenants.py").write_text(SIBLING)
    namespace = ScriptNamespace()
    namespace.expose("pause", asyncio.sleep, waits=True)
    source = f"import mta\nfrom mta import on\n{source}"
    return LoadedScript(folder, source, HOOKS, namespace)


def shown(trace: tuple[ScriptFrame, ...], folder: Path) -> list[str]:
    """Return what is shown, with file names only; 3.11 has frames of comprehensions."""
    return [
        str(frame).replace(f"{folder}/", "") for frame in trace if "listcomp" not in frame.function
    ]


@pytest.mark.parametrize(("source", "lines"), SHAPES.values(), ids=SHAPES)
async def test_a_handlers_error_shows_the_lines_of_the_script_and_no_others(
    tmp_path: Path, source: str, lines: list[str]
) -> None:
    script = load(tmp_path, source)

    with pytest.raises(HookFailedError) as caught:
        await script.runtime.fire("probe", "x")

    assert shown(caught.value.trace, tmp_path) == lines
    assert script.reported("handler_failed")[0]["trace"] == caught.value.trace


async def test_a_wait_beyond_its_budget_shows_where_it_waited(tmp_path: Path) -> None:
    source = (
        "async def ask():\n    await mta.pause(3600)\n@on('probe')\nasync def f(a): await ask()\n"
    )
    script = load(tmp_path, source)

    with pytest.raises(HookFailedError, match=r"init.py:4: waited longer than 5.0 s") as caught:
        await script.runtime.fire("probe", "x")

    assert shown(caught.value.trace, tmp_path)[-1] == "init.py:4 in ask: await mta.pause(3600)"


def test_an_edit_meanwhile_changes_no_line_that_is_shown(tmp_path: Path) -> None:
    script = load(tmp_path, "@on('probe')\ndef f(a): return 1 / 0\n")
    script.rewrite("# something else\n" * 9)

    with pytest.raises(HookFailedError) as caught:
        script.runtime.fire_nowait("probe", "x")

    assert shown(caught.value.trace, tmp_path) == ["init.py:4 in f: def f(a): return 1 / 0"]


def test_of_an_endless_recursion_both_ends_are_shown(tmp_path: Path) -> None:
    script = load(tmp_path, "def g(): return g()\n@on('probe')\ndef f(a): return g()\n")

    with pytest.raises(HookFailedError) as caught:
        script.runtime.fire_nowait("probe", "x")

    lines = shown(caught.value.trace, tmp_path)
    assert len(lines) == MAX_FRAMES
    assert lines[0].startswith("init.py:5 in f")
    assert lines[-1].startswith("init.py:3 in g")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (
            "def half(x):\n    return 1 / x\nHALF = half(0)\n",
            ["init.py:5: HALF = half(0)", "init.py:4 in half: return 1 / x"],
        ),
        (
            "from tenants import look_up\nX = look_up('x')\n",
            ["init.py:4: X = look_up('x')", "tenants.py:3 in look_up: return TABLE[name]"],
        ),
        (
            "from tenants import Lazy\nX = [Lazy()[n] for n in 'x']\n",
            [
                "init.py:4: X = [Lazy()[n] for n in 'x']",
                "tenants.py:6 in Lazy.__getitem__: return look_up(name)",
                "tenants.py:3 in look_up: return TABLE[name]",
            ],
        ),
        ("x = (\n", ["init.py:3: x = ("]),
        ("import os\n", ["init.py:3: import os"]),
        ("x = 1\ny = x._hidden\n", ["init.py:4: y = x._hidden"]),
        (
            "@on('prob')\ndef f(a): pass\n",
            ["init.py:3: @on('prob')"],
        ),
    ],
    ids=["call", "sibling", "method of a sibling", "syntax", "import", "refused name", "event"],
)
def test_an_error_at_load_shows_the_lines_of_the_script_and_no_others(
    tmp_path: Path, source: str, lines: list[str]
) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        load(tmp_path, source)

    assert shown(caught.value.trace, tmp_path) == lines
