"""Header fields read and changed without touching any other octet."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.header_block import (
    decode_value,
    find_all,
    find_first,
    format_field,
    header_end,
    iter_fields,
    remove_all,
)

MAIL = b"Subject: one\r\n two\r\nX-A: 1\r\nnot a field\r\nx-a : 2\r\n\tmore\r\n\r\nX-A: body\r\n"
octets = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"A", b"X-A", b": ", b":", b" ", b"\t", b"v", b"\xff"]),
    max_size=30,
).map(b"".join)


@pytest.mark.parametrize(
    ("content", "end"),
    [(b"", 0), (b"\r\nbody", 0), (b"a: b\r\n\r\nbody", 6), (b"a: b\r\n", 6), (b"a: b", 4)],
)
def test_the_header_ends_before_the_empty_line(content, end):
    assert header_end(content) == end


def test_fields_are_found_whatever_their_case_and_never_in_the_body():
    assert find_first(MAIL, "x-a") == b" 1"
    assert find_all(MAIL, "X-A") == [b" 1", b" 2\r\n\tmore"]
    assert find_first(MAIL, "subject") == b" one\r\n two"
    assert find_first(MAIL, "A") is None
    assert find_first(b"\r\nSubject: body\r\n", "Subject") is None


def test_fields_come_in_order_and_other_lines_are_passed_by():
    fields = list(iter_fields(MAIL))

    assert [(name, raw) for name, raw, _, _ in fields] == [
        ("Subject", b" one\r\n two"),
        ("X-A", b" 1"),
        ("x-a", b" 2\r\n\tmore"),
    ]
    assert MAIL[fields[1][2] : fields[1][3]] == b"X-A: 1\r\n"


def test_removing_leaves_every_other_octet():
    assert remove_all(MAIL, {"x-a"}) == b"Subject: one\r\n two\r\nnot a field\r\n\r\nX-A: body\r\n"
    assert remove_all(MAIL, {"absent"}) is MAIL


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" plain ", "plain"),
        (b" one\r\n two", "one two"),
        (b" =?utf-8?q?gr=C3=BC=C3=9F?= you", "gr\u00fc\u00df you"),
        (b" =?utf-8?b?Z3LDvMOf?=", "gr\u00fc\u00df"),
        (b" =?x-none?q?a?=", "=?x-none?q?a?="),
        (b" =?utf-8?b?Z?=", "=?utf-8?b?Z?="),
        (b" =?utf-8?b?Z?= =?utf-8?q?a?=", "=?utf-8?b?Z?= a"),
        (b" a =?utf-8?q?b_c?=  =?iso-8859-1?q?=FC?= d", "a b c\u00fc d"),
        (b" =?utf-8?q?=C3?=\r\n =?utf-8?q?=BC?=", "\u00fc"),
        (b" =?utf-8*de?Q?two words?=", "two words"),
        (b" =?utf-8?b?Zg?=", "f"),
        (
            b" =?rot13?q?a?= =?undefined?q?a?= =?idna?q?=FF?=",
            "=?rot13?q?a?= =?undefined?q?a?= =?idna?q?=FF?=",
        ),
        (b" =?utf-8?q?=ZZx?=", "=ZZx"),
        (b" =? =?= ?=", "=? =?= ?="),
        ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
        (b"\xff", "\ufffd"),
    ],
)
def test_values_are_unfolded_and_decoded(raw, text):
    assert decode_value(raw) == text


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("X-A", "1", b"X-A: 1\r\n"),
        ("X-A", "a\n b", b"X-A: a\r\n b\r\n"),
        ("X-A", "a\r\n\tb", b"X-A: a\r\n\tb\r\n"),
        ("X-A", "gr\u00fc\u00df", "X-A: gr\u00fc\u00df\r\n".encode()),
    ],
)
def test_a_field_is_written_as_given(name, value, field):
    assert format_field(name, value) == field


def test_a_field_is_encoded_when_asked_for():
    field = format_field("Subject", "gr\u00fc\u00df " * 30, encode=True)

    assert field.isascii()
    assert all(len(row) <= 78 for row in field.split(b"\r\n"))
    assert decode_value(field.removeprefix(b"Subject:")).split() == ["gr\u00fc\u00df"] * 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "v"),
        ("X A", "v"),
        ("X-A:", "v"),
        ("X-A\r\nY", "v"),
        ("X-\u00e4", "v"),
        ("X-A ", "v"),
        ("X-A", "a\r\nInjected: yes"),
        ("X-A", "a\nInjected: yes"),
        ("X-A", "a\r\n\r\nbody"),
        ("X-A", "a\rb"),
        ("X-A", "nul\x00"),
    ],
)
def test_what_would_break_the_header_is_refused(name, value):
    for encode in (False, True):
        with pytest.raises(ValueError):
            format_field(name, value, encode=encode)


@given(octets)
def test_any_octets_are_read_without_an_error(content):
    end = header_end(content)
    covered = 0
    for name, raw, start, stop in iter_fields(content):
        assert covered <= start < stop <= end
        covered = stop
        assert name.lower() in content[start:stop].decode("latin-1").lower()
        decode_value(raw)
    find_all(content, "X-A")


@given(octets)
def test_removing_twice_is_removing_once(content):
    once = remove_all(content, {"x-a"})

    assert remove_all(once, {"x-a"}) == once
    assert find_all(once, "x-a") == [] or b"x-a" not in {
        name.lower() for name, _, _, _ in iter_fields(once)
    }


@pytest.mark.parametrize(
    "unit", [b"=?a?q?x", b"=?", b"=?utf-8?q?", b"=?utf-8?b?Zg==?= ", b"=?a?q?x?=", b"?= =?"]
)
def test_a_hostile_value_takes_no_longer_than_its_length(unit):
    started = time.process_time()

    decode_value(unit * (400_000 // len(unit)))

    assert time.process_time() - started < 2


@given(
    st.lists(
        st.sampled_from(
            ["=?", "?=", "utf-8", "?q?", "?B?", "Zg==", "=C3", "\u00fc", " ", "_", "x"]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_value_is_decoded_to_text_that_utf8_can_carry(text):
    decode_value(text.encode()).encode("utf-8", "replace")


@pytest.mark.parametrize("charset", [b"punycode", b"idna", b"unicode_escape", b"utf-7", b"utf-8"])
def test_no_charset_makes_a_long_field_slow(charset):
    word = b"=?" + charset + b"?Q?" + b"a9b" * 100_000 + b"?="

    started = time.process_time()
    decode_value(word)

    assert time.process_time() - started < 1
