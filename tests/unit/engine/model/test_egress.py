"""Egress sources, pools and paths."""

import dataclasses
import json

import pytest

from engine.model.egress import (
    EgressPath,
    EgressPool,
    EgressSource,
    IpLookupStrategy,
    PoolEntry,
    ReconnectStrategy,
    TlsMode,
    make_egress_path,
    make_egress_pool,
    make_egress_source,
    to_json,
)
from engine.model.throttle_spec import LimitSpec, parse_throttle


def test_a_path_has_the_defaults_of_the_field():
    path = make_egress_path()

    assert path.connection_limit == LimitSpec(32)
    assert (path.max_ready, path.max_deliveries_per_connection) == (1024, 1024)
    assert path.max_recipients_per_batch == 100
    assert path.enable_tls is TlsMode.OPPORTUNISTIC
    assert (path.data_timeout_s, path.data_dot_timeout_s, path.idle_timeout_s) == (300, 300, 5)
    assert path.ip_lookup_strategy is IpLookupStrategy.IPV4_AND_IPV6
    assert path.reconnect_strategy is ReconnectStrategy.CONNECT_NEXT_HOST
    assert "127.9.9.9" in path.prohibited_hosts
    assert "::1" in path.prohibited_hosts
    assert "0.0.0.0" in path.prohibited_hosts


def test_reads_what_operators_write():
    path = make_egress_path(
        connection_limit="local:5",
        additional_connection_limits={"provider": 10},
        max_message_rate="100/s",
        additional_message_rate_throttles={"provider": "1/min"},
        connect_timeout="10s",
        prohibited_hosts=[],
        skip_hosts=["192.0.2.0/24"],
        enable_tls="Required",
        reconnect_strategy="ReconnectSameHost",
        smtp_auth_plain_password={"key_data": "x"},
    )

    assert path.connection_limit == LimitSpec(5, True)
    assert path.additional_connection_limits == {"provider": LimitSpec(10)}
    assert path.max_message_rate == parse_throttle("100/s")
    assert path.connect_timeout_s == 10
    assert "127.0.0.1" not in path.prohibited_hosts
    assert "192.0.2.9" in path.skip_hosts
    assert path.enable_tls is TlsMode.REQUIRED


def test_derives_the_times_of_a_session():
    path = make_egress_path()

    assert path.lease_s == 60 + 60 + 300 + 60 + 5 + 5 + 4 * 300
    assert path.shutdown_s == 1200
    assert path.watchdog_s == 600
    assert make_egress_path(system_shutdown_timeout="1m").shutdown_s == 60
    assert make_egress_path(dispatcher_progress_watchdog_timeout="9m").watchdog_s == 540


def test_a_reconnect_in_clear_implies_a_memory_of_broken_tls():
    name = "opportunistic_tls_reconnect_on_failed_handshake"

    assert make_egress_path().broken_tls_s is None
    assert make_egress_path(**{name: True}).broken_tls_s == 900
    assert make_egress_path(**{name: True}, remember_broken_tls="1h").broken_tls_s == 3600


def test_an_unknown_option_names_the_closest():
    with pytest.raises(TypeError, match=r"unknown option 'enable_tsl' \(did you mean 'enable_tls'"):
        make_egress_path(enable_tsl="Required")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable_tls", "Sometimes"),
        ("connect_timeout", "soon"),
        ("connect_timeout", -1),
        ("max_message_rate", "fast"),
        ("connection_limit", 0),
        ("max_ready", 0),
        ("smtp_port", 70000),
        ("prohibited_hosts", ["10.0.0.1/8"]),
        ("enable_rset", "yes"),
        ("ehlo_domain", "a\r\nb"),
        ("additional_connection_limits", [1]),
    ],
)
def test_a_wrong_value_names_its_option(name, value):
    with pytest.raises(ValueError, match=name):
        make_egress_path(**{name: value})


def test_safety_that_cannot_be_had_is_an_error():
    with pytest.raises(ValueError, match="enable_dane"):
        make_egress_path(enable_dane=True)
    assert make_egress_path(enable_dane=False).enable_dane is False


def test_names_what_is_not_in_force():
    asked = EgressPath.unsupported(
        {
            "enable_mta_sts": True,
            "openssl_cipher_list": "x",
            "max_ready": 5,
            "readyq_pool_name": None,
        }
    )

    assert [text.split()[0] for text in asked] == ["openssl_cipher_list", "enable_mta_sts"]
    assert EgressPath.unsupported({"enable_mta_sts": False, "tls_prefer_openssl": False}) == []
    assert EgressSource.unsupported({"suspend_when_unplumbed": {}}) == []
    assert EgressPool.unsupported({"name": "p"}) == []


def test_a_path_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_egress_path().max_ready = 5


def test_reads_a_source():
    source = make_egress_source(
        name="ip-1",
        source_address="127.0.0.1",
        ehlo_domain="mta.example.com",
        remote_port=2525,
        ttl="5m",
        suspend_when_unplumbed={"trigger": {"Threshold": "3/min"}, "duration": "1h"},
    )

    assert source.source_address == "127.0.0.1"
    assert source.ttl_s == 300
    assert source.suspend_when_unplumbed.duration_s == 3600


@pytest.mark.parametrize(
    "kw",
    [
        {"source_address": "localhost"},
        {"remote_port": 0},
        {"ha_proxy_server": "10.0.0.1:80"},
        {"socks5_proxy_server": "10.0.0.1"},
        {"suspend_when_unplumbed": "Immediate"},
        {"suspend_when_unplumbed": {"trigger": "Never", "duration": 1}},
    ],
)
def test_refuses_a_source_that_cannot_be(kw):
    with pytest.raises(ValueError, match=next(iter(kw))):
        make_egress_source(name="s", **kw)


def test_a_source_and_a_pool_need_names():
    with pytest.raises(TypeError, match="name is missing"):
        make_egress_source()
    with pytest.raises(TypeError, match="name is missing"):
        make_egress_pool(entries=[])


def test_reads_a_pool():
    pool = make_egress_pool(name="p", entries=[{"name": "a", "weight": 2}, {"name": "b"}])

    assert pool.entries == (PoolEntry("a", 2), PoolEntry("b", 1))
    assert to_json(pool) == {
        "name": "p",
        "entries": [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}],
        "ttl": 60.0,
    }


@pytest.mark.parametrize(
    "entries",
    [
        "a",
        ["a"],
        [{}],
        [{"name": "a", "weight": -1}],
        [{"name": "a"}, {"name": "a"}],
        [{"nam": "a"}],
    ],
)
def test_refuses_a_pool_that_cannot_be(entries):
    with pytest.raises(ValueError, match="entries"):
        make_egress_pool(name="p", entries=entries)


def test_shows_a_path_without_its_secrets():
    shown = to_json(make_egress_path(smtp_auth_plain_password="hunter2", max_message_rate="5/s"))

    assert "hunter2" not in json.dumps(shown)
    assert shown["max_message_rate"] == "5/s"
    assert shown["connect_timeout"] == 60.0
    assert shown["enable_tls"] == "Opportunistic"


def test_shows_a_source_with_its_rule():
    rule = {"trigger": "Immediate", "duration": "1m"}
    shown = to_json(make_egress_source(name="s", suspend_when_unplumbed=rule))

    assert shown["suspend_when_unplumbed"] == {"trigger": "Immediate", "duration": 60.0}
