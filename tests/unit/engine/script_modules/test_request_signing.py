"""What signs requests takes its keys from key sources."""

from __future__ import annotations

import pytest

from engine.script_modules.request_signing import RequestSigning

GIVEN = {"access_key": "id", "secret_key": "key", "region": "eu", "service": "sqs"}


@pytest.fixture
def signing():
    async def load(source):
        return f"{source} loaded\n".encode()

    return RequestSigning(load, lambda: 0.0)


async def test_keys_are_loaded_when_a_request_is_signed(signing):
    sign = signing.make(GIVEN | {"headers": ["X-Mine"]})

    added = await sign("GET", "https://x.test/", {"x-mine": "1", "other": "2"}, b"")

    assert added["X-Amz-Date"] == "19700101T000000Z"
    assert "Credential=id loaded/19700101/eu/sqs/" in added["Authorization"]
    assert "SignedHeaders=host;x-amz-date;x-mine," in added["Authorization"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "missing access_key, secret_key, region, service"),
        (GIVEN | {"regon": "x"}, "did you mean 'region'"),
        (GIVEN | {"region": 5}, "region: text"),
    ],
)
def test_options_that_do_not_fit_are_errors(signing, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        signing.make(given)
