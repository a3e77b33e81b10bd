"""What is written as TOML is read back as it was."""

from __future__ import annotations

import datetime
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.script_modules.toml_text import format_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


@pytest.mark.slow
@given(st.dictionaries(TEXT, VALUES), st.booleans())
def test_a_table_is_read_back_as_it_was(table, is_pretty):
    assert tomllib.loads(format_toml(table, is_pretty=is_pretty)) == table


def test_tables_come_after_plain_values():
    text = format_toml({"t": {"x": 1, "u": {"y": 2}}, "a": 1, "l": [{"b": 1}, {"c": {"d": 2}}]})

    assert text.startswith("a = 1\n\n[t]\n")
    assert tomllib.loads(text)["l"] == [{"b": 1}, {"c": {"d": 2}}]


def test_empty_things():
    assert format_toml({}) == ""
    table = {"a": [], "b": {}, "c": [{}], "": "x"}
    assert tomllib.loads(format_toml(table)) == table


def test_pretty_lists_have_a_line_for_each():
    assert (
        format_toml({"a": [1, 2], "b": [1]}, is_pretty=True)
        == "a = [\n    1,\n    2,\n]\nb = [1]\n"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300, 1e16])
def test_floats_stay_floats(value):
    found = tomllib.loads(format_toml({"a": value}))["a"]

    assert type(found) is float
    assert found == value or value != value


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"a": None}, "no NoneType"),
        ({"a": [None]}, "no NoneType"),
        ({1: 1}, "key of TOML is text"),
        ({"a": 2**63}, "64 bits"),
        ({"a": b"x"}, "no bytes"),
        ({"a": datetime.timedelta(1)}, "no timedelta"),
    ],
)
def test_what_toml_does_not_know_is_an_error(table, reason):
    with pytest.raises((TypeError, ValueError), match=reason):
        format_toml(table)
