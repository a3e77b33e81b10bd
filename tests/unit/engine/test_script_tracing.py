"""``mta.configure_tracing``: what it declares and what it refuses."""

from __future__ import annotations

import sys

import pytest

from engine.script_declarations import Declarations
from engine.script_tracing import ENDPOINT, TracingDeclarations


@pytest.fixture
def declarations():
    return Declarations()


@pytest.fixture
def configure(declarations):
    return TracingDeclarations(lambda _name: declarations).configure_tracing


def test_it_declares_a_collector(configure, declarations):
    configure(
        endpoint="https://collector.test/otlp/v1/traces?key=1",
        sample=0.5,
        headers={"authorization": "Bearer s3cret"},
        service_name="mta-eu",
        resource={"deployment.environment.name": "eu"},
        addresses=True,
        timeout="2s",
    )

    declared = declarations.tracing
    assert declared.endpoint == "https://collector.test/otlp/v1/traces?key=1"
    assert (declared.sample, declared.timeout_s, declared.addresses) == (0.5, 2.0, True)
    assert declared.headers == (("authorization", "Bearer s3cret"),)
    assert declared.resource == (("deployment.environment.name", "eu"),)
    assert "s3cret" not in repr(declared)


def test_with_nothing_said_it_is_a_collector_of_this_machine_and_one_message_in_a_hundred(
    configure, declarations
):
    configure()
    assert declarations.tracing.endpoint == ENDPOINT
    assert declarations.tracing.sample == 0.01
    assert not declarations.tracing.addresses


@pytest.mark.parametrize("url", ["http://collector.test:4318", "http://collector.test:4318/"])
def test_a_url_without_a_path_gets_that_of_traces(configure, declarations, url):
    configure(endpoint=url)
    assert declarations.tracing.endpoint == "http://collector.test:4318/v1/traces"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpoint", "collector.test:4318"),
        ("endpoint", "grpc://collector.test:4317"),
        ("endpoint", "http://me:s3cret@collector.test"),
        ("endpoint", None),
        ("sample", 1.5),
        ("sample", -1),
        ("sample", True),
        ("sample", "all"),
        ("headers", {"x": 1}),
        ("headers", {"x": "a\r\nb: s3cret"}),
        ("headers", [("x", "y")]),
        ("resource", "eu"),
        ("service_name", ""),
        ("addresses", "yes"),
        ("timeout", "0s"),
        ("timeout", "5m"),
    ],
)
def test_a_wrong_value_is_named_and_no_secret_shown(configure, declarations, name, value):
    with pytest.raises(ValueError, match=name) as caught:
        configure(**{name: value})
    assert "s3cret" not in str(caught.value)
    assert declarations.tracing is None


def test_declaring_twice_is_an_error(configure):
    configure()
    with pytest.raises(ValueError, match="twice"):
        configure()


def test_a_library_that_is_missing_is_named_with_the_extra(configure, declarations, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ImportError, match=r"cirrus-mta\[otel\]"):
        configure()
    assert declarations.tracing is None
