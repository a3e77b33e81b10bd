"""Canonical forms as RFC 6376 defines them, what is selected, and how a signature is written."""

from __future__ import annotations

import re

import pytest

from engine.model import dkim_canonical
from engine.model.dkim_canonical import (
    LINE_MAX,
    Canonicalization,
    canonical_field,
    format_signed,
    format_unsigned,
    iter_canonical_body,
    list_names,
    select_fields,
    split_fields,
    wire_form,
)

RELAXED, SIMPLE = Canonicalization.RELAXED, Canonicalization.SIMPLE
#: The example of RFC 6376, 3.4.5.
HEADER = b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
BODY = b" C \r\nD \t E\r\n\r\n\r\n"


def body_of(body: bytes, kind: Canonicalization) -> bytes:
    return b"".join(iter_canonical_body(b"skip" + body, 4, kind))


def header_of(header: bytes, kind: Canonicalization) -> bytes:
    return b"".join(canonical_field(raw, kind) + b"\r\n" for _, raw in split_fields(header))


def test_the_header_of_the_standard_is_relaxed_as_it_says():
    assert header_of(HEADER, RELAXED) == b"a:X\r\nb:Y Z\r\n"


def test_the_header_of_the_standard_stays_as_it_is_when_simple():
    assert header_of(HEADER, SIMPLE) == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"


@pytest.mark.parametrize(
    ("kind", "canonical"), [(RELAXED, b" C\r\nD E\r\n"), (SIMPLE, b" C \r\nD \t E\r\n")]
)
def test_the_body_of_the_standard_is_what_it_says(kind, canonical):
    assert body_of(BODY, kind) == canonical


@pytest.mark.parametrize(
    ("body", "relaxed", "simple"),
    [
        (b"", b"", b"\r\n"),
        (b"\r\n", b"", b"\r\n"),
        (b"\r\n" * 9, b"", b"\r\n"),
        (b" \t \r\n\r\n", b"", b" \t \r\n"),
        (b"a\r\n \r\n\t\r\n", b"a\r\n", b"a\r\n \r\n\t\r\n"),
        (b"\r\n\r\na\r\n", b"\r\n\r\na\r\n", b"\r\n\r\na\r\n"),
        (b"\t a\t\tb  \r\n", b" a b\r\n", b"\t a\t\tb  \r\n"),
        (b"a\x0b\x0cb \xa0 \r\n", b"a\x0b\x0cb \xa0\r\n", b"a\x0b\x0cb \xa0 \r\n"),
        (b"a" + b" " * 1001 + b"b\r\n", b"a b\r\n", b"a" + b" " * 1001 + b"b\r\n"),
    ],
)
def test_bodies_at_the_edges(body, relaxed, simple):
    assert (body_of(body, RELAXED), body_of(body, SIMPLE)) == (relaxed, simple)


@pytest.mark.parametrize("kind", [RELAXED, SIMPLE])
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_where_a_body_is_cut_makes_no_difference(monkeypatch, kind, piece):
    body = (
        b"a  b \r\n\r\n\t\r\n" * 9 + b"c" * 70 + b"  d\r\n" + b"\r\n \r\n" * 20 + b"e\r\n\r\n\r\n"
    )
    whole = body_of(body, kind)

    monkeypatch.setattr(dkim_canonical, "PIECE_BYTES", piece)

    assert body_of(body, kind) == whole


@pytest.mark.parametrize("body", [b" " * 3_000_000 + b"x\r\n", b"\r\n" * 1_500_000 + b"x\r\n"])
def test_a_body_of_nothing_takes_no_time_by_its_square(body):
    assert body_of(body, RELAXED).endswith(b"x\r\n")


def test_a_body_without_header_fields_before_it_begins_behind_the_end():
    assert b"".join(iter_canonical_body(b"A: b\r\n", 8, RELAXED)) == b""


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b"\r\n"),
        (b"a", b"a\r\n"),
        (b"a\nb\rc\r\n", b"a\r\nb\r\nc\r\n"),
        (b"a\r\r\n\n", b"a\r\n\r\n\r\n"),
        (b"a\r\n", b"a\r\n"),
    ],
)
def test_content_is_taken_as_it_will_be_sent(content, wire):
    assert wire_form(content) == wire


FIELDS = split_fields(b"To: 1\r\nFrom: f\r\nto : 2\r\nnonsense\r\nTO: 3\r\n folded\r\n")


def test_the_first_mention_selects_the_lowest_field():
    assert select_fields(FIELDS, [b"to", b"from", b"to"]) == [
        b"TO: 3\r\n folded",
        b"From: f",
        b"to : 2",
    ]


def test_a_mention_too_many_selects_nothing():
    assert select_fields(FIELDS, [b"from", b"from", b"cc"]) == [b"From: f"]


def test_over_signing_lists_each_name_once_more_than_there_are_fields():
    names = list_names(FIELDS, [b"from", b"to", b"to", b"cc"], over_sign=True)

    assert names == [b"from"] * 2 + [b"to"] * 4 + [b"cc"]


def test_without_over_signing_the_list_stays_as_it_is_written():
    names = [b"to", b"cc", b"from", b"from"]

    assert list_names(FIELDS, names, over_sign=False) == names


@pytest.mark.parametrize("over_sign", [False, True])
@pytest.mark.parametrize("there", [0, 1, 2])
def test_signatures_are_listed_as_often_as_there_are_any(over_sign, there):
    fields = split_fields(b"From: f\r\n" + b"DKIM-Signature: v=1\r\n" * there)

    names = list_names(fields, [b"from", *[b"dkim-signature"] * 2], over_sign=over_sign)

    assert list(names).count(b"dkim-signature") == there


TAGS = {
    "v": "1",
    "a": "rsa-sha256",
    "d": "news.example.com",
    "s": "2025a",
    "c": "relaxed/simple",
    "bh": "B" * 43 + "=",
    "h": "",
    "t": "1741078800",
    "x": "1741165200",
}
NAMES = [b"from", b"to", b"subject", b"list-unsubscribe-post", b"content-transfer-encoding"] * 5


def test_a_signature_is_folded_into_lines_that_every_receiver_takes():
    field = format_signed(format_unsigned(TAGS, NAMES), "A" * 342 + "==")

    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= LINE_MAX
    assert all(re.fullmatch(rb"\t[!-~].*[!-~]", line) for line in lines[1:])


def test_the_tags_stand_in_their_order_and_hold_their_values():
    field = format_signed(format_unsigned(TAGS, NAMES), "A" * 342 + "==")

    found = [tag.strip().partition(b"=") for tag in field.split(b":", 1)[1].split(b";")]
    values = {name: b"".join(value.split()) for name, _, value in found}
    assert list(values) == [b"v", b"a", b"d", b"s", b"c", b"bh", b"h", b"t", b"x", b"b"]
    assert values[b"h"] == b":".join(NAMES)
    assert values[b"b"] == b"A" * 342 + b"=="
    assert values[b"bh"] == TAGS["bh"].encode()


def test_what_cannot_be_folded_stands_on_a_line_of_its_own():
    domain = ".".join(["label" * 10] * 4)

    lines = format_unsigned({**TAGS, "d": domain}, NAMES).split(b"\r\n\t")

    assert f"d={domain};".encode() in lines


def test_what_is_signed_ends_where_the_signature_begins():
    unsigned = format_unsigned(TAGS, NAMES)

    assert unsigned.endswith(b"\r\n\tb=")
    assert canonical_field(unsigned, RELAXED).endswith(b"; b=")
    assert format_signed(unsigned, "abc").startswith(unsigned + b"abc")
