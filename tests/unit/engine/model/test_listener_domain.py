"""Relay rules of a domain."""

import pytest

from engine.model.listener_domain import (
    ListenerDomain,
    ReportHandling,
    make_listener_domain,
    to_json,
)


def test_relays_nothing_by_default():
    domain = make_listener_domain()

    assert domain.relay_to is False
    assert "127.0.0.1" not in domain.relay_from


def test_reads_what_operators_write():
    domain = make_listener_domain(
        relay_to=True, relay_from=["10.0.0.0/8"], log_oob=True, log_arf="LogThenDrop"
    )

    assert domain.relay_to
    assert "10.1.1.1" in domain.relay_from
    assert domain.log_oob is ReportHandling.LOG_THEN_RELAY
    assert domain.log_arf is ReportHandling.LOG_THEN_DROP


def test_names_what_is_not_in_force():
    asked = ListenerDomain.unsupported(
        {"log_oob": True, "log_arf": "Ignore", "ttl": 5, "relay_to": True}
    )

    assert [text.split()[0] for text in asked] == ["log_oob", "ttl"]


@pytest.mark.parametrize(
    ("name", "value"), [("relay_to", 1), ("relay_from", "10.0.0.0/8"), ("log_oob", "Yes")]
)
def test_a_wrong_value_names_its_option(name, value):
    with pytest.raises(ValueError, match=name):
        make_listener_domain(**{name: value})


def test_an_unknown_option_is_an_error():
    with pytest.raises(TypeError, match="relay_to"):
        make_listener_domain(relay=True)


def test_shows_itself_in_plain_values():
    assert to_json(make_listener_domain(relay_from=["10.0.0.0/8"], ttl="1m")) == {
        "relay_to": False,
        "relay_from": ["10.0.0.0/8"],
        "log_oob": "Ignore",
        "log_arf": "Ignore",
    }
