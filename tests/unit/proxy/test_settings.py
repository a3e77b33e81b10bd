"""Settings of the proxy: narrow when nothing is said, and silent about keys."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from proxy.settings import HttpOptions, ProxySettings, SocksOptions


def test_without_a_word_it_listens_on_loopback_and_serves_nobody_else():
    options = SocksOptions()

    assert options.listen == ("127.0.0.1", 1080)
    assert options.access.may_enter("127.0.0.1")
    assert not options.access.may_enter("192.0.2.1")
    assert "192.0.2.1" not in HttpOptions().trusted_hosts


def test_an_idle_connection_outlives_every_wait_of_smtp():
    assert SocksOptions().idle_timeout_s > 600
    assert SocksOptions().timeout_s == 60


def test_settings_are_not_changed_but_replaced():
    with pytest.raises(FrozenInstanceError):
        ProxySettings().listeners = ()


def test_listeners_that_say_the_same_are_the_same_whatever_their_keys_are():
    first, second = (
        SocksOptions(use_tls=True, tls_certificate={"key_data": "PEM"}) for _ in range(2)
    )

    assert first == second
    assert first != SocksOptions(use_tls=True)


def test_a_key_does_not_show_where_settings_are_printed():
    options = SocksOptions(tls_private_key={"key_data": "a secret"})

    assert "a secret" not in repr(ProxySettings((options,)))
