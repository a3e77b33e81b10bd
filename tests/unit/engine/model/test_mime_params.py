"""Values with parameters: read from what is out there, written so that all read them."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.header_encoding import clean_value, fold_field
from engine.model.mime_params import (
    MimeParams,
    format_mime_params,
    parse_mime_params,
    to_mime_params,
)


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ('a/b; c="d; e"; f=g', "a/b", {"c": "d; e", "f": "g"}),
        ('a/b; c="d\\"e"', "a/b", {"c": 'd"e'}),
        ("a/b (x); c=d (y)", "a/b", {"c": "d"}),
        ("a/b; c=d; c=e", "a/b", {"c": "d"}),
        ("a/b;c=d;", "a/b", {"c": "d"}),
        ("a/b;; c = d", "a/b", {"c": "d"}),
        ("a/b; n=a b.txt", "a/b", {"n": "a b.txt"}),
        ('a/b; n="open', "a/b", {"n": "open"}),
        ("x; n*=utf-8''%C3%BC", "x", {"n": "ü"}),
        ("x; n*=iso-8859-1'de'%FC; n=u", "x", {"n": "ü"}),
        ("x; n*0=a; n*1=b; n*2=c", "x", {"n": "abc"}),
        ("x; n*1*=%20b; n*0*=utf-8''%C3; n*3=gone", "x", {"n": "\ufffd b"}),
        ('x; n="=?utf-8?B?w7w=?="', "x", {"n": "ü"}),
        ("", "", {}),
        ("(open", "", {}),
    ],
)
def test_values_are_read(text, value, parameters):
    assert parse_mime_params(text) == MimeParams(value, parameters)


@given(st.text(st.sampled_from("ab=;\"\\*' 01%()"), max_size=80) | st.text(max_size=80))
def test_reading_never_fails(text):
    assert isinstance(parse_mime_params(text), MimeParams)


@pytest.mark.parametrize("text", [";" * 65_000, ';a="' * 16_000, "; a" * 20_000, "(" * 65_000])
def test_hostile_values_take_no_time(text):
    parse_mime_params(text)


@given(
    st.text(
        st.characters(
            blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Cf"],
            whitelist_characters=' "\\;',
        ),
        max_size=600,
    )
)
def test_what_is_written_is_read_again(name):
    value = clean_value(name)
    params = MimeParams("attachment", {"filename": value})

    field = fold_field("Content-Disposition", format_mime_params(params))

    assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    text = field.partition(b":")[2].decode().replace("\r\n", "")
    if "=?" not in value:
        assert parse_mime_params(text) == params
        parsed = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)
        # The library takes angle brackets around a whole value for quotes.
        if not (value.startswith("<") and value.endswith(">")):
            assert (parsed.get_filename() or "").strip() == value


@pytest.mark.parametrize(
    "value",
    [
        "text/plain; a=b",
        MimeParams("text/plain", {"a": "b"}),
        {"value": "Text/Plain", "parameters": {"A": "b"}},
    ],
)
def test_values_are_given_in_many_forms(value):
    assert str(to_mime_params(value)) == "text/plain; a=b"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", ValueError),
        ("a b", ValueError),
        ({"value": 1}, TypeError),
        ({"value": "a/b", "parameters": 1}, TypeError),
        (7, TypeError),
    ],
)
def test_what_is_no_value(value, error):
    with pytest.raises(error):
        to_mime_params(value if value != "a b" else MimeParams("a b"))


def test_a_parameter_that_could_not_stand_there_is_refused():
    for params in (MimeParams("a/b", {"a b": "c"}), MimeParams("a/b", {"c": "x" * 40_000})):
        with pytest.raises(ValueError):
            format_mime_params(params)
