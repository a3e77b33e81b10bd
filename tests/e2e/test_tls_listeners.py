"""TLS on the way in: after STARTTLS, from the first byte, with files that change, with AUTH."""

from __future__ import annotations

import datetime
import smtplib
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.node_process import submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

AUTH = """
@on("smtp_auth_plain")
def smtp_auth_plain(authz, authc, password, conn):
    return authc == "alice" and password == "secret-word"
"""


def any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def write_pair(folder, name):
    """Put a certificate of this name and its key in place."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def name_shown(connection: ssl.SSLSocket) -> str:
    shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
    return shown.subject.rfc4514_string()


def name_after_starttls(node) -> str:
    with node.client() as client:
        client.starttls(context=any_certificate())
        return name_shown(client.sock)


@pytest.fixture
def pair(tmp_path):
    write_pair(tmp_path, "first.test")
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    return f"tls_certificate={certificate!r}, tls_private_key={key!r}"


def test_files_that_change_count_for_the_next_handshake(make_node, pair, tmp_path):
    node = make_node(listener=pair)

    with node.running():
        assert name_after_starttls(node) == "CN=first.test"
        write_pair(tmp_path, "second.test")
        wait_until("the new one", lambda: name_after_starttls(node) == "CN=second.test")
        (tmp_path / "cert.pem").write_text("no certificate at all\n")
        wait_until("a look at the files", lambda: keeps_its_pair(node))
        assert name_after_starttls(node) == "CN=second.test"

    assert "Traceback" not in node.log_text()


def keeps_its_pair(node):
    """Shake hands; return whether the node had a look at its files and did not like them."""
    name_after_starttls(node)
    return "keeps its certificate" in node.log_text()


def test_a_listener_speaks_tls_from_the_first_byte(make_node, sink, pair):
    node = make_node(listener=pair + ", tls_from_first_byte=True")

    with node.running():
        client = smtplib.SMTP_SSL(
            "127.0.0.1", node.smtp_port, "c.test", timeout=10, context=any_certificate()
        )
        with client:
            assert name_shown(client.sock) == "CN=first.test"
            client.ehlo()
            assert "starttls" not in client.esmtp_features
            submit(client, "over tls")
        wait_until("it", lambda: sink.taken)
        in_the_clear = socket.create_connection(("127.0.0.1", node.smtp_port), timeout=10)
        in_the_clear.sendall(b"EHLO c.test\r\n")
        assert in_the_clear.recv(100) == b""
        in_the_clear.close()

    (record,) = node.records("Reception")
    assert record["tls_protocol_version"].startswith("TLSv1")
    assert b" with ESMTPS (TLSv1" in sink.taken[0].content


def test_submission_with_starttls_and_auth(make_node, sink):
    node = make_node(AUTH, listener="")
    text = node.policy.read_text().replace('relay_hosts=["127.0.0.1"]', "relay_hosts=[]")
    node.policy.write_text(text)

    with node.running():
        with node.client() as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            with pytest.raises(smtplib.SMTPResponseException, match="relaying"):
                submit(client, "nobody")
        with node.client() as client:
            client.starttls(context=any_certificate())
            client.ehlo()
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                client.login("alice", "wrong-word")
            client.login("alice", "secret-word")
            submit(client, "from alice")
        wait_until("it", lambda: sink.taken)

    assert refused.value.smtp_code == 535
    assert b" with ESMTPSA (TLSv1" in sink.taken[0].content
    assert [message.subject for message in sink.taken] == ["from alice"]
    said = node.log_text() + str(node.records())
    assert "secret-word" not in said
    assert "wrong-word" not in said
