"""Listener options as written, and as they hold for one connection."""

from __future__ import annotations

import pytest

from engine.model.listener_options import (
    ListenerOptions,
    TraceHeaders,
    make_listener_options,
    parse_listen,
    read_trace_headers,
    unsupported,
)


def make(**given) -> ListenerOptions:
    return make_listener_options(given, hostname="mx.test")


def test_defaults_are_those_of_the_reference():
    options = make()

    assert (options.listen, options.hostname, options.banner) == (
        ("127.0.0.1", 2025),
        "mx.test",
        "Cirrus",
    )
    assert options.client_timeout_s == 60
    assert options.data_processing_timeout_s == 300
    assert (options.max_messages_per_connection, options.max_recipients_per_message) == (
        10_000,
        1024,
    )
    assert options.max_message_size_bytes == 20 * 1024 * 1024
    assert (options.invalid_line_endings, options.line_length_hard_limit) == ("Deny", 998)
    assert options.batch_handling == "BifurcateAlways"
    assert "127.0.0.1" in options.relay_hosts and "127.0.0.2" not in options.relay_hosts


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:2525", ("::1", 2525)),
        (":25", ("0.0.0.0", 25)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
def test_an_address_is_read(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "25", "host", "host:", "host:x", "host:65536", "host:-1", "host:\u0663", None, 25]
)
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="address:port"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hostnam": "x"}, "did you mean hostname"),
        ({"colour": "x"}, "unknown listener option 'colour'"),
    ],
)
def test_an_unknown_option_is_refused_with_a_hint(given, message):
    with pytest.raises(TypeError, match=message):
        make(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_connections", True),
        ("max_message_size", "20MB"),
        ("hostname", ""),
        ("hostname", "a\nb"),
        ("hostname", "a b"),
        ("require_proxy_protocol", "yes"),
        ("allow_xclient", "yes"),
        ("trace_headers", {"header_name": "X-A:b"}),
        ("trace_headers", {"include_meta_names": "abc"}),
        ("meta", {"a": object()}),
        ("banner", 7),
        ("relay_hosts", ["10.0.0.1/8"]),
        ("relay_hosts", ["nonsense"]),
        ("invalid_line_endings", "deny"),
        ("batch_handling", "Always"),
        ("client_timeout", "soon"),
        ("deferred_spool", "yes"),
        ("meta", {1: 2}),
        ("meta", []),
        ("peer", []),
        ("peer", {"10.0.0.0/8": {"max_message_size": "x"}}),
        ("tls_certificate", 5),
        ("trace_headers", True),
        ("trace_headers", {"received_header": 1}),
        ("listen", "x"),
    ],
)
def test_a_value_that_does_not_fit_names_its_option(name, value):
    with pytest.raises(ValueError) as caught:
        make(**{name: value})
    assert name in str(caught.value) or name == "peer"


@pytest.mark.parametrize(
    "inner", [{"listen": "127.0.0.1:1"}, {"max_connections": 5}, {"colour": 1}]
)
def test_a_layer_cannot_change_the_socket(inner):
    for layer in ("peer", "via"):
        with pytest.raises(TypeError):
            make(**{layer: {"10.0.0.0/8": inner}})


def test_layers_lie_over_each_other_and_meta_is_merged():
    options = make(
        banner="base",
        meta={"a": 1, "b": 1},
        peer={
            "10.0.0.0/8": {"banner": "peer", "meta": {"b": 2}},
            "10.1.0.0/16": {"banner": "closer"},
        },
        via={"127.0.0.9": {"hostname": "via.test", "meta": {"c": 3}}},
    )

    assert options.for_connection("192.0.2.1", "127.0.0.1").banner == "base"
    assert options.for_connection("10.1.2.3", "127.0.0.1").banner == "closer"
    both = options.for_connection("10.2.0.1", "127.0.0.9")
    assert (both.banner, both.hostname, both.meta) == ("peer", "via.test", {"a": 1, "b": 2, "c": 3})


def test_trace_headers_are_read():
    assert read_trace_headers({}) == TraceHeaders()
    given = {"supplemental_header": False, "header_name": "X-R", "include_meta_names": ["a", "b"]}
    assert read_trace_headers(given) == TraceHeaders(True, False, "X-R", ("a", "b"))
    with pytest.raises(TypeError, match="unknown key"):
        read_trace_headers({"colour": 1})


def test_a_key_may_be_given_as_text():
    assert make(tls_certificate={"key_data": "PEM"}).tls_certificate == {"key_data": "PEM"}


def test_what_is_known_but_not_yet_in_force_is_named_in_every_layer():
    given = {
        "peer": {"127.0.0.1": {"deferred_queue": True}},
    }
    assert make_listener_options(given, hostname="x").hostname == "x"

    assert unsupported(given) == ["deferred_queue is known but not yet in force"]


def test_the_buffer_of_a_session_may_be_set_by_each_layer():
    options = make_listener_options(
        {"data_buffer_size": 131072, "peer": {"10.0.0.0/8": {"data_buffer_size": 4096}}},
        hostname="x",
    )
    assert options.data_buffer_size_bytes == 131072
    assert options.for_connection("10.0.0.9", "192.0.2.1").data_buffer_size_bytes == 4096
    with pytest.raises(ValueError, match="data_buffer_size: wants a whole number from 1"):
        make_listener_options({"data_buffer_size": 0}, hostname="x")
