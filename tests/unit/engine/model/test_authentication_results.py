"""Authentication-Results: written, read, and nothing of a message gets out of its value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.authentication_results import (
    AuthenticationResult,
    AuthenticationResults,
    format_authentication_results,
    parse_authentication_results,
    to_result,
)


def read(text: str) -> AuthenticationResults:
    return parse_authentication_results(text.replace("\r\n", ""))


def test_results_are_written_one_to_a_line():
    text = format_authentication_results(
        "mx.test",
        [
            {"method": "spf", "result": "pass", "props": {"smtp.mailfrom": "a@b.test"}},
            AuthenticationResult("dkim", "fail", "bad; sig", {"header.d": "b.test"}),
        ],
    )

    assert text == (
        "mx.test;\r\n\tspf=pass smtp.mailfrom=a@b.test;\r\n"
        '\tdkim=fail reason="bad; sig" header.d=b.test'
    )


def test_no_results_are_none():
    assert format_authentication_results("mx.test", []) == "mx.test;\r\n\tnone"
    assert read("mx.test; none") == AuthenticationResults("mx.test", [])


TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=60).map(
    lambda text: text.strip(" ")
)


@given(TEXTS, TEXTS)
def test_what_is_written_is_read_again(reason, value):
    made = AuthenticationResult("dkim", "pass", reason or None, {"header.i": value}, 2)

    found = read(format_authentication_results("mx.test", [made, made]))

    assert found == AuthenticationResults("mx.test", [made, made])


@given(st.text(max_size=60))
def test_any_text_stays_in_its_field(text):
    written = format_authentication_results("a", [{"method": "x", "result": "y", "reason": text}])

    assert "\n" not in written.replace("\r\n\t", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a 1; dkim=pass (good) header.d=b", ("a", 1, ["dkim"])),
        ("a;spf=none;;dmarc=pass", ("a", None, ["spf", "dmarc"])),
        ("(x) a; dkim/1 = pass", ("a", None, ["dkim"])),
    ],
)
def test_fields_of_others_are_read(text, found):
    results = read(text)
    assert (results.serv_id, results.version, [r.method for r in results.results]) == found


@pytest.mark.parametrize(
    "text", ["", "; a=b", "a b c; d=e", "a; dkim", 'a; "open', "a; b==c", "a;" * 300, "x" * 70_000]
)
def test_what_is_no_such_field(text):
    with pytest.raises(ValueError):
        read(text)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (7, TypeError),
        ({"method": "a"}, ValueError),
        ({"method": "a b", "result": "c"}, ValueError),
        ({"method": "a", "result": "c", "reasn": "d"}, ValueError),
        ({"method": "a", "result": "c", "props": 1}, TypeError),
        ({"method": "a", "result": "c", "props": {"x=y": "1"}}, ValueError),
    ],
)
def test_what_is_no_result(value, error):
    with pytest.raises(error):
        to_result(value)


def test_who_checked_has_a_name():
    with pytest.raises(ValueError):
        format_authentication_results(" ", [])
