"""Common Python works in a policy script, and means what it means elsewhere."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policy.errors import HookFailedError, PolicyLoadError
from policy.hook import Hook
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (Hook("probe", result=(object,)),)

COMMON = {
    "annotations": (
        "def f(x: int, *a: str, **k: bytes) -> list[int]: return [x]\nreturn f(1)",
        [1],
    ),
    "annotated assignment": ("x: int = 1\ny: str\nreturn x", 1),
    "item +=": ("d = {'a': 1}\nd['a'] += 1\nreturn d", {"a": 2}),
    "attribute +=": ("class C: x = 1\nc = C()\nc.x += 2\nreturn c.x", 3),
    "item *=": (
        "d = {'a': 3}\nd['a'] *= 2\nd['a'] **= 2\nd['a'] <<= 1\nd['a'] %= 5\nreturn d['a']",
        2,
    ),
    "attribute *=": ("class C: x = 2\nc = C()\nc.x *= 2\nreturn c.x", 4),
    "list *= keeps the list": ("a = b = [1]\na *= 2\nreturn b", [1, 1]),
    "list += keeps the list": ("a = b = [1]\na += [2]\nreturn b", [1, 2]),
    "keywords": ("def f(**k): return k\nkw = {'a': 1}\nreturn f(**kw, b=2)", {"a": 1, "b": 2}),
    "stars": ("def f(*a): return a\nreturn f(*[1, 2], *(3,))", (1, 2, 3)),
    "unpacking": ("a, (b, *c), [d] = 1, (2, 3, 4), [5]\nreturn [a, b, c, d]", [1, 2, [3, 4], 5]),
    "unpacking in for": ("return [(k, v) for k, v in {'a': 1}.items()]", [("a", 1)]),
    "private names": ("_x = 1\ndef _f(): return _x\nreturn _f()", 1),
    "private attributes": (
        "class C:\n    def __init__(self): self._x = 1\n    def _get(self): return self._x\nreturn C()._get()",
        1,
    ),
    "underscore": ("for _ in range(2): pass\nreturn _", 1),
    "f-string": (
        "x = 3.14159\nw = 8\nreturn f'{x:.2f}|{x!r:>{w}}|{\"a\"}|{x=}'",
        "3.14| 3.14159|a|x=3.14159",
    ),
    "percent": ("return '%s=%05d' % ('a', 7)", "a=00007"),
    "str.format": ("return '{} {a!r} {b[0]:>3}'.format(1, a='x', b=[2])", "1 'x'   2"),
    "comprehensions": (
        "return [{x for x in (1, 1)}, {k: v for k, v in zip('ab', (1, 2))}, sum(x for x in (1, 2) if x > 1)]",
        [{1}, {"a": 1, "b": 2}, 2],
    ),
    "nested comprehension": (
        "return [a * b for a in (1, 2) for b in (3, 4) if a != b]",
        [3, 4, 6, 8],
    ),
    "match": (
        "match {'a': [1, 2, 3], 'z': 0}:\n    case {'a': [1, *rest], **more}: return rest, more",
        ([2, 3], {"z": 0}),
    ),
    "match class": (
        "class P:\n    __match_args__ = ('x', 'y')\n    def __init__(self, x, y): self.x, self.y = x, y\n"
        "match P(1, 2):\n    case P(1, y=y) if y > 1: return y",
        2,
    ),
    "match types": (
        "match 'a':\n    case int() | float(): return 0\n    case str(x): return x",
        "a",
    ),
    "match values": (
        "match -1:\n    case -1: return 'minus'\n    case None | True: return 0",
        "minus",
    ),
    "nonlocal": ("n = 0\ndef f():\n    nonlocal n\n    n += 1\nf()\nreturn n", 1),
    "with": (
        "log = []\nclass C:\n    def __enter__(self): return self\n    def __exit__(self, *a): log.append(len(a))\n"
        "with C() as c, C(): pass\nreturn log",
        [3, 3],
    ),
    "with swallowing": (
        "class C:\n    def __enter__(self): pass\n    def __exit__(self, *a): return True\n"
        "with C(): raise ValueError\nreturn 1",
        1,
    ),
    "return from with": (
        "class C:\n    def __enter__(self): pass\n    def __exit__(self, *a): pass\nwith C(): return 5",
        5,
    ),
    "decorator": (
        "def twice(f): return lambda x: f(f(x))\n@twice\ndef g(x): return x + 1\nreturn g(0)",
        2,
    ),
    "inheritance": (
        "class A:\n    def __init__(self, x): self.x = x\nclass B(A):\n"
        "    def __init__(self): super().__init__(7)\nreturn B().x",
        7,
    ),
    "own exception": (
        "class E(ValueError): pass\ntry: raise E('x')\nexcept E as e: return str(e), e.args",
        ("x", ("x",)),
    ),
    "try finally": (
        "log = []\ntry:\n    try: 1 / 0\n    except ZeroDivisionError: log.append(1)\n    else: log.append(9)\n"
        "    finally: log.append(2)\nfinally: log.append(3)\nreturn log",
        [1, 2, 3],
    ),
    "finally in a handler": (
        "try: 1 / 0\nexcept ZeroDivisionError:\n    try: x = 1\n    finally: x = 2\nreturn x",
        2,
    ),
    "raise from": (
        "try:\n    raise ValueError('a') from KeyError('b')\nexcept ValueError: return 1",
        1,
    ),
    "main guard": ("if __name__ == '__main__': return 1\nreturn 2", 2),
    "walrus": ("if (n := 3) > 2: return n", 3),
    "lambda": ("return (lambda x, y=2: x * y)(3)", 6),
    "lambda of None": ("return (lambda: None)()", None),
    "generator": (
        "def g():\n    got = yield 1\n    yield from (got, 3)\nx = g()\nreturn [next(x), x.send(2), *x]",
        [1, 2, 3],
    ),
    "while else": ("n = 0\nwhile n < 3: n += 1\nelse: return n", 3),
    "for continue": ("s = 0\nfor i in range(5):\n    if i % 2: continue\n    s += i\nreturn s", 6),
    "slices": ("a = [1, 2, 3, 4]\na[1:3] = [9]\ndel a[0]\nreturn a[::-1]", [4, 9]),
    "arithmetic": (
        "return [7 // 2, 7 % 3, 2 ** 10, 1 << 4, -7 >> 1, 6 / 4, 5 & 3, 5 | 3, 5 ^ 3]",
        [3, 1, 1024, 16, -4, 1.5, 1, 7, 6],
    ),
    "constants": ("return 24 * 60 * 60", 86400),
    "string methods": (
        "return ' a,b '.strip().split(','), '-'.join(['a', 'b']), 'a'.zfill(3), 'abc'.replace('b', 'x')",
        (["a", "b"], "a-b", "00a", "axc"),
    ),
    "bytes": (
        "return isinstance(b'', bytes), bytes(2), bytes([65]), bytes('a', 'ascii'), type(b'') == bytes",
        (True, b"\0\0", b"A", b"a", True),
    ),
    "builtins": (
        "return [sorted([2, 1], reverse=True), min(1, 2), sum([1, 2]), sum([[1], [2]], []), list(map(str, [1])), "
        "list(filter(None, [0, 1])), list(enumerate('a')), list(reversed([1, 2])), divmod(7, 2), round(1.25, 1), pow(2, 3, 5)]",
        [[2, 1], 1, 3, [1, 2], ["1"], [1], [(0, "a")], [2, 1], (3, 1), 1.2, 3],
    ),
    "getattr": (
        "class C: x = 1\nreturn [getattr(C(), 'x'), getattr(C(), 'y', 2), hasattr(C(), 'x')]",
        [1, 2, True],
    ),
    "setattr": (
        "class C: pass\nc = C()\nsetattr(c, 'x', 1)\ndelattr(c, 'x')\nreturn hasattr(c, 'x')",
        False,
    ),
    "name of a type": ("return type(1).__name__, (lambda: 0).__name__", ("int", "<lambda>")),
    "slots": ("class C:\n    __slots__ = ('x',)\nc = C()\nc.x = 1\nreturn c.x", 1),
    "property": (
        "class C:\n    @property\n    def x(self): return 1\n    @staticmethod\n    def y(): return 2\n    @classmethod\n    def z(cls): return 3\nreturn C().x, C.y(), C.z()",
        (1, 2, 3),
    ),
    "operators of a class": (
        "class V:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\n"
        "    def __lt__(self, o): return self.x < o.x\n    def __hash__(self): return 1\n"
        "    def __len__(self): return 4\n    def __contains__(self, k): return k == 1\n"
        "    def __getitem__(self, k): return k\n    def __call__(self): return 5\n"
        "v = V(1)\nreturn [v == V(1), v < V(2), len(v), 1 in v, v[3], v(), len({v, V(1)})]",
        [True, True, 4, True, 3, 5, 1],
    ),
    "type variables": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass B(Generic[T]): pass\nx: B[int] = B()\nreturn 1",
        1,
    ),
    "in": (
        "d = {'a': 1}\nreturn ['a' in d, 'b' not in d, 1 < 2 < 3, 'x' in 'xyz']",
        [True, True, True, True],
    ),
    "assert": ("try:\n    assert 1 == 2, 'no'\nexcept AssertionError as e: return str(e)", "no"),
    "docstring": ("def f():\n    'doc'\n    return 1\nreturn f()", 1),
    "starred assignment": ("first, *rest = 'abc'\nreturn first, rest", ("a", ["b", "c"])),
    "private slots": (
        "class C:\n    __slots__ = ('_x', 'y')\n    def __init__(self): self._x = 1\nreturn C()._x",
        1,
    ),
    "private annotated attribute": (
        "class C:\n    def __init__(self):\n        self._x: dict[str, int] = {}\n        self._x['a'] = 1\nreturn C()._x",
        {"a": 1},
    ),
    "private class variable +=": (
        "class C:\n    _n = 0\n    @classmethod\n    def f(cls):\n        cls._n += 1\n        return cls._n\nC.f()\nreturn C.f()",
        2,
    ),
    "private of super": (
        "class A:\n    def _f(self): return 'a'\nclass B(A):\n    def _f(self): return super()._f() + 'b'\nreturn B()._f()",
        "ab",
    ),
    "private of a dataclass": (
        "from dataclasses import dataclass\n@dataclass(slots=True, kw_only=True)\nclass T:\n    a: int = 1\n    _b: str = 'x'\nt = T()\nt.a += 1\nreturn t.a, t._b",
        (2, "x"),
    ),
    "private match arguments": (
        "class A:\n    __match_args__ = ('_x',)\n    def __init__(self): self._x = 1\nmatch A():\n    case A(1): return 'yes'",
        "yes",
    ),
    "repr": (
        "class C:\n    def __repr__(self): return 'C!'\nreturn repr(C()), str(C()), f'{C()}'",
        ("C!", "C!", "C!"),
    ),
    "operators": (
        "class V:\n    def __init__(self, x): self.x = x\n    def __mul__(self, o): return V(self.x * o)\n    __rmul__ = __mul__\n"
        "    def __neg__(self): return V(-self.x)\n    def __iadd__(self, o):\n        self.x += o\n        return self\n"
        "    def __matmul__(self, o): return self.x\nv = V(2)\nv += 1\nreturn (3 * -v).x, v @ v",
        (-9, 3),
    ),
    "format of a class": (
        "class C:\n    def __format__(self, spec): return spec * 2\nreturn f'{C():ab}'",
        "abab",
    ),
    "hash": (
        "class C:\n    def __eq__(self, o): return True\n    def __hash__(self): return hash((1, 'a'))\nreturn len({C(), C()})",
        1,
    ),
    "setter": (
        "class C:\n    @property\n    def x(self): return self._x\n    @x.setter\n    def x(self, v): self._x = v\nc = C()\nc.x = 3\nreturn c.x",
        3,
    ),
    "super in a class method": (
        "class A:\n    @classmethod\n    def make(cls): return cls()\nclass B(A):\n    @classmethod\n    def make(cls): return super().make()\nreturn type(B.make()).__name__",
        "B",
    ),
    "super with arguments": (
        "class A:\n    def f(self): return 1\nclass B(A):\n    def f(self): return super(B, self).f() + 1\nreturn B().f()",
        2,
    ),
    "protocol": (
        "from typing import Protocol\nclass P(Protocol):\n    def f(self) -> int: ...\nreturn 1",
        1,
    ),
    "typed dict": (
        "from typing import TypedDict\nclass T(TypedDict, total=False):\n    a: int\nreturn T(a=1)",
        {"a": 1},
    ),
    "dates in formats": (
        "import datetime\nd = datetime.date(2024, 1, 2)\nreturn f'{d:%Y-%m}', d.strftime('%d'), format(d, '%y'), '{:%m}'.format(d), d.timetuple().tm_year",
        ("2024-01", "02", "24", "01", 2024),
    ),
    "dates read": (
        "from datetime import datetime as d\nreturn d.strptime('2024-02-03', '%Y-%m-%d').day, d.now().strptime('5', '%d').day",
        (3, 5),
    ),
    "int": (
        "return int('12'), int('ff', 16), int(3.7), int('0x1f', 0), [*map(int, '12')], int.from_bytes(b'a', 'big'), (5).bit_length()",
        (12, 255, 3, 31, [1, 2], 97, 3),
    ),
    "types compared": (
        "return type(1) is int, type(1) == int, isinstance(1, int | str), {int: 'a'}[type(2)], isinstance(True, int)",
        (True, True, True, "a", True),
    ),
    "types captured": (
        "match [1, b'x', 'a']:\n    case [int(x), bytes(y), str(z)]: return x, y, z",
        (1, b"x", "a"),
    ),
    "codecs": (
        "return 'é'.encode(), b'x'.decode('ascii'), 'müller.de'.encode('idna'), str(b'x', 'utf-8'), bytes('é', 'latin-1')",
        ("é".encode(), "x", b"xn--mller-kva.de", "x", b"\xe9"),
    ),
    "stripping": (
        "c = 'x'\nreturn 'xax'.strip(c), ' a '.strip(), 'xa'.lstrip('x')",
        ("a", "a", "a"),
    ),
    "counters": (
        "from collections import Counter\nc = Counter('aab')\nc.update('b')\nc.update({'z': 2})\nc += Counter('a')\nc['q'] += 1\nreturn dict(c)",
        {"a": 3, "b": 2, "z": 2, "q": 1},
    ),
    "deques": (
        "from collections import deque\nd = deque(maxlen=3)\nd.extend([1, 2, 3, 4])\nd += [5]\nd.appendleft(0)\nreturn list(d)",
        [0, 3, 4],
    ),
    "+= of iterables": (
        "l = []\nl += (1,)\nl += range(2)\nl += {'a': 1}\nl += map(str, [7])\nl += 'bc'\nreturn l",
        [1, 0, 1, "a", "7", "b", "c"],
    ),
    "dict and set operators": (
        "d = {'a': 1} | {'b': 2}\nd |= {'c': 3}\ns = {1} | {2}\ns |= {3}\ns -= {1}\nreturn d, s, d.keys() & {'a'}",
        ({"a": 1, "b": 2, "c": 3}, {2, 3}, {"a"}),
    ),
    "with several": (
        "class M:\n    def __enter__(self): return 1\n    def __exit__(self, *a): pass\nwith (M() as a, M() as b): return a + b",
        2,
    ),
    "arguments of each kind": (
        "def f(a, /, b, *c, d=4, **e): return a, b, c, d, e\nreturn f(1, 2, 3, d=5, x=6)",
        (1, 2, (3,), 5, {"x": 6}),
    ),
    "function attribute": ("def f(): pass\nf.count = 1\nf.count += 1\nreturn f.count", 2),
    "generator throw": (
        "def g():\n    try: yield 1\n    except ValueError: yield 2\ni = g()\nnext(i)\nreturn i.throw(ValueError())",
        2,
    ),
    "continue in finally's try": (
        "for i in range(2):\n    try: pass\n    except ValueError: pass\n    else: continue\n    finally: j = i\nreturn j",
        1,
    ),
    "exception with attributes": (
        "class E(Exception):\n    def __init__(self, code):\n        super().__init__(code)\n        self.code = code\ntry: raise E(5)\nexcept E as e: return e.code",
        5,
    ),
    "notes": (
        "try: raise ValueError('x')\nexcept ValueError as e:\n    e.add_note('n')\n    return str(e)",
        "x",
    ),
    "type checking": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mta import Message\nreturn 1",
        1,
    ),
    "nested f-strings": (
        "d = {'a': 1}\nreturn f\"{d['a']:>{2 + 1}} {', '.join(f'{k}={v}' for k, v in d.items())}\"",
        "  1 a=1",
    ),
    "cached property": (
        "from functools import cached_property\nclass C:\n    @cached_property\n    def x(self): return 5\nc = C()\nreturn c.x + c.x",
        10,
    ),
    "recursion": ("def f(n): return 1 if n < 2 else n * f(n - 1)\nreturn f(5)", 120),
    "iterable class": (
        "class R:\n    def __iter__(self):\n        for i in range(3): yield i\nreturn list(R()), 2 in R()",
        ([0, 1, 2], True),
    ),
    "zip and enumerate": (
        "return list(zip('ab', [1, 2], strict=True)), dict(zip('ab', (1, 2))), list(enumerate('a', 1))",
        ([("a", 1), ("b", 2)], {"a": 1, "b": 2}, [(1, "a")]),
    ),
    "dataclass converted": (
        "from dataclasses import dataclass, asdict, astuple\n@dataclass\nclass A: x: int\n@dataclass\nclass B:\n    a: A\n    l: list\nb = B(A(1), [A(2)])\nreturn asdict(b), astuple(b)",
        ({"a": {"x": 1}, "l": [{"x": 2}]}, ((1,), [(2,)])),
    ),
    "module names": (
        "import re\nm = re.search('(?P<x>a)', 'ba')\nreturn m.expand(r'<\\1>'), m.lastgroup, re.compile('(a)(b)').groups",
        ("<a>", "x", 2),
    ),
}


@pytest.mark.parametrize("name", COMMON)
def test_common_python_means_what_it_means_elsewhere(tmp_path: Path, name: str) -> None:
    body, expected = COMMON[name]
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"from mta import on\n@on('probe')\ndef probe():\n{lines}"

    answer = LoadedScript(tmp_path, source, HOOKS).runtime.fire_nowait("probe")

    assert answer == expected


def test_globals_of_a_script_persist_between_calls(tmp_path: Path) -> None:
    source = "import mta\ncount = 0\ndef probe():\n    global count\n    count += 1\n    return count\nmta.on('probe', probe)\n"
    runtime = LoadedScript(tmp_path, source, HOOKS).runtime

    assert [runtime.fire_nowait("probe") for _ in range(3)] == [1, 2, 3]


def test_future_annotations_and_dataclasses_work(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field, replace, asdict\n"
        "from typing import NamedTuple\nfrom mta import on\n"
        "@dataclass(frozen=True, order=True)\nclass Tenant:\n    name: str\n    pools: list[str] = field(default_factory=list)\n"
        "    def __post_init__(self): pass\n"
        "class Row(NamedTuple):\n    a: int\n    b: str = 'x'\n"
        "@on('probe')\ndef probe():\n    t = replace(Tenant('a'), name='b')\n"
        "    return [t.name, t == Tenant('b'), Row(1)._replace(a=2).a, asdict(t)]\n"
    )

    answer = LoadedScript(tmp_path, source, HOOKS).runtime.fire_nowait("probe")

    assert answer == ["b", True, 2, {"name": "b", "pools": []}]


def test_a_refused_statement_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        LoadedScript(tmp_path, "x = 1\ny = x.__class__\n", HOOKS)

    assert str(caught.value).startswith(f"{tmp_path / 'init.py'}:2: ")


def test_an_error_in_a_handler_names_file_and_line(tmp_path: Path) -> None:
    source = "import mta\n\ndef probe():\n    x = {}\n    return x['nothing']\n\nmta.on('probe', probe)\n"
    runtime = LoadedScript(tmp_path, source, HOOKS).runtime

    with pytest.raises(HookFailedError) as caught:
        runtime.fire_nowait("probe")

    assert str(caught.value) == f"probe: {tmp_path / 'init.py'}:5: KeyError: 'nothing'"
    assert isinstance(caught.value.__cause__, KeyError)


WAITING = {
    "await": ("return await mta.pause(1, 'x')", "x"),
    "in a comprehension": ("return [await mta.pause(0, n) for n in (1, 2)]", [1, 2]),
    "in an f-string": ("return f'{await mta.pause(0, 5)}'", "5"),
    "in finally": ("try: return await mta.pause(0, 1)\nfinally: await mta.pause(1)", 1),
    "in a with block": (
        "class M:\n    def __enter__(self): return 1\n    def __exit__(self, *a): pass\nwith M() as m: return m + await mta.pause(0, 1)",
        2,
    ),
    "of a helper": (
        "async def f(n): return 0 if not n else 1 + await f(n - 1)\nreturn await f(5)",
        5,
    ),
    "later": ("w = mta.pause(1, 7)\nreturn await w", 7),
    "in a condition": ("if (x := await mta.pause(0, 3)) > 2: return x", 3),
    "in a match": ("match await mta.pause(0, [1, 2]):\n    case [a, b]: return a + b", 3),
    "through a lambda": ("f = lambda: mta.pause(0, 4)\nreturn await f()", 4),
    "with a caught error": (
        "try: await mta.pause(-1, 1) / 0\nexcept ZeroDivisionError: return 'caught'",
        "caught",
    ),
}


@pytest.mark.parametrize("name", WAITING)
async def test_await_goes_wherever_it_goes_elsewhere(tmp_path: Path, name: str) -> None:
    body, expected = WAITING[name]
    namespace = ScriptNamespace()
    namespace.expose("pause", asyncio.sleep, waits=True)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"import mta\nfrom mta import on\n@on('probe')\nasync def probe():\n{lines}"
    script = LoadedScript(tmp_path, source, HOOKS, namespace)

    assert await script.runtime.fire("probe") == expected


def test_a_module_may_say_what_it_is(tmp_path: Path) -> None:
    source = "__all__ = ['probe']\n__version__ = '1'\n__author__ = 'ops'\nif __name__ == '__main__': 1 / 0\n"

    LoadedScript(tmp_path, source, HOOKS)


REFUSED = {
    "x.__dict__": "the attribute '__dict__' is not available in a policy script",
    "self.__x": "the attribute '__x' begins with two underscores; begin private names with one",
    "async def f():\n    async for x in y: pass": "async for is not available in a policy script; await each item",
    "async def f():\n    async with x: pass": "async with is not available in a policy script; await each call",
    "try: pass\nexcept* ValueError: pass": "except* is not allowed in a policy script; use except",
    "from m import *": "import * is not allowed; name what you import",
    "from . import m": "relative imports are not supported; name the module in full",
    "open('x')": "'open' is not available in a policy script; mta.fs.open reads files of the policy's folder",
    "x[1:] += y": "a slice can be assigned to with = only",
    "f'{1:>99999}'": "a format width or precision of more than 4 digits is not allowed",
    "class C:\n    def __del__(self): pass": "a script's class may not define __del__",
    "class C(metaclass=M): pass": "keyword arguments of a class (metaclass among them) are not allowed",
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_stays_refused_says_so_in_one_sentence(tmp_path: Path, source: str) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        LoadedScript(tmp_path, f"x = y = 1\n{source}\n", HOOKS)

    assert caught.value.message == REFUSED[source]
    assert caught.value.line in {2, 3}
