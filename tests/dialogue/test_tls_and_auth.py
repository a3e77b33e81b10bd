"""STARTTLS, TLS from the first byte, AUTH; and that credentials stay out of every record."""

from __future__ import annotations

import asyncio
import base64

import pytest
import uvloop

from engine.model.errors import ConfigurationError
from tests.fakes.smtp_node import smtp_node

AUTH = """
@on("smtp_auth_plain")
def auth(authz, authc, password, conn):
    if authc == "crash":
        return 1 // 0
    if authc == "ban":
        mta.disconnect(550, "5.7.8 banned")
    if authc == "later":
        mta.reject(454, "4.7.0 later")
    if authc == "empty":
        return {"identities": []}
    if authc == "odd":
        return {"identities": [{"name": 1}]}
    if authc == "map":
        one = {"identity": "mapped", "context": "SmtpAuthPlainAuthentication"}
        return {"identities": [one], "groups": ["g"]}
    return (authz, authc, password) == ("joe", "joe", "hunter2")
"""
SECRET = base64.b64encode(b"\0joe\0hunter2")
WRONG = base64.b64encode(b"\0joe\0wrongpass")


def plain(user: str, password: str = "hunter2") -> bytes:
    return base64.b64encode(f"\0{user}\0{password}".encode())


async def test_starttls_then_mail(start_node):
    node = await start_node()
    client = await node.over_tls()

    assert (await client.deliver(b"Subject: x\r\n\r\nx\r\n")).code == 250

    assert b"with ESMTPS (TLSv1.3:TLS_" in node.content()
    assert node.taken[0].meta["tls_protocol_version"] == "TLSv1.3"
    assert node.sink.records[0].tls_protocol_version == "TLSv1.3"


async def test_starttls_forgets_what_was_said_before(start_node):
    node = await start_node()
    client = await node.greeted()
    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"STARTTLS") == [
        250,
        250,
        220,
    ]
    await client.start_tls()

    assert await client.codes(b"DATA", b"RCPT TO:<b@y.test>") == [503, 503]
    reply = await client.command(b"EHLO again")
    assert "STARTTLS" not in reply.lines
    assert await client.codes(b"STARTTLS", b"STARTTLS now") == [501, 501]


async def test_starttls_takes_no_argument(start_node):
    node = await start_node()
    client = await node.greeted()

    assert await client.codes(b"STARTTLS now", b"NOOP") == [501, 250]


async def test_plaintext_behind_starttls_is_thrown_away(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<b@y.test>\r\n")
    assert (await client.reply()).code == 220
    await client.start_tls()

    assert await client.codes(b"RCPT TO:<b@y.test>", b"NOOP") == [503, 250]


async def test_half_a_command_behind_starttls_is_thrown_away(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.send(b"STARTTLS\r\nMAIL FROM:<evil@")
    assert (await client.reply()).code == 220
    await client.start_tls()

    assert await client.codes(b"x.test>", b"NOOP") == [502, 250]


async def test_garbage_instead_of_a_handshake_ends_the_connection(start_node):
    node = await start_node()
    client = await node.greeted()

    assert (await client.command(b"STARTTLS")).code == 220
    await client.send(b"EHLO in the clear\r\n")

    assert b"250" not in await client.rest()


async def test_a_silent_handshake_ends_in_time(start_node):
    node = await start_node()
    client = await node.greeted()

    assert (await client.command(b"STARTTLS")).code == 220

    assert await client.rest() == b""
    assert not node.listener.sessions


async def test_without_a_certificate_starttls_is_refused_and_mail_flows_on(start_node, monkeypatch):
    node = await start_node()
    client = await node.greeted()

    def broken(options):
        raise ConfigurationError("no such file")

    node.tls_context = broken
    assert await client.codes(b"STARTTLS") == [454]
    assert (await client.deliver(b"x\r\n")).code == 250


async def test_without_a_certificate_a_tls_listener_says_nothing_in_the_clear(start_node):
    node = await start_node(tls_from_first_byte=True)

    def broken(options):
        raise ConfigurationError("no such file")

    node.tls_context = broken
    client = await node.connect()
    await client.send(b"\x16\x03\x01\x00\x00")

    assert await client.rest() == b""


async def test_tls_from_the_first_byte(start_node):
    node = await start_node(AUTH, tls_from_first_byte=True)
    client = await node.connect(tls=True)

    assert (await client.reply()).code == 220
    reply = await client.command(b"EHLO c.test")
    assert "AUTH PLAIN LOGIN" in reply.lines
    assert "STARTTLS" not in reply.lines
    assert await client.codes(b"STARTTLS") == [501]
    assert (await client.deliver(b"x\r\n")).code == 250


async def test_a_plaintext_client_of_a_tls_listener_is_told_nothing(start_node):
    node = await start_node(tls_from_first_byte=True)
    client = await node.connect()

    await client.send(b"EHLO c.test\r\n")

    assert await client.rest() == b""


@pytest.mark.real_time
@pytest.mark.parametrize("handler", ["def", "async def"])
def test_tls_from_the_first_byte_on_the_loop_of_production(tmp_path, handler):
    async def handshakes() -> list[int]:
        script = f"@on('get_listener_parameters')\n{handler} p(listener, conn):\n    return {{}}\n"
        codes = []
        async with (
            smtp_node(tmp_path, script, tls_from_first_byte=True) as node,
            asyncio.timeout(20),
        ):
            for _ in range(5):
                client = await node.connect(tls=True)
                codes += [(await client.reply()).code, (await client.command(b"NOOP")).code]
                client.close()
        return codes

    assert uvloop.run(handshakes()) == [220, 250] * 5


@pytest.mark.real_time
def test_starttls_and_mail_on_the_loop_of_production(tmp_path):
    async def transaction() -> int:
        async with smtp_node(tmp_path) as node, asyncio.timeout(20):
            client = await node.over_tls()
            return (await client.deliver(b"x\r\n")).code

    assert uvloop.run(transaction()) == 250


async def test_auth_is_refused_in_the_clear(start_node):
    node = await start_node(AUTH)
    client = await node.greeted()

    assert await client.codes(b"AUTH PLAIN " + SECRET, b"AUTH LOGIN", SECRET) == [524, 524, 502]

    assert SECRET not in node.records_text()
    assert b"AUTH [redacted]" in node.records_text()


async def test_auth_opens_relaying(start_node):
    node = await start_node(AUTH, relay_hosts=[])
    client = await node.over_tls()
    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"RSET") == [
        250,
        550,
        250,
    ]

    assert await client.codes(b"AUTH PLAIN " + SECRET) == [235]

    assert (await client.deliver(b"x\r\n")).code == 250
    assert b"with ESMTPSA (" in node.content()
    assert node.taken[0].meta["authn_id"] == "joe"
    assert node.taken[0].meta["authz_id"] == "joe"


@pytest.mark.parametrize("mechanism", [b"PLAIN", b"plain", b"Plain"])
async def test_plain_by_challenge(start_node, mechanism):
    node = await start_node(AUTH)
    client = await node.over_tls()

    challenge = await client.command(b"AUTH " + mechanism)

    assert repr(challenge) == "334 "
    assert await client.codes(SECRET) == [235]


async def test_login_by_challenges_and_with_an_initial_response(start_node):
    node = await start_node(AUTH)
    client = await node.over_tls()

    first = await client.command(b"AUTH LOGIN")
    second = await client.command(base64.b64encode(b"joe"))

    assert [first.text, second.text] == ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"]
    assert await client.codes(base64.b64encode(b"hunter2")) == [235]
    other = await node.over_tls()
    assert await other.codes(
        b"AUTH LOGIN " + base64.b64encode(b"joe"), base64.b64encode(b"hunter2")
    ) == [334, 235]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([b"AUTH PLAIN " + WRONG], [535]),
        ([b"AUTH PLAIN !!!"], [501]),
        ([b"AUTH PLAIN ="], [501]),
        ([b"AUTH PLAIN " + base64.b64encode(b"joe hunter2")], [501]),
        ([b"AUTH PLAIN " + base64.b64encode(b"a\0b\0c\0d")], [501]),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\0hunter2")], [501]),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0j\xff\0hunter2")], [501]),
        ([b"AUTH PLAIN", b"*"], [334, 501]),
        ([b"AUTH PLAIN", b"a" * 20_000], [334, 501]),
        ([b"AUTH LOGIN", b"*"], [334, 501]),
        ([b"AUTH LOGIN", base64.b64encode(b"joe"), b"*"], [334, 334, 501]),
        ([b"AUTH LOGIN", base64.b64encode(b"joe"), b"?"], [334, 334, 501]),
        ([b"AUTH"], [504]),
        ([b"AUTH CRAM-MD5"], [504]),
        ([b"AUTH XOAUTH2 " + SECRET, SECRET], [504, 502]),
        ([b"AUTH\tPLAIN " + SECRET], [502]),
        ([b"xAUTH PLAIN " + SECRET], [502]),
        ([b"  AUTH PLAIN " + WRONG], [535]),
        ([b"AUTH PLAIN " + plain("crash")], [454]),
        ([b"AUTH PLAIN " + plain("later")], [454]),
        ([b"AUTH PLAIN " + plain("empty")], [454]),
        ([b"AUTH PLAIN " + plain("odd")], [454]),
        ([b"MAIL FROM:<a@x.test>", b"AUTH PLAIN " + SECRET], [250, 503]),
        ([b"AUTH PLAIN " + SECRET, b"AUTH PLAIN " + SECRET], [235, 503]),
        (
            [b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"BDAT 0", b"AUTH PLAIN " + SECRET],
            [250, 250, 250, 503],
        ),
    ],
)
async def test_auth_goes_wrong_without_telling_credentials(start_node, caplog, lines, codes):
    node = await start_node(AUTH)
    client = await node.over_tls()

    assert await client.codes(*lines) == codes

    assert await client.codes(b"NOOP") == [250]
    told = node.records_text().decode() + caplog.text
    for secret in (SECRET, WRONG, plain("crash"), plain("later"), b"hunter2", b"wrongpass"):
        assert secret.decode() not in told
    assert len(node.rejections) == sum(code >= 400 for code in codes)


async def test_a_script_sees_no_credentials_in_the_command_it_rewrites(start_node):
    node = await start_node(
        AUTH
        + """
@on("smtp_rewrite_response")
def rewrite(status, response, command, conn):
    if command:
        return (status, response + " to " + command)
"""
    )
    client = await node.over_tls()

    assert (await client.command(b"AUTH PLAIN " + WRONG)).text.endswith("to AUTH [redacted]")


async def test_identities_of_the_handler_count(start_node):
    node = await start_node(AUTH)
    client = await node.over_tls()
    assert await client.codes(b"AUTH PLAIN " + plain("map")) == [235]

    await client.deliver(b"x\r\n")

    assert node.taken[0].meta["authn_id"] == "mapped"


async def test_disconnect_in_auth_closes(start_node):
    node = await start_node(AUTH)
    client = await node.over_tls()

    assert await client.codes(b"AUTH PLAIN " + plain("ban")) == [550]

    assert await client.rest() == b""


async def test_five_wrong_passwords_end_the_connection(start_node):
    node = await start_node(AUTH)
    client = await node.over_tls()

    assert await client.codes(*[b"AUTH PLAIN " + WRONG] * 5) == [535] * 5

    assert (await client.reply()).code == 421
    assert await client.rest() == b""


async def test_without_a_handler_auth_is_not_offered(start_node):
    node = await start_node()
    client = await node.over_tls()

    assert "AUTH" not in (await client.command(b"EHLO x")).text
    assert await client.codes(b"AUTH PLAIN " + SECRET) == [504]


# -- who the client is, as scripts see it

WHO = """
@on("smtp_auth_plain")
def auth(authz, authc, password, conn):
    conn.set_meta("early", conn.auth_info())
    return {answer}

@on("message_received")
def received(msg):
    msg.set_meta("seen", [msg.get_meta("early"), msg.get_meta("late")])

@on("smtp_mail_from")
def mail_from(sender, conn):
    info = conn.auth_info()
    conn.set_meta("late", info)
    # What a script does with its copy is its own affair.
    info["identities"].append({{"identity": "root", "context": "GenericAuth"}})
    info["groups"].append("admins")
"""
NOBODY = {"peer_address": "127.0.0.1", "identities": [], "groups": []}


@pytest.mark.parametrize(
    ("answer", "identities", "groups"),
    [
        (
            "True",
            [("boss", "SmtpAuthPlainAuthorization"), ("me", "SmtpAuthPlainAuthentication")],
            [],
        ),
        (
            '{"identities": ["one", {"identity": "two", "context": "X"}], "groups": ["staff"]}',
            [("one", "GenericAuth"), ("two", "X")],
            ["staff"],
        ),
    ],
)
async def test_a_script_sees_who_authenticated_and_cannot_change_it(
    start_node, answer, identities, groups
):
    node = await start_node(WHO.format(answer=answer), relay_hosts=["127.0.0.1"])
    client = await node.over_tls()
    word = base64.b64encode(b"boss\0me\0secret")
    assert (await client.command(b"AUTH PLAIN " + word)).code == 235
    for _ in range(2):
        assert (await client.deliver(b"Subject: x\r\n\r\nhi\r\n")).code == 250

    shown = [{"identity": name, "context": context} for name, context in identities]
    known = {"peer_address": "127.0.0.1", "identities": shown, "groups": groups}
    assert [message.meta["seen"] for message in node.taken] == [[NOBODY, known]] * 2
    assert "secret" not in node.records_text().decode()


@pytest.mark.parametrize("groups", ["'staff'", "5", "{'staff': 1}"])
async def test_groups_that_are_no_list_are_a_failure_of_the_handler(start_node, groups):
    answer = f'{{"identities": ["me"], "groups": {groups}}}'
    script = (
        f"@on('smtp_auth_plain')\ndef auth(authz, authc, password, conn):\n    return {answer}\n"
    )
    node = await start_node(script)
    client = await node.over_tls()
    assert (await client.command(b"AUTH PLAIN AGEAYg==")).code == 454
