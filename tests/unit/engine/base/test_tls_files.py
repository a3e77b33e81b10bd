"""Certificates: self-signed, given, changed under way, broken under way."""

from __future__ import annotations

import asyncio
import os
import ssl

import pytest

from engine.base.tls_files import CHECK_S, ServerTls, make_self_signed
from engine.model.errors import ConfigurationError

make_fresh = make_self_signed.__wrapped__


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def write_pair(tmp_path, name):
    certificate, key = make_fresh(name)
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    return certificate


async def shown_certificate(context, client=None):
    async def serve(reader, writer):
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    client = client or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        await reader.read()
    writer.close()
    server.close()
    return ssl.DER_cert_to_PEM_cert(shown)


def text(pem):
    return "".join(pem.decode().split())


async def test_without_files_the_certificate_is_self_signed_and_kept():
    tls = ServerTls("mta.example")

    shown = await shown_certificate(tls.context())

    assert "".join(shown.split()) == text(make_self_signed("mta.example")[0])


async def test_a_changed_pair_is_used_after_the_next_look(tmp_path):
    write_pair(tmp_path, "one.example")
    clock = Time()
    tls = ServerTls("h", str(tmp_path / "cert.pem"), tmp_path / "key.pem", mono=clock)
    listening = tls.listening_context()

    newer = write_pair(tmp_path, "two.example")
    assert "".join((await shown_certificate(listening)).split()) != text(newer)
    clock.now += CHECK_S

    assert "".join((await shown_certificate(listening)).split()) == text(newer)


def test_a_broken_change_keeps_the_pair_in_use_until_it_is_repaired(tmp_path):
    write_pair(tmp_path, "one.example")
    clock = Time()
    tls = ServerTls("h", str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), mono=clock)
    before = tls.context()

    (tmp_path / "key.pem").write_text("nonsense")
    clock.now += CHECK_S
    assert tls.context() is before
    (tmp_path / "key.pem").unlink()
    clock.now += CHECK_S
    assert tls.context() is before
    write_pair(tmp_path, "two.example")
    clock.now += CHECK_S

    assert tls.context() is not before


def test_a_file_that_was_only_touched_changes_nothing(tmp_path):
    write_pair(tmp_path, "one.example")
    clock = Time()
    tls = ServerTls("h", str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), mono=clock)
    before = tls.context()

    os.utime(tmp_path / "cert.pem", (1, 1))
    clock.now += CHECK_S

    assert tls.context() is before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"certificate": "/nonexistent"}, "tls_certificate"),
        ({"certificate": {"key_data": "nonsense"}}, "cannot be used"),
        ({"certificate": {"other": "x"}}, "path or"),
        ({"private_key": "/nonexistent"}, "without tls_certificate"),
        ({"client_ca": {"key_data": "nonsense"}}, "tls_required_client_ca"),
    ],
)
def test_what_cannot_be_loaded_at_first_is_an_error(arguments, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        ServerTls("h", **arguments)


async def test_a_client_ca_makes_client_certificates_required():
    certificate, key = make_fresh("client.example")
    tls = ServerTls("h", client_ca={"key_data": certificate.decode()})

    assert tls.context().verify_mode is ssl.CERT_REQUIRED
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_given_inline_with_its_certificate_is_enough():
    certificate, key = make_fresh("both.example")

    assert ServerTls("h", {"key_data": (certificate + key).decode()}).context()


@pytest.mark.parametrize("name", ["127.0.0.1", "x" * 63 + ".example", "localhost"])
def test_any_host_name_gets_a_certificate(name):
    assert make_fresh(name)[0].startswith(b"-----BEGIN CERTIFICATE")
