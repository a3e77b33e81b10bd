"""Certificates of our listeners: from files, from the script, or self-signed in memory.

Place in flow: one ``ServerTls`` per listener, made when its options are read; the SMTP session and
the HTTP service ask it for a context at each handshake.

Invariants:
    * A changed file is noticed within ``CHECK_S`` of use and judged by its content.
    * A handshake always gets a whole pair: a new certificate counts only with the key that fits.

Failure: a certificate or key that cannot be read or does not fit keeps the pair in use and is
reported once per content; only the first load raises.

Standard: RFC 8446, RFC 5246 (nothing below TLS 1.2, RFC 8996), RFC 5280.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engine.base.clock import Clock
from engine.model.errors import ConfigurationError

log = logging.getLogger("cirrus.tls")

#: Seconds between looks at the files.
CHECK_S = 5.0
#: A certificate made here lives this long; it is made anew at each start.
SELF_SIGNED_DAYS = 365
#: The longest common name a certificate may have (RFC 5280, appendix A).
_COMMON_NAME_MAX = 64

#: Where a certificate or key comes from: a path, or ``{"key_data": PEM}``.
KeySource = str | Path | Mapping[str, str]


class ServerTls:
    """The TLS side of one listener.

    Args:
        hostname: Name for the self-signed certificate.
        certificate: The certificate chain; self-signed when not given.
        private_key: Its key; looked for beside the certificate when not given.
        client_ca: Certificates of authorities; when given, clients must show a certificate.
        mono: Monotonic time in seconds.

    Raises:
        ConfigurationError: What is given cannot be loaded.
    """

    def __init__(
        self,
        hostname: str,
        certificate: KeySource | None = None,
        private_key: KeySource | None = None,
        client_ca: KeySource | None = None,
        mono: Callable[[], float] | None = None,
    ) -> None:
        if private_key is not None and certificate is None:
            raise ConfigurationError("tls_private_key is given without tls_certificate")
        self.hostname = hostname
        self._certificate = certificate
        self._private_key = private_key if private_key is not None else certificate
        self._client_ca = client_ca
        self._mono = mono if mono is not None else Clock().mono
        self._stats: tuple[object, ...] = ()
        self._refused_digest = b""
        material = self._read()
        self._digest = _digest(material)
        self._context = self._build(material)
        self._stats = self._look()
        self._checked_mono = self._mono()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next handshake, with the files as they are now."""
        now_mono = self._mono()
        if now_mono - self._checked_mono >= CHECK_S:
            self._checked_mono = now_mono
            self._refresh()
        return self._context

    def listening_context(self) -> ssl.SSLContext:
        """Return a context for a listening socket; each handshake on it asks ``context`` anew."""
        outer = self._build(self._read())

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.context()

        outer.sni_callback = choose
        return outer

    def _refresh(self) -> None:
        stats = self._look()
        if stats == self._stats:
            return
        try:
            material = self._read()
            digest = _digest(material)
            if digest not in (self._digest, self._refused_digest):
                # Remembered before the build: a broken pair is reported once, not per handshake.
                self._refused_digest = digest
                self._context = self._build(material)
                self._digest = digest
                self._refused_digest = b""
                log.info("the certificate of %s was read anew", self.hostname)
        except ConfigurationError as error:
            log.error("%s keeps its certificate: %s", self.hostname, error)
        self._stats = stats

    def _sources(self) -> tuple[KeySource | None, ...]:
        return (self._certificate, self._private_key, self._client_ca)

    def _look(self) -> tuple[object, ...]:
        found: list[object] = []
        for source in self._sources():
            if isinstance(source, str | Path):
                try:
                    status = Path(source).stat()
                except OSError as error:
                    found.append(error.errno)
                else:
                    found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        if self._certificate is None:
            certificate, key = make_self_signed(self.hostname)
        else:
            certificate = _read_source(self._certificate, "tls_certificate")
            key = _read_source(self._private_key, "tls_private_key")
        return certificate, key, _read_source(self._client_ca, "tls_required_client_ca")

    def _build(self, material: tuple[bytes, bytes, bytes]) -> ssl.SSLContext:
        certificate, key, client_ca = material
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            _load_pair(context, certificate, key)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigurationError(
                f"tls_certificate and tls_private_key cannot be used: {error}"
            ) from error
        if client_ca:
            try:
                context.load_verify_locations(cadata=client_ca.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise ConfigurationError(
                    f"tls_required_client_ca cannot be used: {error}"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _digest(material: tuple[bytes, ...]) -> bytes:
    return hashlib.sha256(b"\x00".join(material)).digest()


def _read_source(source: KeySource | None, option: str) -> bytes:
    match source:
        case None:
            return b""
        case str() | Path():
            try:
                return Path(source).read_bytes()
            except OSError as error:
                raise ConfigurationError(f"{option}: {error}") from error
        case Mapping():
            data = source.get("key_data")
            if isinstance(data, str) and set(source) == {"key_data"}:
                return data.encode()
    raise ConfigurationError(f'{option} is a path or {{"key_data": PEM text}}')


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads pairs from files only; a file in memory leaves no key on a disk.
    with os.fdopen(os.memfd_create("cirrus-tls", os.MFD_CLOEXEC), "wb") as file:
        file.write(certificate)
        if key != certificate:
            file.write(b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_refuse_password)


def _refuse_password() -> str:
    # Without this the library would ask on the terminal and stop the daemon there.
    raise ValueError("the private key is encrypted")


@lru_cache(maxsize=64)
def make_self_signed(hostname: str) -> tuple[bytes, bytes]:
    """Return certificate and key in PEM, made once per process and name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:_COMMON_NAME_MAX])])
    now_at = datetime.datetime.fromtimestamp(Clock().wall(), datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_at - datetime.timedelta(days=1))
        .not_valid_after(now_at + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def _general_name(hostname: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(hostname.strip("[]")))
    except ValueError:
        return x509.DNSName(hostname)
