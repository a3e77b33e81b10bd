"""Stand-ins for harmless standard modules: each a list of names, never the module itself.

Place in flow: ``script_api`` adds them to what scripts may import; built per epoch, because
what iterates counts against the epoch's budget.

Invariants:
    * No name leads to a module: ``uuid.os`` and ``json.codecs.open`` do not exist here.
    * What takes an amount (bytes, digits, repetitions, indent) bounds it.
"""

from __future__ import annotations

import base64
import collections
import collections.abc
import dataclasses
import datetime
import functools
import hashlib
import json
import random
import string
import textwrap
import typing
import uuid
from collections.abc import Callable
from types import FunctionType
from typing import Any

from policy import script_types
from policy.budget import LARGE_ITEMS, Budget
from policy.errors import ConfinementError, LimitExceededError
from policy.guards import Guards, is_script_class, is_script_function
from policy.stand_in_ipaddress import ipaddress_names
from policy.stand_in_itertools import itertools_names
from policy.stand_in_math import math_names
from policy.stand_in_regex import RegexEngine

MODULE_NAMES = frozenset(
    {
        "__future__",
        "base64",
        "collections",
        "collections.abc",
        "dataclasses",
        "datetime",
        "functools",
        "hashlib",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "random",
        "re",
        "string",
        "textwrap",
        "typing",
        "uuid",
    }
)

MAX_JSON_CHARACTERS = 8 * 1024 * 1024
NS_PER_CODED_BYTE = 80
NS_PER_JSON_CHARACTER = 4
NS_PER_JSON_VALUE = 100
BYTES_PER_JSON_VALUE = 64
MAX_WRAPPED_CHARACTERS = 200_000
NS_PER_WRAPPED_CHARACTER = 100
MAX_WRAPPED_COLUMNS = 10_000
MAX_JSON_INDENT = 16
MAX_RANDOM_ITEMS = 100_000
NS_PER_RANDOM_ITEM = 400
MAX_NAMED_FIELDS = 1_000
MAX_CACHE_SIZE = 65_536


def build_stand_ins(guards: Guards, engine: RegexEngine) -> dict[str, dict[str, Any]]:
    """Return, for each module name, the names it gives."""
    budget = guards.budget
    return {
        "__future__": {"annotations": None},
        "base64": _base64(budget),
        "collections": _collections(guards),
        "collections.abc": _named(
            collections.abc,
            "Awaitable Callable Collection Container Coroutine Generator Hashable Iterable "
            "Iterator Mapping MutableMapping MutableSequence MutableSet Reversible Sequence Set "
            "Sized KeysView ValuesView ItemsView",
        ),
        "dataclasses": _dataclasses(guards),
        "datetime": _named(datetime, "date datetime time timedelta timezone UTC MINYEAR MAXYEAR"),
        "functools": _functools(guards),
        "hashlib": _hashlib(budget),
        "ipaddress": ipaddress_names(guards),
        "itertools": itertools_names(guards),
        "json": _json(guards),
        "math": math_names(guards),
        "random": _random(budget),
        "re": engine.names(),
        "string": _named(
            string,
            "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits "
            "punctuation printable whitespace",
        )
        | {"capwords": _capwords(guards)},
        "textwrap": _textwrap(budget),
        "typing": _typing(),
        "uuid": _named(
            uuid,
            "UUID uuid3 uuid4 uuid5 NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500",
        ),
    }


def _named(module: Any, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}


def _capwords(guards: Guards) -> Callable[..., str]:
    def capwords(text: str, sep: str | None = None) -> str:
        words = guards.methods[str, "split"](text, sep)
        joined: str = guards.methods[str, "join"](sep or " ", map(str.capitalize, words))
        return joined

    return capwords


def _base64(budget: Budget) -> dict[str, Any]:
    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def code(data: Any, *args: Any, **options: Any) -> Any:
            # The most a byte becomes: four, in base85.
            budget.account_text(4 * len(data))
            budget.afford(len(data) * NS_PER_CODED_BYTE)
            return function(data, *args, **options)

        return code

    names = (
        "b64encode b64decode standard_b64encode standard_b64decode urlsafe_b64encode "
        "urlsafe_b64decode b32encode b32decode b32hexencode b32hexdecode b16encode b16decode "
        "a85encode a85decode b85encode b85decode encodebytes decodebytes"
    )
    return {name: counted(function) for name, function in _named(base64, names).items()}


class Counter(collections.Counter[Any]):
    """A counter of numbers: what adds in C would let lists and texts grow unseen."""

    def update(self, iterable: Any = None, /, **counts: Any) -> None:
        """Add counts."""
        super().update(_numbers(iterable), **_numbers(counts))

    def subtract(self, iterable: Any = None, /, **counts: Any) -> None:
        """Take counts away."""
        super().subtract(_numbers(iterable), **_numbers(counts))

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        return super().__iadd__(_numbers(other))

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return super().__isub__(_numbers(other))


def _numbers(counts: Any) -> Any:
    if isinstance(counts, dict) and not all(
        isinstance(count, (int, float)) for count in counts.values()
    ):
        raise ConfinementError("a Counter counts in numbers")
    return counts


def _collections(guards: Guards) -> dict[str, Any]:
    def namedtuple(
        typename: str, field_names: Any, *, rename: bool = False, defaults: Any = None
    ) -> Any:
        names = field_names if isinstance(field_names, str) else list(field_names)
        if len(names) > MAX_NAMED_FIELDS * (20 if isinstance(names, str) else 1):
            raise LimitExceededError(f"more than {MAX_NAMED_FIELDS} fields in a named tuple")
        guards.budget.check()
        return collections.namedtuple(
            typename,
            names,
            rename=rename,
            defaults=defaults,
            module="policy.script",
        )

    return {
        **_named(collections, "ChainMap OrderedDict defaultdict deque"),
        "Counter": Counter,
        "namedtuple": namedtuple,
    }


def _of_script(function: Callable[..., Any], *, kind: str) -> Callable[..., Any]:
    """Keep a class decorator from changing a class of the program."""

    def apply(target: Any = None, /, **options: Any) -> Any:
        if target is None:
            return lambda late: apply(late, **options)
        if not (isinstance(target, type) and is_script_class(target)):
            raise ConfinementError(f"{kind} takes a class of a script")
        module, target.__module__ = target.__module__, script_types.__name__
        try:
            made = function(target, **options)
        finally:
            target.__module__ = module
        made.__module__ = module
        return made

    return apply


def _dataclasses(guards: Guards) -> dict[str, Any]:
    def converted(value: Any, make: Callable[[list[tuple[str, Any]]], Any]) -> Any:
        # Not the library's: it copies leaves deeply, and counts nothing.
        guards.budget.tick()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return make([(name, converted(getattr(value, name), make)) for name in names])
        if isinstance(value, dict):
            return {converted(key, make): converted(item, make) for key, item in dict.items(value)}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*[converted(item, make) for item in value])
        if type(value) in (list, tuple, set, frozenset):
            return type(value)([converted(item, make) for item in value])
        return value

    def checked(value: Any) -> Any:
        if not (dataclasses.is_dataclass(value) and is_script_class(type(value))):
            raise ConfinementError("only an instance of a script's dataclass can be converted")
        return value

    def asdict(obj: Any, *, dict_factory: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
        return converted(checked(obj), dict_factory)

    def astuple(obj: Any, *, tuple_factory: Callable[[list[Any]], Any] = tuple) -> Any:
        return converted(
            checked(obj), lambda pairs: tuple_factory([value for _name, value in pairs])
        )

    return {
        **_named(
            dataclasses, "field fields is_dataclass replace KW_ONLY InitVar FrozenInstanceError"
        ),
        "asdict": asdict,
        "astuple": astuple,
        "dataclass": _of_script(dataclasses.dataclass, kind="dataclass"),
    }


def _functools(guards: Guards) -> dict[str, Any]:
    def wraps(wrapped: Any, *_names: Any) -> Callable[[Any], Any]:
        def decorate(wrapper: Any) -> Any:
            if is_script_function(wrapper) and isinstance(wrapped, FunctionType):
                wrapper.__name__, wrapper.__doc__ = wrapped.__name__, wrapped.__doc__
            return wrapper

        return decorate

    def reduce(function: Callable[[Any, Any], Any], items: Any, *initial: Any) -> Any:
        return functools.reduce(function, guards.counted(items), *initial)

    def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
        if callable(maxsize):
            return functools.lru_cache(128)(maxsize)
        size = MAX_CACHE_SIZE if maxsize is None else min(maxsize, MAX_CACHE_SIZE)
        return functools.lru_cache(size, typed)

    def cache(function: Callable[..., Any]) -> Any:
        return functools.lru_cache(MAX_CACHE_SIZE)(function)

    return {
        **_named(functools, "partial cmp_to_key cached_property"),
        "cache": cache,
        "lru_cache": lru_cache,
        "reduce": reduce,
        "total_ordering": _of_script(functools.total_ordering, kind="total_ordering"),
        "wraps": wraps,
    }


def _hashlib(budget: Budget) -> dict[str, Any]:
    plain = [
        "md5",
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "sha3_224",
        "sha3_256",
        "sha3_384",
        "sha3_512",
    ]

    def counted(make: Callable[..., Any]) -> Callable[..., Any]:
        def digest(data: bytes = b"", **options: Any) -> Any:
            budget.account_text(len(data))
            return make(data, **options)

        return digest

    names = {name: counted(getattr(hashlib, name)) for name in [*plain, "blake2b", "blake2s"]}

    def new(name: str, data: bytes = b"") -> Any:
        if name not in names:
            raise ValueError(f"unsupported hash type {name}")
        return names[name](data)

    return {**names, "new": new}


def _json(guards: Guards) -> dict[str, Any]:
    def dumps(
        obj: Any,
        *,
        indent: Any = None,
        sort_keys: bool = False,
        ensure_ascii: bool = True,
        separators: Any = None,
        default: Any = None,
        allow_nan: bool = True,
    ) -> str:
        if isinstance(indent, int) and indent > MAX_JSON_INDENT:
            raise LimitExceededError(f"an indent of more than {MAX_JSON_INDENT} is not allowed")
        guards.shown_size(obj)

        def shown(value: Any) -> Any:
            made = default(value)
            guards.shown_size(made)
            return made

        return guards.sized(
            json.dumps(
                obj,
                indent=indent[:MAX_JSON_INDENT] if isinstance(indent, str) else indent,
                sort_keys=sort_keys,
                ensure_ascii=ensure_ascii,
                separators=separators,
                default=None if default is None else shown,
                allow_nan=allow_nan,
            )
        )

    def loads(text: Any, *, object_hook: Any = None, object_pairs_hook: Any = None) -> Any:
        if len(text) > MAX_JSON_CHARACTERS:
            raise LimitExceededError("this JSON text is too large for a policy script")
        guards.budget.account_text(len(text))
        if len(text) >= LARGE_ITEMS:
            marks = ("[", "{", ",") if isinstance(text, str) else (b"[", b"{", b",")
            values = sum(text.count(mark) for mark in marks)
            guards.budget.account(values * BYTES_PER_JSON_VALUE)
            guards.budget.afford(len(text) * NS_PER_JSON_CHARACTER + values * NS_PER_JSON_VALUE)
        return json.loads(text, object_hook=object_hook, object_pairs_hook=object_pairs_hook)

    return {"dumps": dumps, "loads": loads, "JSONDecodeError": json.JSONDecodeError}


def _random(budget: Budget) -> dict[str, Any]:
    # Its own generator: a script that seeds must not make the node's jitter predictable.
    source = random.Random()  # noqa: S311 - policy scripts sample mail with it

    def choices(
        population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1
    ) -> Any:
        _check_amount(k)
        return source.choices(population, weights, cum_weights=cum_weights, k=k)

    def getrandbits(k: int) -> int:
        _check_amount(k)
        return source.getrandbits(min(k, 16_384))

    def randbytes(n: int) -> bytes:
        _check_amount(n)
        return source.randbytes(n)

    def shuffle(x: list[Any]) -> None:
        budget.afford(len(x) * NS_PER_RANDOM_ITEM)
        source.shuffle(x)

    def sample(population: Any, k: int, *, counts: Any = None) -> list[Any]:
        _check_amount(k)
        budget.afford(k * NS_PER_RANDOM_ITEM)
        if counts is not None:
            counts = list(counts)
            _check_amount(sum(counts))
        return source.sample(population, k, counts=counts)

    names = (
        "random uniform randint randrange choice seed gauss triangular "
        "expovariate betavariate normalvariate"
    )
    return {
        **_named(source, names),
        "choices": choices,
        "getrandbits": getrandbits,
        "randbytes": randbytes,
        "sample": sample,
        "shuffle": shuffle,
    }


def _check_amount(count: int) -> None:
    if count > MAX_RANDOM_ITEMS:
        raise LimitExceededError(f"{count} random values are more than {MAX_RANDOM_ITEMS}")


def _textwrap(budget: Budget) -> dict[str, Any]:
    def bounded(function: Callable[..., Any], columns: int) -> Callable[..., Any]:
        def run(text: str, *args: Any, **options: Any) -> Any:
            given = [*args, *options.values()]
            prefixes = [value for value in given if isinstance(value, str)]
            widths = [value for value in given if isinstance(value, int)]
            if (
                len(text) > MAX_WRAPPED_CHARACTERS
                or any(len(value) > 200 for value in prefixes)
                or any(value > MAX_WRAPPED_COLUMNS for value in widths)
            ):
                raise LimitExceededError("this text is too long or wide for textwrap in a script")
            # A long word is cut from its front, once for each line.
            width = max(1, min(widths, default=columns))
            budget.afford(len(text) * NS_PER_WRAPPED_CHARACTER + len(text) ** 2 // width // 32)
            return function(text, *args, **options)

        return run

    return {
        name: bounded(getattr(textwrap, name), columns=70)
        for name in ("wrap", "fill", "shorten", "dedent", "indent")
    }


def _typing() -> dict[str, Any]:
    names = (
        "Any Annotated Awaitable Callable ClassVar Coroutine Dict Final FrozenSet Generator "
        "Generic Iterable Iterator List Literal LiteralString Mapping MutableMapping "
        "MutableSequence NamedTuple Never NewType NoReturn NotRequired Optional ParamSpec "
        "Protocol Required Self Sequence Set Tuple Type TypeAlias TypeGuard TypeVar TypedDict Union"
    )
    return {
        **_named(typing, names),
        "TYPE_CHECKING": False,
        "cast": lambda _kind, value: value,
        "final": lambda target: target,
        "overload": lambda target: target,
    }
