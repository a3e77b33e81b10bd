"""Doors out of the sandbox, published and imagined: each is refused, by name where it can be."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy.errors import HookFailedError, PolicyLoadError
from tests.attacks.hostile import load

# Refused before the script runs: body, the line of it (from 1), what the operator reads.
AT_LOAD = {
    # CVE-2023-37271: frames of generators
    "gi_frame": ("g = (x for x in ())\ng.gi_frame", 2, "gi_frame"),
    "gi_yieldfrom": ("g = (x for x in ())\ng.gi_yieldfrom", 2, "gi_yieldfrom"),
    "f_back": ("x = 1\nx.f_back", 2, "f_back"),
    "cr_frame": ("async def f(): pass\nf().cr_frame", 2, "cr_frame"),
    "cr_await": ("async def f(): pass\nf().cr_await", 2, "cr_await"),
    "cr_origin": ("async def f(): pass\nf().cr_origin", 2, "cr_origin"),
    "ag_await": ("async def f():\n    yield 1\nf().ag_await", 3, "ag_await"),
    "asend": ("async def f():\n    yield 1\nf().asend(None)", 3, "asend"),
    "athrow": ("async def f():\n    yield 1\nf().athrow(ValueError)", 3, "athrow"),
    "aclose": ("async def f():\n    yield 1\nf().aclose()", 3, "aclose"),
    "tb_frame": ("try: 1 / 0\nexcept Exception as e: e.tb_frame", 2, "tb_frame"),
    "f_globals": ("x = 1\nx.f_globals", 2, "f_globals"),
    "f_builtins": ("x = 1\nx.f_builtins", 2, "f_builtins"),
    "co_code": ("x = 1\nx.co_code", 2, "co_code"),
    # CVE-2025-22153: except* and what it wraps
    "except*": ("try: pass\nexcept* ValueError: pass", 1, "except*"),
    "except* of a base": ("try: pass\nexcept* BaseException as e: e.exceptions", 1, "except*"),
    # later entries of the changelog
    "positional-only": ("def f(__builtins__, /): pass", 1, "__builtins__"),
    "lambda argument": ("lambda __import__: 1", 1, "__import__"),
    "star argument": ("def f(*__import__): pass", 1, "__import__"),
    "keywords argument": ("def f(**__import__): pass", 1, "__import__"),
    "walrus": ("(__builtins__ := 1)", 1, "__builtins__"),
    "star target": ("a, *__builtins__ = [1]", 1, "__builtins__"),
    "for target": ("for __builtins__ in []: pass", 1, "__builtins__"),
    "with target": ("with mta as __builtins__: pass", 1, "__builtins__"),
    "except target": ("try: pass\nexcept ValueError as __builtins__: pass", 2, "__builtins__"),
    "comprehension target": ("[1 for __builtins__ in []]", 1, "__builtins__"),
    "match capture": ("match 1:\n    case __builtins__: pass", 2, "__builtins__"),
    "match star": ("match [1]:\n    case [*__builtins__]: pass", 2, "__builtins__"),
    "match rest": ("match {}:\n    case {**__builtins__}: pass", 2, "__builtins__"),
    "match class": ("match 1:\n    case int(__class__=c): pass", 2, "__class__"),
    "match guarded name": ("match 1:\n    case object(send=s): pass", 2, "send"),
    "match private": ("match 1:\n    case object(_secret=s): pass", 2, "_secret"),
    "match value": ("match 1:\n    case mta.Thing.__dict__: pass", 2, "__dict__"),
    "match arguments": ("class C:\n    __match_args__ = ('gi_frame',)", 2, "gi_frame"),
    "match arguments by name": ("class C:\n    __match_args__ = names", 2, "literal tuple"),
    "slots with a dict": ("class C:\n    __slots__ = ('__dict__',)", 2, "__dict__"),
    "import as": ("import json as __builtins__", 1, "__builtins__"),
    "from import as": ("from json import dumps as __import__", 1, "__import__"),
    "dotted import": ("import json.__init__", 1, "__init__"),
    "global": ("def f():\n    global __builtins__", 2, "__builtins__"),
    "del": ("del __builtins__", 1, "__builtins__"),
    "del attribute": ("x = 1\ndel x.__class__", 2, "__class__"),
    "augmented attribute": ("x = 1\nx.__class__ += 1", 2, "__class__"),
    "annotated attribute": ("x = 1\nx.__class__: int = 1", 2, "__class__"),
    "annotation": ("x: ().__class__ = 1", 1, "__class__"),
    "return annotation": ("def f() -> ().__class__: pass", 1, "__class__"),
    "slice of an attribute": ("x = [1][().__class__:]", 1, "__class__"),
    "conversion in an f-string": ("f'{().__class__!r}'", 1, "__class__"),
    "spec of an f-string": ("f'{1:{().__class__}}'", 1, "__class__"),
    "key of a dict": ("{().__class__: 1}", 1, "__class__"),
    "default": ("def f(x=().__class__): pass", 1, "__class__"),
    "keyword default": ("def f(*, x=().__class__): pass", 1, "__class__"),
    "base": ("class C(().__class__): pass", 1, "__class__"),
    "decorator": ("@().__class__\nclass C: pass", 1, "__class__"),
    "keyword of a class": ("class C(total=mta): pass", 1, "keyword"),
    "metaclass": ("class C(metaclass=mta): pass", 1, "metaclass"),
    "metaclass by keywords": ("class C(**{'metaclass': print}): pass", 1, "metaclass"),
    "raise from": ("raise ValueError from ().__class__", 1, "__class__"),
    "assert message": ("assert 1, ().__class__", 1, "__class__"),
    "yield": ("def f(): yield ().__class__", 1, "__class__"),
    "await": ("async def f(): await ().__class__", 1, "__class__"),
    "two underscores": (
        "class C:\n    def f(self): self.__x = 1",
        2,
        "begin private names with one",
    ),
    "async for": ("async def f():\n    async for x in y: pass", 2, "async for"),
    "async with": ("async def f():\n    async with x: pass", 2, "async with"),
    "async comprehension": ("async def f(): return [x async for x in y]", 1, "async"),
    "augmented slice": ("x = [1]\nx[0:] += [1]", 2, "slice"),
    **{
        f"method {name}": (f"class C:\n    def {name}(self): pass", 2, name)
        for name in (
            "__new__ __del__ __getattr__ __getattribute__ __setattr__ __delattr__ __dir__ "
            "__get__ __set__ __delete__ __set_name__ __init_subclass__ __class_getitem__ "
            "__instancecheck__ __subclasscheck__ __subclasshook__ __mro_entries__ __prepare__ "
            "__reduce__ __reduce_ex__ __getstate__ __setstate__ __copy__ __deepcopy__ "
            "__index__ __await__ __aiter__ __anext__ __aenter__ __length_hint__ __sizeof__"
        ).split()
    },
    **{
        f"builtin {name}": (f"x = 1\n{name}", 2, name)
        for name in (
            "eval exec compile open input globals locals vars dir breakpoint memoryview "
            "bytearray slice id exit quit help aiter anext SystemExit "
            "KeyboardInterrupt GeneratorExit ExceptionGroup BaseExceptionGroup"
        ).split()
    },
}

# Refused while running: body, what the operator reads.
AT_RUN = {
    # CVE-2023-41039 and CVE-2024-47532: formatting, string.Formatter, obj
    "format": ("'{0.harmless}'.format(mta)", "attributes are not available in str.format"),
    "format, nested spec": ("'{0:{1.real}}'.format(1, 2)", "attributes are not"),
    "format by the type": ("str.format('{0.real}', 1)", "attributes are not"),
    "format through map": ("list(map('{0.real}'.format, [1]))", "attributes are not"),
    "format through partial": (
        "import functools\nfunctools.partial('{0.real}'.format, 1)()",
        "attributes are not",
    ),
    "format by getattr of the type": (
        "getattr(str, 'format')('{0.real}', 1)",
        "attributes are not",
    ),
    "format_map by the type": ("str.format_map('{a.real}', {'a': 1})", "attributes are not"),
    "format as a key": ("sorted(['{0.real}'], key=str.format)", "attributes are not"),
    "string.Formatter": ("import string\nstring.Formatter", "no attribute 'Formatter'"),
    "obj": ("try: mta.nothing\nexcept AttributeError as e: e.obj", "'obj' of an exception"),
    "obj by getattr": (
        "try: mta.nothing\nexcept AttributeError as e: getattr(e, 'obj', 1)",
        "'obj' of an exception",
    ),
    "obj of a subclass": (
        "class E(AttributeError): pass\ntry: raise E\nexcept E as e: e.obj",
        "'obj' of an exception",
    ),
    # what waits, driven by hand
    "coroutine": ("async def f(): pass\nf().send(None)", "await it"),
    "coroutine, throw": ("async def f(): pass\nf().throw(ValueError)", "await it"),
    "coroutine by getattr": ("async def f(): pass\ngetattr(f(), 'send')", "await it"),
    "coroutine by map": ("async def f(): pass\nlist(map(getattr, [f()], ['send']))", "await it"),
    "coroutine, iterated": ("async def f(): pass\nlist(f())", "not iterable"),
    "coroutine, delegated": (
        "async def f(): pass\ndef g(): yield from f()\nnext(g())",
        "coroutine",
    ),
    "async generator": ("async def f():\n    yield 1\nnext(f())", "not an iterator"),
    # super
    "super shadowed": ("super = lambda: [1]\nsuper().__add__([2])", "super() is for"),
    "super of ours": ("super(mta.Thing, mta.Thing())._secret", "for scripts"),
    "super by name": (
        "class C:\n    def f(self):\n        s = super\n        return s(C, self)._secret\nC().f()",
        "no attribute '_secret'",
    ),
    # attributes of the program
    "private by getattr": ("getattr(mta.Thing(), '_secret')", "for scripts"),
    "private by map": ("list(map(getattr, [mta.Thing()], ['_secret']))", "for scripts"),
    "private with a default": ("getattr(mta.Thing(), '_secret', 1)", "for scripts"),
    "setattr": ("setattr(mta.Thing(), 'value', 2)", "cannot be set"),
    "setattr of the class": ("setattr(mta.Thing, 'value', 2)", "cannot be set"),
    "delattr": ("delattr(mta.Thing, 'value')", "cannot be set"),
    "attribute of a function": ("mta.harmless.x = 1", "cannot be set"),
    "attribute of a method": ("mta.Thing().method.x = 1", "cannot be set"),
    "attribute of a builtin": ("len.x = 1", "cannot be set"),
    "attribute of a type": ("int.x = 1", "cannot be set"),
    "attribute of a stand-in": ("import json\njson.JSONDecodeError.x = 1", "cannot be set"),
    "attribute of a pattern": ("import re\nre.compile('x').pattern = 1", "cannot be set"),
    "attribute of a partial": (
        "import functools\np = functools.partial(len)\np.x = 1",
        "cannot be set",
    ),
    "attribute of a typing alias": ("import typing\ntyping.List.x = 1", "cannot be set"),
    "walrus of names": ("n = '__' + 'class__'\ngetattr(1, n)", "__class__"),
    "name that is no text": (
        "class N:\n    def __str__(self): return '__class__'\ngetattr(1, N())",
        "string",
    ),
    "setattr dunder": ("class C: pass\nsetattr(C, '__getattr__', 1)", "cannot be set"),
    "setattr in a loop": (
        "class C: pass\nfor n in ['__del__']: setattr(C, n, print)",
        "cannot be set",
    ),
    "hasattr dunder": ("hasattr(1, '__class__')", "__class__"),
    "frozen table": ("mta.TABLE['b'] = 1", "does not support item assignment"),
    "base of ours": ("class C(mta.Thing): pass", "cannot be a base"),
    "base int": ("class C(int): pass", "cannot be a base"),
    "base bytes": ("class C(bytes): pass", "cannot be a base"),
    "base BaseException": ("class C(BaseException): pass", "cannot be a base"),
    "base type": ("class C(type(type)): pass", "type() is available"),
    "base generic": ("import typing\nclass C(typing.Mapping[str, int]): pass", "cannot be a base"),
    "base abc": ("import collections.abc as a\nclass C(a.Mapping): pass", "cannot be a base"),
    "keyword total": ("class C(total=1): pass", "keyword"),
    "type of ours": ("type(mta.Thing())", "type() is available"),
    "type, three": ("type('C', (), {})", "type() is available"),
    "type of bytes": ("type(bytes)", "type() is available"),
    "type of int": ("type(int)", "type() is available"),
    "mro": ("int.mro()", "'mro'"),
    "mro by getattr": ("getattr(bytes, 'mro')", "'mro'"),
    "abc register": ("import collections.abc as a\na.Sized.register(int)", "'register'"),
    "json hook": ("import json\njson.loads('{}', cls=1)", "unexpected keyword"),
    "json encoder": ("import json\njson.dumps(1, cls=mta.Thing)", "unexpected keyword"),
    "print to a file": ("print('x', file=mta)", "unexpected keyword"),
    "wraps of the program": (
        "import functools\n@functools.wraps(mta.harmless)\ndef f(): pass\ngetattr(f, '__wrapped__')",
        "__wrapped__",
    ),
    "dataclass of ours": (
        "import dataclasses\ndataclasses.asdict(mta.Thing())",
        "script's dataclass",
    ),
    "field name": ("import collections\ncollections.namedtuple('P', ['_x'])", "underscore"),
    "field name, typed": (
        "import typing\ntyping.NamedTuple('P', [('__dict__', int)])",
        "underscore",
    ),
    "forward reference": (
        "import typing\ngetattr(typing.Optional['mta.x'], '__args__')",
        "__args__",
    ),
    "uuid.os": ("import uuid\nuuid.os", "no attribute 'os'"),
    "json.codecs": ("import json\njson.codecs", "no attribute 'codecs'"),
    "datetime.sys": ("import datetime\ndatetime.sys", "no attribute 'sys'"),
    "collections.abc.sys": ("import collections.abc as a\na.sys", "no attribute 'sys'"),
    "functools.get_cache_token": ("import functools\nfunctools.get_cache_token", "no attribute"),
    "itertools itself": ("import itertools\ngetattr(itertools, '__spec__')", "__spec__"),
}


def _fire(folder: Path, body: str) -> Any:
    return load(folder, body).runtime.fire_nowait("probe")


@pytest.mark.parametrize("name", AT_LOAD)
def test_a_door_is_refused_at_load_with_its_line(tmp_path: Path, name: str) -> None:
    body, line, text = AT_LOAD[name]

    with pytest.raises(PolicyLoadError) as caught:
        load(tmp_path, body)

    # Four lines stand before the body.
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "init.py"), line + 4)
    assert text in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", AT_RUN)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_door_is_refused_in_the_call(tmp_path: Path, name: str) -> None:
    body, text = AT_RUN[name]

    with pytest.raises(HookFailedError) as caught:
        _fire(tmp_path, body)

    assert caught.value.file == str(tmp_path / "init.py")
    assert any(part in caught.value.message for part in text.split("|")), caught.value.message


@pytest.mark.parametrize("method", ["send", "throw"])
async def test_no_script_gets_hold_of_what_it_waits_for(tmp_path: Path, method: str) -> None:
    body = f"async def f(): await mta.pause(1)\nreturn f().{method}(None)"
    script = load(tmp_path, body, is_async=True)

    with pytest.raises(HookFailedError, match="await it"):
        await script.runtime.fire("probe")


async def test_a_coroutine_cannot_be_driven_through_its_abstract_class(tmp_path: Path) -> None:
    body = "import collections.abc as a\nasync def f(): await mta.pause(1)\nreturn a.Coroutine.send(f(), None)"
    script = load(tmp_path, body, is_async=True)

    with pytest.raises(HookFailedError):
        await script.runtime.fire("probe")


def test_a_script_cannot_write_into_another(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("LIMIT = 1\n_hidden = 2\ndef f(): return LIMIT\n")

    for body in (
        "import tenants\ntenants.LIMIT = 2",
        "import tenants\nsetattr(tenants, 'LIMIT', 2)",
        "import tenants\ndel tenants.LIMIT",
        "import tenants\nfor tenants.LIMIT in [2]: pass",
        "import tenants\ntenants.LIMIT += 1",
    ):
        with pytest.raises(HookFailedError, match="cannot be set"):
            _fire(tmp_path, body)
    assert _fire(tmp_path, "import tenants\nreturn tenants.f(), tenants._hidden") == (1, 2)


def test_a_builtin_replaced_in_one_script_stays_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("len = lambda x: 99\nprint = None\n")

    assert _fire(tmp_path, "import tenants\nreturn len('abc')") == 3


def test_epochs_share_no_stand_in(tmp_path: Path) -> None:
    first = load(tmp_path, "import random\nrandom.seed(1)\nreturn random.random()")
    second = load(tmp_path, "import random\nreturn random.random()")

    assert first.runtime.fire_nowait("probe") != second.runtime.fire_nowait("probe")


def test_a_caught_refusal_of_the_sandbox_gives_nothing(tmp_path: Path) -> None:
    body = "try: mta.Thing()._secret\nexcept TypeError as e: return e.args[0]"

    assert "for scripts" in _fire(tmp_path, body)
