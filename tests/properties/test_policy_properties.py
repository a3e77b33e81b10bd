"""Confined code means what it means in Python, whatever the values."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policy.budget import Budget
from policy.guards import Guards
from policy.hook import Hook
from policy.sandbox_names import MAX_SPEC_CHARACTERS
from policy.stand_in_regex import RegexEngine
from policy.testing import LoadedScript

_SOURCE = """
from mta import on

@on("probe")
def probe(a, b):
    results = []
    for operation in (
        lambda: a + b, lambda: a * b, lambda: a % b, lambda: a ** b, lambda: a << b,
        lambda: a == b, lambda: a < b, lambda: a in b, lambda: [*a, *b], lambda: {**a, **b},
        lambda: f"{a}{b!r:>5}", lambda: f"{a:{b}}", lambda: str(a) + repr(b), lambda: sorted(a),
        lambda: max(a, key=str), lambda: list(zip(a, b)), lambda: sum(a, b), lambda: a.join(b),
        lambda: a.replace(a, b), lambda: a.split(b), lambda: a.strip(b), lambda: hash(a) == hash(b),
        lambda: int(a), lambda: int(a, b), lambda: bytes(a), lambda: a[b],
        lambda: list(map(str, a)),
        lambda: round(a, b), lambda: pow(a, b, 7), lambda: a.format(b), lambda: a.encode(),
    ):
        try:
            results.append(operation())
        except RecursionError:
            raise
        except Exception as error:
            results.append(type(error).__name__)
    try:
        c = a
        c += b
        results.append(c)
        c *= 2
        results.append(c)
    except Exception as error:
        results.append(type(error).__name__)
    return results
"""

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-40, 40),
    st.integers(-99, 99).map(lambda number: number / 4),
    st.text("ab{}%01 -", max_size=6),
    st.binary(max_size=4),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    ),
    max_leaves=5,
)


def _script() -> LoadedScript:
    folder = Path(tempfile.mkdtemp())
    hook = Hook("probe", ("a", "b"), result=(list,), cpu_budget_s=5.0)
    return LoadedScript(folder, _SOURCE, (hook,))


_confined = _script()
_plain: dict[str, Any] = {}
exec(_SOURCE.replace('from mta import on\n\n@on("probe")', ""), _plain)  # noqa: S102 - our own text


def _copy(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(item) for item in value)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value


@settings(max_examples=300, deadline=None)
@given(_values, _values)
def test_confined_operations_answer_as_plain_ones(a: Any, b: Any) -> None:
    # A longer one is no format specification that scripts may have.
    assume(len(str(b)) <= MAX_SPEC_CHARACTERS)
    confined = _confined.runtime.fire_nowait("probe", _copy(a), _copy(b))
    plain = _plain["probe"](_copy(a), _copy(b))

    assert repr(confined) == repr(plain)


@settings(max_examples=300, deadline=None)
@given(st.text("ab{}0:>!r.%d", max_size=12), st.lists(st.integers(0, 9), max_size=3))
def test_formats_without_attributes_answer_as_plain_ones(text: str, values: list[int]) -> None:
    budget = Budget()
    budget.enter(10**12)
    guards = Guards(budget)

    def outcome(function: Any) -> str:
        try:
            return repr(function())
        except Exception as error:  # noqa: BLE001 - both sides are held against each other
            return type(error).__name__

    if "." not in text:
        confined = outcome(lambda: guards.attribute(text, "format")(*values))
        assert confined == outcome(lambda: text.format(*values))
    confined = outcome(lambda: guards.mod(text, tuple(values)))
    assert confined == outcome(lambda: text % tuple(values))


_patterns = st.lists(
    st.sampled_from(
        ["a", "b", "(a)", "a*", "b+", "(a|b)", "[ab]", "^", "$", r"\w", "(?:ab)?", "."]
    ),
    min_size=1,
    max_size=4,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(_patterns, st.text("ab c", max_size=10))
def test_patterns_find_what_the_standard_module_finds(pattern: str, text: str) -> None:
    budget = Budget()
    budget.enter(10**12)
    ours, real = RegexEngine(budget).compile(pattern), re.compile(pattern)

    found, wanted = ours.search(text), real.search(text)

    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert (found.span(), found.group()) == (wanted.span(), wanted.group())
