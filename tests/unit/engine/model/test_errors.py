"""Which situations waiting may help."""

from __future__ import annotations

import pytest

from engine.model import errors


@pytest.mark.parametrize("kind", [errors.SpoolLockedError, errors.ConfigurationError])
def test_permanent_situations_say_so(kind):
    assert kind.temporary is False


@pytest.mark.parametrize(
    "kind",
    [
        errors.EngineError,
        errors.DnsFailureError,
        errors.ConnectFailedError,
        errors.PeerTimeoutError,
        errors.SpoolUnavailableError,
        errors.TlsPolicyError,
    ],
)
def test_everything_else_is_temporary(kind):
    assert kind.temporary is True


def test_network_errors_are_also_those_of_the_language():
    assert issubclass(errors.ConnectFailedError, ConnectionError)
    assert issubclass(errors.PeerTimeoutError, TimeoutError)
