"""Every key of a data file is found again in its line; what is no file is an error with a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.data_file import DataFileError, load_data_file, parse_data_file

TOML = b"""\
title = "x"
a.b = 1

["big.example"]
connection_limit = 10
"quoted key" = { inner = [1, 2], other = "y" }

[[automation]]
regex = [
  "one",  # a comment
  "two",
]

[[automation]]
regex = "three"

[automation.trigger]
Threshold = "1/hr"

[[automation.step]]
name = "deep"
"""


def test_toml_keys_are_found_in_their_lines():
    file = parse_data_file(TOML, "x.toml", is_json=False)

    assert file.values["automation"][1]["step"][0]["name"] == "deep"
    found = {
        path: file.line_of(*path)
        for path in (
            ("title",),
            ("a", "b"),
            ("big.example",),
            ("big.example", "connection_limit"),
            ("big.example", "quoted key", "inner", 1),
            ("automation", 0, "regex", 0),
            ("automation", 0, "regex", 1),
            ("automation", 1, "regex"),
            ("automation", 1, "trigger", "Threshold"),
            ("automation", 1, "step", 0, "name"),
        )
    }
    assert list(found.values()) == [1, 2, 4, 5, 6, 10, 11, 15, 18, 21]


def test_a_table_that_only_begins_a_longer_header_has_its_line():
    file = parse_data_file(b"x = 1\n[a.b]\nc = 2\n[a.d]\n", "x.toml", is_json=False)

    assert (file.line_of("a"), file.line_of("a", "b"), file.line_of("a", "d")) == (2, 2, 4)


def test_json_keys_are_found_in_their_lines():
    raw = b'{\n "a": {\n  "b.c": [1,\n   {"d": 2}]\n },\n "\\u00e4": null\n}\n'

    file = parse_data_file(raw, "x.json", is_json=True)

    assert file.values == {"a": {"b.c": [1, {"d": 2}]}, "ä": None}
    assert [
        file.line_of("a"),
        file.line_of("a", "b.c"),
        file.line_of("a", "b.c", 1, "d"),
        file.line_of("ä"),
    ] == [2, 3, 4, 6]


def test_what_is_not_there_has_the_line_of_what_is_around_it():
    file = parse_data_file(TOML, "x.toml", is_json=False)

    assert file.line_of("big.example", "nothing", "deeper") == 4
    assert file.line_of("nothing") is None


@pytest.mark.parametrize(
    ("raw", "is_json", "line"),
    [
        (b"a = 1\nb = = 2\n", False, 2),
        (b"a = 1\n\n[table\n", False, 3),
        (b'{\n"a": 1,\n}', True, 3),
        (b"[1]", True, 1),
        (b"a = 1\nb = '\xff'\n", False, 2),
        (b'{"a": "\xff"}', True, 1),
    ],
)
def test_what_is_no_data_file_is_an_error_with_its_line(raw, is_json, line):
    with pytest.raises(DataFileError) as caught:
        parse_data_file(raw, "x", is_json=is_json)

    assert caught.value.line == line
    assert str(caught.value).startswith(f"x:{line}: ")


@pytest.mark.parametrize("raw", [b"a = 1\na = 2\n", b"[a]\n[a]\n"])
def test_a_key_given_twice_is_an_error(raw):
    with pytest.raises(DataFileError, match="no TOML"):
        parse_data_file(raw, "x", is_json=False)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(DataFileError, match="none.toml: cannot be read"):
        load_data_file(tmp_path / "none.toml")


def test_the_suffix_says_what_it_is(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1}')
    (tmp_path / "x.toml").write_text("\ufeffa = 1\r\n")

    assert load_data_file(tmp_path / "x.json").values == {"a": 1}
    assert load_data_file(tmp_path / "x.toml", "mine").name == "mine"
    assert load_data_file(tmp_path / "x.toml").values == {"a": 1}


def paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = set()
    for key, inner in items:
        found.add((*path, key))
        if isinstance(inner, dict | list):
            found |= paths(inner, (*path, key))
    return found


trees = st.recursive(
    st.one_of(st.integers(), st.text(max_size=5), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), trees, max_size=4), st.sampled_from([None, 1]))
def test_every_path_of_a_json_file_has_a_line(tree, indent):
    file = parse_data_file(json.dumps(tree, indent=indent).encode(), "x", is_json=True)

    assert file.values == tree
    assert set(file.lines) == paths(tree)


@given(st.binary(max_size=60), st.booleans())
def test_any_octets_are_a_file_or_an_error(raw, is_json):
    try:
        parse_data_file(raw, "x", is_json=is_json)
    except DataFileError:
        return
