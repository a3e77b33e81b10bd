"""Sessions: TLS by the table, authentication, what a host can take, good-byes."""

import asyncio
import base64
import contextlib
import ssl

import pytest

from engine.base.clock import loop_clock
from engine.deliver import tls_policy
from engine.deliver.smtp_client import SmtpClient
from engine.deliver.tls_policy import BrokenTlsMemory
from engine.model.disposition import Disposition
from engine.model.egress import make_egress_path, make_egress_source
from engine.model.errors import (
    ConfigurationError,
    PeerClosedError,
    PeerProtocolError,
    PeerTimeoutError,
    TlsPolicyError,
)
from engine.route.mx_plan import Candidate
from tests.fakes.scripted_peer import CLOSE, RESET, SILENCE, Wait, scripted_peer, server_tls

CONTENT = b"Subject: x\r\n\r\nx\r\n.\r\n"
SIZE = len(CONTENT) - 3
BROKEN = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
BAD_HANDSHAKE = b"220 go ahead\r\n" + b"\x00" * 200


async def _nobody(host):
    raise AssertionError(f"{host} was looked up")


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """Trust the certificate of mx.test for the length of a test."""
    context = server_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mx.test.pem"))
    tls_policy._trusting_context.cache_clear()
    yield context
    tls_policy._trusting_context.cache_clear()


class Memory(BrokenTlsMemory):
    def __init__(self):
        super().__init__(asyncio.get_running_loop().time)


@contextlib.asynccontextmanager
async def session(peer, *, name="mx.test", memory=None, source=None, **path):
    client = await SmtpClient.connect(
        Candidate(name, peer.address[0], peer.port),
        source or make_egress_source(name="s"),
        make_egress_path(**{"enable_tls": "Disabled", **path}),
        hostname="client.test",
        mono=loop_clock(asyncio.get_running_loop()).mono,
        broken_tls=memory or Memory(),
        resolve=_nobody,
    )
    try:
        yield client
    finally:
        client.abort()


async def deliver(client, *recipients, **kinds):
    kinds = {"is_8bit": False, "needs_smtputf8": False, **kinds}
    size = kinds.pop("size", SIZE)
    content = kinds.pop("content", CONTENT)
    return await client.deliver("a@x.test", recipients or ["b@y.test"], content, size, **kinds)


async def is_sent_over_tls(peer, **path):
    """Return whether mail went over TLS or in the clear."""
    async with session(peer, **path) as client:
        result = await deliver(client)
    assert result.outcomes[0].disposition is Disposition.DELIVERED
    return peer.mails[-1].over_tls


MODES = ["Opportunistic", "OpportunisticInsecure", "Required", "RequiredInsecure"]


# -- who we are -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ({"ehlo_domain": "path.test"}, {"ehlo_domain": "source.test"}, "path.test"),
        ({}, {"ehlo_domain": "source.test"}, "source.test"),
        ({}, {}, "client.test"),
    ],
)
async def test_calls_itself_as_the_path_the_source_or_the_node_is_called(path, source, name):
    async with scripted_peer() as peer:
        source = make_egress_source(name="s", **source)
        async with session(peer, source=source, **path):
            pass

    assert peer.commands == [f"EHLO {name}"]


# -- the TLS table --------------------------------------------------------------------------------


async def test_disabled_never_uses_tls(trusted):
    async with scripted_peer(tls=trusted) as peer:
        assert not await is_sent_over_tls(peer, enable_tls="Disabled")


@pytest.mark.parametrize("mode", MODES)
async def test_a_valid_certificate_is_used_in_every_mode(trusted, mode):
    async with scripted_peer(tls=trusted) as peer, session(peer, enable_tls=mode) as client:
        await deliver(client)

    assert peer.mails[0].over_tls
    assert client.tls[1].startswith("TLSv1")
    assert client.is_verified == (not mode.endswith("Insecure"))
    assert len(peer.said("EHLO")) == 2


@pytest.mark.parametrize("mode", ["Opportunistic", "OpportunisticInsecure"])
async def test_an_opportunistic_mode_goes_in_the_clear_where_tls_is_not_offered(mode):
    async with scripted_peer() as peer:
        assert not await is_sent_over_tls(peer, enable_tls=mode)


@pytest.mark.parametrize("mode", ["Required", "RequiredInsecure"])
async def test_a_required_mode_fails_where_tls_is_not_offered(mode):
    async with scripted_peer() as peer:
        with pytest.raises(TlsPolicyError, match="does not offer"):
            await is_sent_over_tls(peer, enable_tls=mode)

    assert not peer.said("MAIL")


@pytest.mark.parametrize("mode", ["OpportunisticInsecure", "RequiredInsecure"])
async def test_an_insecure_mode_takes_any_certificate(tmp_path, mode):
    async with scripted_peer(tls=server_tls(tmp_path)) as peer:
        assert await is_sent_over_tls(peer, enable_tls=mode)


@pytest.mark.parametrize("mode", ["Opportunistic", "Required"])
@pytest.mark.parametrize("reconnect", [False, True])
@pytest.mark.parametrize("name", ["untrusted", "other.test"])
async def test_a_bad_certificate_fails_the_host(trusted, tmp_path, mode, reconnect, name):
    context = trusted if name == "other.test" else server_tls(tmp_path, "elsewhere.test")
    memory = Memory()
    async with scripted_peer(tls=context) as peer:
        with pytest.raises(TlsPolicyError, match="bad certificate"):
            await is_sent_over_tls(
                peer,
                enable_tls=mode,
                opportunistic_tls_reconnect_on_failed_handshake=reconnect,
                name=name,
                memory=memory,
            )

    assert peer.connections == 1
    assert not memory.is_broken("127.0.0.1")


@pytest.mark.parametrize("starttls", [BAD_HANDSHAKE, "454 4.7.0 not now", "502 what"], ids=str)
@pytest.mark.parametrize("mode", ["Opportunistic", "Required", "RequiredInsecure"])
async def test_a_failed_handshake_fails_the_host(starttls, mode):
    async with scripted_peer({"STARTTLS": starttls}, tls=BROKEN) as peer:
        peer.tls = BROKEN
        with pytest.raises((TlsPolicyError, PeerProtocolError)):
            await is_sent_over_tls(peer, enable_tls=mode)

    assert peer.connections == 1
    assert not peer.said("MAIL")


@pytest.mark.parametrize(
    "path",
    [
        {"enable_tls": "OpportunisticInsecure"},
        {
            "enable_tls": "Opportunistic",
            "opportunistic_tls_reconnect_on_failed_handshake": True,
        },
    ],
    ids=["insecure", "option"],
)
@pytest.mark.parametrize("starttls", ["454 4.7.0 not now", ("220 go", CLOSE), ("220 go", RESET)])
async def test_after_a_failed_handshake_a_new_connection_is_in_the_clear(path, starttls):
    async with scripted_peer({"STARTTLS": starttls}, tls=BROKEN) as peer:
        assert not await is_sent_over_tls(peer, **path)

    assert peer.connections == 2


async def test_a_required_mode_never_goes_in_the_clear_whatever_is_remembered(trusted):
    memory = Memory()
    memory.remember("127.0.0.1", 600)
    async with scripted_peer(tls=trusted) as peer:
        assert await is_sent_over_tls(peer, enable_tls="Required", memory=memory)


async def test_a_broken_host_is_remembered_for_the_time_given():
    memory = Memory()
    path = {"enable_tls": "Opportunistic", "remember_broken_tls": "10m", "memory": memory}
    async with scripted_peer({"STARTTLS": "454 4.7.0 no"}, tls=BROKEN) as peer:
        with pytest.raises(TlsPolicyError):
            await is_sent_over_tls(peer, **path)
        assert not await is_sent_over_tls(peer, **path)
        assert len(peer.said("STARTTLS")) == 1
        await asyncio.sleep(601)
        with pytest.raises(TlsPolicyError):
            await is_sent_over_tls(peer, **path)


async def test_reconnecting_implies_to_remember():
    memory = Memory()
    path = {"enable_tls": "Opportunistic", "memory": memory}
    path["opportunistic_tls_reconnect_on_failed_handshake"] = True
    async with scripted_peer({"STARTTLS": "454 4.7.0 no"}, tls=BROKEN) as peer:
        await is_sent_over_tls(peer, **path)
        await is_sent_over_tls(peer, **path)

    assert len(peer.said("STARTTLS")) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_words_smuggled_in_before_the_handshake_fail_the_host(trusted, mode):
    injected = b"220 go ahead\r\n250-mx.test\r\n250 AUTH PLAIN\r\n"
    async with scripted_peer({"STARTTLS": injected}, tls=trusted) as peer:
        with pytest.raises(PeerProtocolError, match="in the clear"):
            await is_sent_over_tls(peer, enable_tls=mode)


async def test_what_was_offered_in_the_clear_is_forgotten_after_the_handshake(trusted):
    playbook = {"EHLO": ["250 mx.test\n250 STARTTLS\n250 8BITMIME", "250 mx.test"]}
    async with scripted_peer(playbook, tls=trusted) as peer:
        async with session(peer, enable_tls="Required") as client:
            assert client.extensions == {}


@pytest.mark.parametrize(("step", "error"), [("STARTTLS", PeerTimeoutError)])
async def test_a_host_silent_at_starttls_fails_at_its_time(step, error):
    async with scripted_peer({step: SILENCE}, tls=BROKEN) as peer:
        started = asyncio.get_running_loop().time()
        with pytest.raises(error):
            await is_sent_over_tls(peer, enable_tls="Required", starttls_timeout="7s")
        assert 6 < asyncio.get_running_loop().time() - started < 9


@pytest.mark.parametrize("mode", ["Required", "Opportunistic"])
async def test_a_host_silent_in_the_handshake_fails_at_its_time(mode):
    async with scripted_peer({"STARTTLS": ("220 go", SILENCE)}, tls=BROKEN) as peer:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TlsPolicyError, match="handshake"):
            await is_sent_over_tls(peer, enable_tls=mode, starttls_timeout="7s")
        assert 6 < asyncio.get_running_loop().time() - started < 9


async def test_a_host_silent_at_the_second_ehlo_fails_at_its_time(trusted):
    playbook = {"EHLO": ["250 mx.test\n250 STARTTLS", SILENCE]}
    async with scripted_peer(playbook, tls=trusted) as peer:
        with pytest.raises(PeerTimeoutError, match="EHLO"):
            await is_sent_over_tls(peer, enable_tls="Required", ehlo_timeout="9s")


async def test_a_client_certificate_that_is_no_good_sends_nothing_in_the_clear(trusted):
    path = {"enable_tls": "OpportunisticInsecure", "tls_certificate": "/nowhere/pair.pem"}
    async with scripted_peer(tls=trusted) as peer:
        with pytest.raises(ConfigurationError, match="tls_certificate"):
            await is_sent_over_tls(peer, **path)

    assert peer.connections == 1
    assert not peer.said("MAIL")


async def test_a_host_whose_name_is_no_tls_name_fails_as_a_host(trusted):
    async with scripted_peer(tls=trusted) as peer:
        with pytest.raises(TlsPolicyError, match="handshake"):
            await is_sent_over_tls(peer, enable_tls="Required", name="." + "x" * 70 + ".test")


async def test_an_address_literal_is_checked_as_an_address(tmp_path, monkeypatch):
    context = server_tls(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.pem"))
    tls_policy._trusting_context.cache_clear()
    async with scripted_peer(tls=context) as peer:
        assert await is_sent_over_tls(peer, enable_tls="Required", name="[127.0.0.1]")
    tls_policy._trusting_context.cache_clear()


# -- authentication -------------------------------------------------------------------------------

USER = {"smtp_auth_plain_username": "me", "smtp_auth_plain_password": {"key_data": "secret"}}
SECRET = base64.b64encode(b"\0me\0secret").decode()


async def test_authenticates_over_verified_tls(trusted):
    async with scripted_peer(tls=trusted) as peer:
        assert await is_sent_over_tls(peer, enable_tls="Required", **USER)

    assert peer.said("AUTH") == [f"AUTH PLAIN {SECRET}"]


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_password_goes_in_the_clear_only_where_that_is_allowed(allowed):
    async with scripted_peer() as peer:
        with contextlib.nullcontext() if allowed else pytest.raises(TlsPolicyError):
            await is_sent_over_tls(peer, allow_smtp_auth_plain_without_tls=allowed, **USER)

    assert bool(peer.said("AUTH")) == allowed


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_password_goes_to_an_unverified_host_only_where_that_is_allowed(tmp_path, allowed):
    option = {"allow_smtp_auth_plain_without_valid_certificate": allowed}
    async with scripted_peer(tls=server_tls(tmp_path)) as peer:
        with contextlib.nullcontext() if allowed else pytest.raises(TlsPolicyError):
            await is_sent_over_tls(peer, enable_tls="RequiredInsecure", **option, **USER)

    assert bool(peer.said("AUTH")) == allowed


@pytest.mark.parametrize("answer", ["535 5.7.8 no", "250 ok", "334 more", "454 4.7.0 later"])
async def test_only_235_is_success(answer):
    async with scripted_peer({"AUTH": answer}) as peer:
        with pytest.raises(PeerProtocolError, match="AUTH was answered"):
            await is_sent_over_tls(peer, allow_smtp_auth_plain_without_tls=True, **USER)

    assert not peer.said("MAIL")


async def test_a_secret_that_the_host_repeats_gets_into_no_text():
    playbook = {"AUTH": f'500 5.5.1 Command unrecognized: "AUTH PLAIN {SECRET}"'}
    async with scripted_peer(playbook) as peer:
        with pytest.raises(PeerProtocolError) as caught:
            await is_sent_over_tls(peer, allow_smtp_auth_plain_without_tls=True, **USER)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["/nowhere/password", b"\xff\xfe"],
    ids=["no file", "no text"],
)
async def test_a_password_that_cannot_be_read_ends_the_session(source):
    path = {"smtp_auth_plain_username": "me", "smtp_auth_plain_password": source}
    async with scripted_peer() as peer:
        with pytest.raises(ConfigurationError, match="smtp_auth_plain_password"):
            await is_sent_over_tls(peer, allow_smtp_auth_plain_without_tls=True, **path)

    assert not peer.said("AUTH")


async def test_a_password_is_read_from_its_file(tmp_path):
    (tmp_path / "password").write_text("secret\n")
    path = {**USER, "smtp_auth_plain_password": str(tmp_path / "password")}
    async with scripted_peer() as peer:
        await is_sent_over_tls(peer, allow_smtp_auth_plain_without_tls=True, **path)

    assert peer.said("AUTH") == [f"AUTH PLAIN {SECRET}"]


# -- what a host can take -------------------------------------------------------------------------


async def refusal_of(extensions, path=None, **kinds):
    async with (
        scripted_peer(extensions=extensions) as peer,
        session(peer, **(path or {})) as client,
    ):
        result = await deliver(client, **kinds)
    (outcome,) = result.outcomes
    return outcome.reply.one_line()[:9], peer


@pytest.mark.parametrize(
    ("extensions", "kinds", "expected"),
    [
        ((), {"is_8bit": True}, "554 5.6.3"),
        (("8BITMIME",), {"is_8bit": True}, "250 2.0.0"),
        ((), {"needs_smtputf8": True}, "554 5.6.7"),
        (("SMTPUTF8",), {"needs_smtputf8": True}, "250 2.0.0"),
        (("SIZE 10",), {}, "552 5.3.4"),
        (("SIZE 0",), {}, "250 2.0.0"),
        (("SIZE",), {}, "250 2.0.0"),
        (("SIZE many",), {}, "250 2.0.0"),
        (("SIZE ²",), {}, "250 2.0.0"),
        (("size 10",), {}, "552 5.3.4"),
    ],
)
async def test_what_the_host_cannot_take_is_refused_here(extensions, kinds, expected):
    refusal, peer = await refusal_of(extensions, **kinds)

    assert refusal == expected
    assert bool(peer.mails) == (expected == "250 2.0.0")


async def test_the_8bit_check_can_be_left_out():
    refusal, peer = await refusal_of((), {"ignore_8bit_checks": True}, is_8bit=True)

    assert refusal == "250 2.0.0"
    assert "8BITMIME" not in peer.said("MAIL")[0]


async def test_an_envelope_beyond_ascii_needs_smtputf8_whatever_the_flag_says():
    async with scripted_peer(extensions=()) as peer, session(peer) as client:
        result = await deliver(client, "bé@y.test")

    assert result.outcomes[0].reply.one_line().startswith("554 5.6.7")
    assert not peer.said("MAIL")


async def test_parameters_are_said_as_the_host_knows_them():
    async with scripted_peer() as peer, session(peer) as client:
        await deliver(client, "bé@y.test", is_8bit=True)

    assert peer.said("MAIL") == [f"MAIL FROM:<a@x.test> SIZE={SIZE} BODY=8BITMIME SMTPUTF8"]
    assert peer.said("RCPT") == ["RCPT TO:<bé@y.test>"]


# -- LMTP -----------------------------------------------------------------------------------------


async def test_lmtp_has_one_verdict_for_each_recipient():
    playbook = {"dot": ["250 2.0.0 a", "550 5.2.2 full", "450 4.2.0 busy"]}
    async with scripted_peer(playbook, lmtp=True) as peer:
        async with session(peer, use_lmtp=True) as client:
            result = await deliver(client, "a@y.test", "b@y.test", "c@y.test")

    assert [one.disposition.name for one in result.outcomes] == ["DELIVERED", "FAILED", "DEFERRED"]
    assert result.usable
    assert peer.said("LHLO")


@pytest.mark.parametrize("end", [CLOSE, RESET, SILENCE, ("421 4.3.2 bye", CLOSE)], ids=str)
async def test_lmtp_keeps_the_verdicts_that_came_before_the_end(end):
    playbook = {"dot": ["250 2.0.0 a", end]}
    async with scripted_peer(playbook, lmtp=True) as peer:
        async with session(peer, use_lmtp=True) as client:
            result = await deliver(client, "a@y.test", "b@y.test", "c@y.test")

    assert [one.disposition.name for one in result.outcomes] == ["DELIVERED", *["DEFERRED"] * 2]
    assert not result.usable


async def test_lmtp_hears_the_others_after_a_421():
    playbook = {"dot": ["421 4.3.2 busy", "250 2.0.0 b"]}
    async with scripted_peer(playbook, lmtp=True) as peer:
        async with session(peer, use_lmtp=True) as client:
            result = await deliver(client, "a@y.test", "b@y.test")

    assert [one.disposition.name for one in result.outcomes] == ["DEFERRED", "DELIVERED"]
    assert not result.usable


# -- the end --------------------------------------------------------------------------------------


async def test_quits_in_good_order():
    async with scripted_peer() as peer, session(peer) as client:
        await client.quit()

    assert peer.commands[-1] == "QUIT"


@pytest.mark.parametrize("answer", [SILENCE, Wait(60), CLOSE, b"junk\r\n"], ids=str)
async def test_a_good_bye_takes_no_longer_than_a_moment(answer):
    async with scripted_peer({"QUIT": answer}) as peer, session(peer) as client:
        started = asyncio.get_running_loop().time()
        await client.quit()
        assert asyncio.get_running_loop().time() - started < 1.5


async def test_no_words_to_a_host_that_left():
    async with scripted_peer({"EHLO": ("250 mx.test", CLOSE)}) as peer, session(peer) as client:
        await asyncio.sleep(1)
        assert not client.is_alive()
        await client.quit()

    assert not peer.said("QUIT")


async def test_a_session_that_fails_leaves_no_connection():
    async with scripted_peer({"EHLO": "550 no"}) as peer:
        with pytest.raises(PeerProtocolError):
            async with session(peer):
                pass
        await asyncio.sleep(1)
        assert peer.open_now == 0


async def test_a_closed_host_is_named_by_its_step():
    async with scripted_peer({"EHLO": CLOSE}) as peer:
        with pytest.raises(PeerClosedError, match="EHLO"):
            async with session(peer):
                pass
