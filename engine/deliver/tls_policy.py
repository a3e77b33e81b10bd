"""TLS posture towards a receiving host: what to do before and after a handshake.

Place in flow: ``engine.deliver.smtp_client`` asks after EHLO and after each handshake.

Invariants: a mode that requires TLS never sends mail in the clear; a mode that checks certificates
never sends it to a host that showed a bad one, nor in the clear because of it.

Standard: RFC 3207; the table is the reference's, but a failed handshake is followed by a new
connection in the clear, never by going on in the clear on the same one.
"""

from __future__ import annotations

import enum
import os
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.model.egress import EgressPath, TlsMode
from engine.model.errors import ConfigurationError

#: Hosts remembered at most.
_MEMORY_MAX = 10_000
_REQUIRED = frozenset({TlsMode.REQUIRED, TlsMode.REQUIRED_INSECURE})
_CHECKED = frozenset({TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED})


class StartTls(enum.Enum):
    """What to do after EHLO."""

    USE = "use"
    PLAIN = "plain"
    FAIL_HOST = "fail host"


class AfterFailure(enum.Enum):
    """What to do after a handshake that failed."""

    RECONNECT_PLAIN = "reconnect in the clear"
    FAIL_HOST = "fail host"


def decide_starttls(mode: TlsMode, *, advertised: bool, known_broken: bool) -> StartTls:
    """Return whether to start TLS with a host."""
    if mode is TlsMode.DISABLED:
        return StartTls.PLAIN
    if mode in _REQUIRED:
        return StartTls.USE if advertised else StartTls.FAIL_HOST
    if not advertised or known_broken:
        return StartTls.PLAIN
    return StartTls.USE


def checks_certificate(mode: TlsMode) -> bool:
    """Return whether the mode wants a valid certificate."""
    return mode in _CHECKED


def decide_after_failure(
    mode: TlsMode, *, is_certificate: bool, may_reconnect: bool
) -> AfterFailure:
    """Return what follows a failed handshake.

    Args:
        mode: The path's mode.
        is_certificate: The handshake failed because of the certificate: somebody else may be
            answering, and would be given the mail in the clear.
        may_reconnect: The path allows to reconnect in the clear.
    """
    if is_certificate:
        return AfterFailure.FAIL_HOST
    if mode is TlsMode.OPPORTUNISTIC_INSECURE:
        return AfterFailure.RECONNECT_PLAIN
    if mode is TlsMode.OPPORTUNISTIC and may_reconnect:
        return AfterFailure.RECONNECT_PLAIN
    return AfterFailure.FAIL_HOST


class BrokenTlsMemory:
    """Hosts whose STARTTLS does not work, for a while; keyed by address."""

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._until: OrderedDict[str, float] = OrderedDict()

    def remember(self, address: str, duration_s: float) -> None:
        """Treat a host as one without STARTTLS for a while; written once per duration."""
        if not self.is_broken(address):
            self._until[address] = self._mono() + duration_s
            if len(self._until) > _MEMORY_MAX:
                self._until.popitem(last=False)

    def is_broken(self, address: str) -> bool:
        """Return whether a host is remembered as broken."""
        until = self._until.get(address)
        if until is None:
            return False
        if self._mono() >= until:
            del self._until[address]
            return False
        return True


@lru_cache(maxsize=1)
def _trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@lru_cache(maxsize=1)
def _lenient_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def client_context(path: EgressPath, *, verify: bool) -> ssl.SSLContext:
    """Return the context for a handshake.

    Raises:
        ConfigurationError: The client certificate cannot be used.
    """
    if path.tls_certificate is None:
        return _trusting_context() if verify else _lenient_context()
    try:
        certificate = _material(path.tls_certificate)
        key = certificate if path.tls_private_key is None else _material(path.tls_private_key)
        return _with_certificate(certificate, key, verify)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(f"tls_certificate cannot be used: {error}") from error


def _material(source: Any) -> bytes:
    """Return the PEM text of a key source, as it is now."""
    if isinstance(source, str):
        return Path(source).read_bytes()
    data: str | bytes = source["key_data"] if isinstance(source, Mapping) else source
    return data.encode() if isinstance(data, str) else data


@lru_cache(maxsize=64)
def _with_certificate(certificate: bytes, key: bytes, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # The ssl module reads pairs from files only; a file in memory leaves no key on a disk.
    with os.fdopen(os.memfd_create("cirrus-tls", os.MFD_CLOEXEC), "wb") as file:
        file.write(certificate + b"\n" + (b"" if key == certificate else key))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_refuse_password)
    return context


def _refuse_password() -> str:
    # Without this the library would ask on the terminal and stop the node there.
    raise ValueError("the private key is encrypted")
