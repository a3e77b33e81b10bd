"""Selection of metadata and headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.record_selection import iter_headers, make_selection


def test_header_names_know_no_case_and_metadata_names_do():
    selection = make_selection(["Tenant"], ["SUBJECT"])

    assert selection.select_meta({"tenant": 1, "Tenant": 2}) == {"Tenant": 2}
    assert selection.select_headers(b"subject: x\r\n\r\n") == {"SUBJECT": "x"}


def test_a_star_selects_everything():
    selection = make_selection(["*"], ["*"])

    assert selection.select_meta({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert selection.select_headers(b"A: 1\r\nB: 2\r\n\r\n") == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: x\r\n y\r\n\tz\r\n\r\nA: body", "x y z"),
        (b"A: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\n", "grüße"),
        (b"A: =?nonsense?q?x?=\r\n\r\n", "=?nonsense?q?x?="),
        (b"A: \xc3\xbc\r\n\r\n", "ü"),
        (b"no header\r\nA:x\r\n\r\n", "x"),
        (b"A: x", "x"),
    ],
)
def test_values_are_unfolded_and_decoded(raw, expected):
    assert make_selection(headers=["A"]).select_headers(raw) == {"A": expected}


@given(st.binary(max_size=300))
def test_no_octets_make_it_raise(raw):
    for name, value in iter_headers(raw):
        assert name and isinstance(value, str)
