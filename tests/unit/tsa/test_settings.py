"""Settings of the daemon: what holds when nothing is said, and what they do not give away."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tsa.settings import TsaListener, TsaSettings


def test_without_a_word_it_listens_on_loopback_and_trusts_nobody_else():
    (listener,) = TsaSettings().listeners

    assert listener.listen == ("127.0.0.1", 8008)
    assert "127.0.0.1" in listener.trusted_hosts
    assert "::1" in listener.trusted_hosts
    assert "192.0.2.1" not in listener.trusted_hosts


def test_settings_are_not_changed_but_replaced():
    with pytest.raises(FrozenInstanceError):
        TsaSettings().refresh_s = 1.0


def test_listeners_that_say_the_same_are_the_same_whatever_their_keys_are():
    first, second = (
        TsaListener(use_tls=True, tls_certificate={"key_data": "PEM"}) for _ in range(2)
    )

    assert first == second
    assert first != TsaListener(use_tls=True)


def test_a_key_does_not_show_where_settings_are_printed():
    listener = TsaListener(tls_private_key={"key_data": "a secret"})

    assert "a secret" not in repr(TsaSettings((listener,)))
