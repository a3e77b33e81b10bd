"""What modules for brokers share."""

from __future__ import annotations

import sys

import pytest

from engine.script_modules.broker_support import (
    PAYLOAD_BYTES_MAX,
    freeze,
    headers_of,
    make_tls,
    octets_of,
    positive,
    require_library,
)


@pytest.mark.parametrize(
    ("library", "module"), [("aiokafka", "kafka"), ("aio_pika", "amqp"), ("nats", "nats")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch, library, module):
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ImportError, match=rf"mta.{module} needs .*'cirrus-mta\[{module}\]'"):
        require_library(library, module)


def test_options_become_keys():
    frozen = freeze({"b": [1, {"c": 2}], "a": "x"})

    assert frozen == (("a", "x"), ("b", (1, (("c", 2),))))
    assert hash(frozen)


def test_text_and_bytes_are_octets():
    assert (octets_of("p", "é"), octets_of("p", b"\xff")) == ("é".encode(), b"\xff")


@pytest.mark.parametrize(
    ("value", "error"),
    [(5, TypeError), (None, TypeError), (b"x" * (PAYLOAD_BYTES_MAX + 1), ValueError)],
)
def test_other_payloads_are_errors(value, error):
    with pytest.raises(error, match="payload"):
        octets_of("payload", value)


@pytest.mark.parametrize(
    "value",
    [[], {"a": 5}, {5: "a"}, {"a": "b\r\nc"}, {"a\0": "b"}, {str(n): "x" for n in range(201)}],
)
def test_headers_that_cannot_be_are_errors(value):
    with pytest.raises((TypeError, ValueError), match="headers"):
        headers_of(value)


@pytest.mark.parametrize("value", [0, "0s", -1, "soon"])
def test_a_time_out_is_above_zero(value):
    with pytest.raises(ValueError):
        positive(value)


@pytest.mark.parametrize(("root", "certificate"), [("r", None), (None, "/none.pem")])
async def test_certificates_that_are_none_are_errors(root, certificate):
    async def load(_source):
        return b"no certificate"

    with pytest.raises(ValueError, match="certificates cannot be used"):
        await make_tls(load, root, certificate)
