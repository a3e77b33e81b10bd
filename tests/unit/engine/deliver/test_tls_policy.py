"""The TLS table, broken hosts, and contexts."""

import ssl

import pytest

from engine.deliver.tls_policy import (
    AfterFailure,
    BrokenTlsMemory,
    StartTls,
    checks_certificate,
    client_context,
    decide_after_failure,
    decide_starttls,
)
from engine.model.egress import TlsMode, make_egress_path
from engine.model.errors import ConfigurationError
from tests.fakes.scripted_peer import certificate

PLAIN, USE, FAIL = StartTls.PLAIN, StartTls.USE, StartTls.FAIL_HOST


@pytest.mark.parametrize(
    ("mode", "absent", "offered", "broken"),
    [
        (TlsMode.DISABLED, PLAIN, PLAIN, PLAIN),
        (TlsMode.OPPORTUNISTIC, PLAIN, USE, PLAIN),
        (TlsMode.OPPORTUNISTIC_INSECURE, PLAIN, USE, PLAIN),
        (TlsMode.REQUIRED, FAIL, USE, USE),
        (TlsMode.REQUIRED_INSECURE, FAIL, USE, USE),
    ],
)
def test_what_follows_ehlo(mode, absent, offered, broken):
    assert decide_starttls(mode, advertised=False, known_broken=False) is absent
    assert decide_starttls(mode, advertised=True, known_broken=False) is offered
    assert decide_starttls(mode, advertised=True, known_broken=True) is broken


@pytest.mark.parametrize("mode", list(TlsMode))
@pytest.mark.parametrize("may_reconnect", [False, True])
def test_a_bad_certificate_never_leads_to_the_clear(mode, may_reconnect):
    following = decide_after_failure(mode, is_certificate=True, may_reconnect=may_reconnect)

    assert following is AfterFailure.FAIL_HOST


@pytest.mark.parametrize(
    ("mode", "as_it_is", "with_option"),
    [
        (TlsMode.OPPORTUNISTIC, AfterFailure.FAIL_HOST, AfterFailure.RECONNECT_PLAIN),
        (
            TlsMode.OPPORTUNISTIC_INSECURE,
            AfterFailure.RECONNECT_PLAIN,
            AfterFailure.RECONNECT_PLAIN,
        ),
        (TlsMode.REQUIRED, AfterFailure.FAIL_HOST, AfterFailure.FAIL_HOST),
        (TlsMode.REQUIRED_INSECURE, AfterFailure.FAIL_HOST, AfterFailure.FAIL_HOST),
    ],
)
def test_what_follows_a_failed_handshake(mode, as_it_is, with_option):
    for may_reconnect, expected in ((False, as_it_is), (True, with_option)):
        found = decide_after_failure(mode, is_certificate=False, may_reconnect=may_reconnect)
        assert found is expected


def test_only_the_secure_modes_check_certificates():
    assert {mode for mode in TlsMode if checks_certificate(mode)} == {
        TlsMode.OPPORTUNISTIC,
        TlsMode.REQUIRED,
    }


def test_a_broken_host_is_remembered_for_its_time_only():
    now = [0.0]
    memory = BrokenTlsMemory(lambda: now[0])
    memory.remember("127.0.0.1", 60)
    now[0] = 30
    memory.remember("127.0.0.1", 60)

    assert memory.is_broken("127.0.0.1")
    assert not memory.is_broken("127.0.0.2")
    now[0] = 60
    assert not memory.is_broken("127.0.0.1")


def test_the_memory_of_broken_hosts_is_bounded():
    memory = BrokenTlsMemory(lambda: 0.0)
    for number in range(10_001):
        memory.remember(str(number), 60)

    assert not memory.is_broken("0")
    assert memory.is_broken("10000")


def test_a_context_checks_or_does_not():
    path = make_egress_path()

    assert client_context(path, verify=True).verify_mode is ssl.CERT_REQUIRED
    assert client_context(path, verify=False).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("as_table", [False, True])
def test_a_client_certificate_comes_from_a_path_or_a_table(tmp_path, as_table):
    public, private = certificate("client.test")
    (tmp_path / "c").write_bytes(public)
    (tmp_path / "k").write_bytes(private)
    sources = (
        ({"key_data": public.decode()}, {"key_data": private.decode()})
        if as_table
        else (str(tmp_path / "c"), str(tmp_path / "k"))
    )
    path = make_egress_path(tls_certificate=sources[0], tls_private_key=sources[1])

    assert client_context(path, verify=False).verify_mode is ssl.CERT_NONE
    assert client_context(path, verify=True).check_hostname


def test_a_renewed_client_certificate_is_read_anew(tmp_path):
    file = tmp_path / "pair"
    file.write_bytes(b"".join(certificate("old.test")))
    path = make_egress_path(tls_certificate=str(file))
    before = client_context(path, verify=True)
    assert client_context(path, verify=True) is before

    file.write_bytes(b"".join(certificate("new.test")))

    assert client_context(path, verify=True) is not before


@pytest.mark.parametrize("source", ["/nowhere/cert.pem", {"key_data": "junk"}])
def test_a_client_certificate_that_is_no_good_is_our_fault(source):
    with pytest.raises(ConfigurationError, match="tls_certificate"):
        client_context(make_egress_path(tls_certificate=source), verify=True)
