"""What a request shows of its caller, and how its body is judged."""

from __future__ import annotations

import pytest

from engine.base.http_call import (
    BasicCredentials,
    BearerCredentials,
    HttpRefusalError,
    parse_credentials,
    split_validation_error,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("Bearer abc", BearerCredentials("abc")),
        ("basic dTpwOnE=", BasicCredentials("u", "p:q")),
        ("Basic dQ==", BasicCredentials("u", None)),
    ],
)
def test_credentials_are_read(header, expected):
    assert parse_credentials(header) == expected


@pytest.mark.parametrize("header", ["", "Basic", "Basic ?", "Basic /w==", "Digest x"])
def test_credentials_that_make_no_sense_are_wrong(header):
    with pytest.raises(HttpRefusalError) as caught:
        parse_credentials(header)

    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Expected `str`, got `int` - at `$.a[1].b`", "a[1].b"),
        ("Object missing required field `x`", "x"),
        ("Object contains unknown field `x` - at `$.a`", "a.x"),
        ("Expected `object`, got `array`", None),
    ],
)
def test_the_field_is_taken_out_of_a_complaint(text, field):
    what, found = split_validation_error(text)

    assert found == field
    assert "$" not in what
