"""Responses as scripts see them."""

from __future__ import annotations

import json

import pytest

from engine.script_modules.http_response import JSON_BYTES_MAX, HttpHeaders, HttpResponse


def response(body=b"", status=200, headers=(), charset=None):
    return HttpResponse(status, "OK", list(headers), body, charset)


def test_header_names_have_no_case_and_values_of_one_name_are_joined():
    headers = HttpHeaders([("Via", "a"), ("X-One", "1"), ("VIA", "b")])

    assert (headers["via"], headers.get("x-ONE"), headers.get("none")) == ("a, b", "1", None)
    assert (list(headers), len(headers), "Via" in headers, 5 in headers) == (
        ["via", "x-one"],
        2,
        True,
        False,
    )
    assert headers.get_all("via") == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (101, "informational"),
        (204, "success"),
        (302, "redirection"),
        (404, "client_error"),
        (503, "server_error"),
    ],
)
def test_a_status_is_of_one_kind(status, kind):
    kinds = ["informational", "success", "redirection", "client_error", "server_error"]

    found = [name for name in kinds if getattr(response(status=status), f"status_is_{name}")]

    assert found == [kind]


@pytest.mark.parametrize(
    ("value", "length"), [("5", 5), ("-1", None), ("٣", None), ("9" * 30, None), ("x", None)]
)
def test_an_announced_length_is_a_number_or_nothing(value, length):
    assert response(headers=[("Content-Length", value)]).content_length == length


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        (None, "é".encode(), "é"),
        ("latin-1", b"\xe9", "é"),
        ("punycode", "é".encode(), "é"),
        ("no-such", "é".encode(), "é"),
        (None, b"a\xff", "a\ufffd"),
    ],
)
def test_text_is_read_by_a_charset_that_is_fast(charset, octets, text):
    assert response(octets, charset=charset).text() == text


def test_json_is_read():
    assert response(b'{"a": [1, null]}').json() == {"a": [1, None]}


def test_large_json_is_read():
    assert len(response(json.dumps(list(range(5000))).encode()).json()) == 5000


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * JSON_BYTES_MAX + b'"']
)
def test_what_is_no_json_or_too_much_is_a_value_error(body):
    with pytest.raises(ValueError):
        response(body).json()


def test_its_name_shows_no_content():
    assert repr(response(b"secret")) == "<response 200, 6 octets>"
