"""YAML as version 1.2 has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.script_modules.yaml_text import YamlError, format_yaml, parse_yaml

pytest.importorskip("yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2030-01-31", "2030-01-31"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("'1'", "1"),
        ("=", "="),
        ("<", "<"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text, value):
    found = parse_yaml(text)

    assert found == value and type(found) is type(value)


def test_merging_keeps_what_is_written():
    text = "base: &b {x: 1, y: 2}\nmade: &m {<<: *b, x: 3}\nlast: {<<: *m, z: 4}\n"

    assert parse_yaml(text)["last"] == {"x": 3, "y": 2, "z": 4}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands twice"),
        ("a: [", "line"),
        ("a: *gone", "line 1"),
        ("--- 1\n--- 2", "line 2"),
        ("!!python/name:os.system", "line 1"),
        ("!!timestamp 2030-01-31", "line 1"),
        ("!!bool maybe", "does not fit its tag"),
        ("!!int x", "does not fit its tag"),
        ("a: {<<: 5}", "line 1: << wants a table"),
        ("? [a]\n: 1", "line 1"),
        ("\x00", "control characters"),
    ],
)
def test_what_is_none_says_where(text, reason):
    with pytest.raises(YamlError, match=reason):
        parse_yaml(text)


def test_merging_makes_no_huge_table():
    text = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\n"
    text += "".join(f"t{n}: {{<<: *a}}\n" for n in range(60))

    with pytest.raises(YamlError, match="merging makes too many values"):
        parse_yaml(text)


def test_of_several_merged_tables_the_first_wins():
    text = "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 0}\n"

    assert parse_yaml(text)["c"] == {"x": 1, "y": 3, "z": 0}


def test_a_table_that_merges_itself_ends():
    assert parse_yaml("a: &a {<<: *a, x: 1}") == {"a": {"x": 1}}


PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTABLE,
    lambda inner: st.lists(inner) | st.dictionaries(PRINTABLE, inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(VALUES)
def test_what_is_written_is_read_back(value):
    assert parse_yaml(format_yaml(value)) == value


@pytest.mark.parametrize("text", ["0E0", "1e5", "0o17", "0x1F", "010", "yes", "~", "", "<<", ".5"])
def test_text_that_looks_like_something_else_stays_text(text):
    assert parse_yaml(format_yaml({"a": text, text: 1})) == {"a": text, text: 1}


def test_what_stands_twice_is_written_twice():
    shared = [1]

    assert "&" not in format_yaml({"a": shared, "b": shared})


def test_what_yaml_does_not_know_is_an_error():
    with pytest.raises(YamlError, match="cannot hold this"):
        format_yaml({"a": object()})
