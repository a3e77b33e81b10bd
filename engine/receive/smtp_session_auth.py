"""AUTH and STARTTLS of a session.

Place in flow: commands of ``engine.receive.smtp_session``.

Invariants:
    * Whatever was received before the handshake is thrown away (RFC 3207, 4.2; command injection).
    * AUTH works inside TLS only. Credentials are redacted from every record and log line.
    * A handler that fails is 454, never 535: a defect is not a wrong password.

Standard: RFC 3207, RFC 4954, RFC 4616 (PLAIN).
"""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.model.errors import EngineError
from engine.model.reply import SmtpReply, make_reply
from engine.receive.admission import finished
from engine.receive.incoming import ConnectionEndedError
from engine.script_metadata import AUTHENTICATION, AUTHORIZATION, GENERIC
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError

if TYPE_CHECKING:
    from engine.receive.smtp_session import SmtpSession

log = logging.getLogger("cirrus.receive")

#: First octet of a TLS handshake record (RFC 8446, 5.1).
_TLS_HANDSHAKE = 22
#: How long a TLS handshake may take, seconds.
HANDSHAKE_S = 30.0
#: The most octets of a line of an AUTH exchange (RFC 4954, 4).
AUTH_LINE_MAX = 12288
#: Failed attempts after which the connection is closed.
FAILURES_MAX = 5

READY_FOR_TLS = make_reply(220, "2.0.0 ready to start TLS")
ALREADY_TLS = make_reply(501, "5.5.1 TLS is already on")
NO_TLS = make_reply(454, "4.7.0 TLS is not available now")
NEED_TLS = make_reply(524, "5.7.11 encryption needed for authentication")
WRONG_STATE = make_reply(503, "5.5.1 AUTH is not allowed now")
UNKNOWN_MECHANISM = make_reply(504, "5.5.4 unknown authentication mechanism")
CANCELLED = make_reply(501, "5.5.0 authentication cancelled")
BAD_BASE64 = make_reply(501, "5.5.2 cannot decode the response")
AUTH_OK = make_reply(235, "2.7.0 authentication succeeded")
AUTH_WRONG = make_reply(535, "5.7.8 wrong user name or password")
AUTH_UNAVAILABLE = make_reply(454, "4.7.0 authentication is not available now")
#: What records and logs see of an AUTH line.
REDACTED = "AUTH [redacted]"


class Credentials(NamedTuple):
    """What a client presented: whom to act as, who it is, and the proof."""

    authz: str
    authc: str
    password: str


class _Identity(NamedTuple):
    """Who a client turned out to be.

    Attributes:
        authn: Whose password it was.
        authz: As whom it acts.
        all: Every name, each with its context.
        groups: What it is counted among.
    """

    authn: str
    authz: str
    all: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]


class _AuthRefusedError(Exception):
    def __init__(self, reply: SmtpReply) -> None:
        super().__init__(reply.one_line())
        self.reply = reply


async def obey_starttls(session: SmtpSession, argument: str, line: str) -> None:
    """Answer STARTTLS and switch to TLS."""
    if session.is_tls:
        await session.complain(ALREADY_TLS, line)
        return
    if argument:
        await session.complain(make_reply(501, "5.5.4 STARTTLS takes no argument"), line)
        return
    context = find_context(session)
    if context is None:
        await session.answer(NO_TLS, line)
        return
    await session.answer(READY_FOR_TLS, line)
    await session.flush()
    await start_tls(session, context)


async def take_client_hello(session: SmtpSession) -> bytes:
    """Return the first TLS record: some loops read it before TLS can be switched on.

    Raises:
        ConnectionEndedError: It is none, or did not come in time; nothing is said in the clear.
    """
    session.is_mute = True
    session.arm_deadline(session.client_timeout_s)
    while len(data := session.peek_input()) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
        if data and data[0] != _TLS_HANDSHAKE:
            raise ConnectionEndedError
        await session.more_input(goes_on=True)
    session.is_mute = False
    return bytes(session.take_input())


def find_context(session: SmtpSession) -> ssl.SSLContext | None:
    """Return the TLS context of a session's options, or None when it cannot be had."""
    try:
        context: ssl.SSLContext = session.ports.tls_context(session.options)
    except (EngineError, OSError, ValueError) as error:
        log.error("no TLS context for %s: %s", session.options.hostname, error)
        return None
    return context


async def start_tls(
    session: SmtpSession, context: ssl.SSLContext | None, client_hello: bytes = b""
) -> None:
    """Switch a session to TLS and forget everything learnt before.

    Args:
        session: The session.
        context: Its TLS context.
        client_hello: The handshake's first record, where the session has read it already: a
            listener that speaks TLS from the first byte. It is whole: the client waits for us.

    Raises:
        ConnectionEndedError: There is no context, or the handshake failed; nothing is said in
            the clear and the connection is closed.
    """
    if context is None:
        raise ConnectionEndedError
    session.discard_input()
    session.arm_deadline(HANDSHAKE_S)
    if client_hello:
        # Behind what start_tls queues itself, so that the TLS protocol is connected by then.
        session.loop.call_soon(session.loop.call_soon, _hand_over, session.transport, client_hello)
    try:
        transport = await session.loop.start_tls(
            session.transport,
            session,
            context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_S,
        )
    except (OSError, ssl.SSLError, TimeoutError) as error:
        log.info("TLS handshake with %s failed: %s", session.peer_ip, error)
        session.transport.abort()
        raise ConnectionEndedError from error
    if transport is None or transport.get_extra_info("ssl_object") is None:
        # The client left in the instant the handshake ended.
        raise ConnectionEndedError
    session.transport = transport
    session.is_tls = True
    session.tls = describe_tls(transport)
    session.meta["tls_cipher"], session.meta["tls_protocol_version"], subjects = session.tls
    if subjects:
        session.meta["tls_peer_subject_name"] = subjects
    session.meta.pop("ehlo_domain", None)
    session.client_name = ""
    session.reset()


def _hand_over(transport: Any, octets: bytes) -> None:
    """Give octets read before the switch to the TLS protocol that is in charge now."""
    protocol = transport.get_protocol()
    while octets and not transport.is_closing():
        room = memoryview(protocol.get_buffer(len(octets)))
        count = min(len(room), len(octets))
        room[:count] = octets[:count]
        protocol.buffer_updated(count)
        octets = octets[count:]


def describe_tls(transport: Any) -> tuple[str, str, list[str]]:
    """Return cipher, protocol version and the peer's subject names of a TLS transport."""
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    cipher = tls.cipher()
    certificate: dict[str, Any] = tls.getpeercert() or {}
    subjects = [
        f"{name}={value}" for part in certificate.get("subject", ()) for name, value in part
    ]
    return (cipher[0] if cipher else "", tls.version() or "", subjects)


async def obey_auth(session: SmtpSession, argument: str, _line: str) -> None:
    """Authenticate by PLAIN or LOGIN through ``smtp_auth_plain``."""
    if not session.is_tls:
        await session.complain(NEED_TLS, REDACTED)
        return
    if session.identity is not None or session.sender is not None:
        await session.complain(WRONG_STATE, REDACTED)
        return
    mechanism, _, initial = argument.partition(" ")
    try:
        credentials = await _converse(session, mechanism.upper(), initial.strip())
    except _AuthRefusedError as refused:
        await session.complain(refused.reply, REDACTED)
        return
    await _judge(session, credentials)


async def _converse(session: SmtpSession, mechanism: str, initial: str) -> Credentials:
    match mechanism:
        case "PLAIN":
            raw = _decode(initial) if initial else await _challenge(session, b"")
            parts = raw.split(b"\x00")
            if len(parts) != 3:
                raise _AuthRefusedError(BAD_BASE64)
            authz, authc, password = (_text(part) for part in parts)
        case "LOGIN":
            first = _decode(initial) if initial else await _challenge(session, b"Username:")
            authc = _text(first)
            password = _text(await _challenge(session, b"Password:"))
            authz = ""
        case _:
            raise _AuthRefusedError(UNKNOWN_MECHANISM)
    if not authc:
        raise _AuthRefusedError(BAD_BASE64)
    return Credentials(authz or authc, authc, password)


async def _challenge(session: SmtpSession, prompt: bytes) -> bytes:
    await session.send_challenge(b"334 " + base64.b64encode(prompt) + b"\r\n")
    waits = 0
    while (line := session.next_line(AUTH_LINE_MAX)) is None:
        await session.more_input(goes_on=waits > 1)
        waits += 1
    if not line.endswith(b"\r\n"):
        raise _AuthRefusedError(BAD_BASE64)
    text = line[:-2].strip()
    if text == b"*":
        raise _AuthRefusedError(CANCELLED)
    return _decode(text.decode("ascii", "replace"))


def _decode(text: str) -> bytes:
    # "=" alone stands for an empty initial response (RFC 4954, 4).
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _AuthRefusedError(BAD_BASE64) from None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _AuthRefusedError(BAD_BASE64) from None


async def _judge(session: SmtpSession, credentials: Credentials) -> None:
    runtime = session.ports.runtime
    if not runtime.is_handled("smtp_auth_plain"):
        await session.complain(UNKNOWN_MECHANISM, REDACTED)
        return
    try:
        answer = await finished(
            runtime.fire_nowait(
                "smtp_auth_plain",
                credentials.authz,
                credentials.authc,
                credentials.password,
                session.connection,
            )
        )
        identity = _identify(answer, credentials)
    except SmtpRefusal as refusal:
        await session.refuse(refusal, REDACTED)
        return
    except (HookFailedError, KeyError, TypeError, ValueError) as error:
        # Not logged with its cause: a traceback could show the password.
        log.error("smtp_auth_plain failed: %s", type(error).__name__)
        await session.answer(AUTH_UNAVAILABLE, REDACTED)
        return
    if identity is None:
        session.auth_failures += 1
        await session.complain(AUTH_WRONG, REDACTED)
        if session.auth_failures >= FAILURES_MAX:
            await session.answer(make_reply(421, "4.7.0 too many failed authentications"))
        return
    session.identity = identity.authn
    session.meta["authn_id"], session.meta["authz_id"] = identity.authn, identity.authz
    session.auth.identities, session.auth.groups = identity.all, identity.groups
    session.forget_domains()
    await session.answer(AUTH_OK, REDACTED)


def _identify(answer: Any, credentials: Credentials) -> _Identity | None:
    """Return who a handler's answer says it is, None for a refusal.

    Raises:
        ValueError: The answer is a dict without identities.
    """
    if answer is None or answer is False:
        return None
    if answer is True:
        names = ((credentials.authz, AUTHORIZATION), (credentials.authc, AUTHENTICATION))
        return _Identity(credentials.authc, credentials.authz, names, ())
    found: list[tuple[str, str]] = []
    for item in answer.get("identities") or ():
        is_bare = not isinstance(item, dict)
        name, context = (item, None) if is_bare else (item["identity"], item.get("context"))
        found.append((name, context or GENERIC))
    if not found:
        raise ValueError("smtp_auth_plain answered without identities")
    by_context = {context: name for name, context in found}
    authn = by_context.get(AUTHENTICATION, found[0][0])
    authz = by_context.get(AUTHORIZATION, authn)
    return _Identity(authn, authz, tuple(found), tuple(answer.get("groups") or ()))
