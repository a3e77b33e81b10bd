"""Signatures against the published examples of AWS (its test suite for version 4)."""

from __future__ import annotations

import datetime

import pytest

from engine.script_modules.aws_signature import AwsCredentials, sign_request

AT = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC)
CREDENTIALS = AwsCredentials(
    "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"
)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (
            "https://example.amazonaws.com/",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)
def test_the_published_examples_come_out(url, signature):
    added = sign_request(CREDENTIALS, "GET", url, {}, b"", AT)

    assert added == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
        f"aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def test_named_headers_and_a_token_are_covered():
    credentials = AwsCredentials("a", "b", "eu", "s3", "token")

    added = sign_request(credentials, "PUT", "https://x.test/k", {"X-Mine": " 1  2 "}, b"body", AT)

    assert added["X-Amz-Security-Token"] == "token"
    assert (
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-mine,"
        in added["Authorization"]
    )


def test_credentials_do_not_show_their_key():
    assert "wJalr" not in repr(CREDENTIALS)
