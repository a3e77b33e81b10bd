"""Who the client is behind a balancer or a filter: PROXY protocol and XCLIENT."""

from __future__ import annotations

import pytest

from engine.model.proxy_header import format_proxy_header

V1 = b"PROXY TCP4 10.0.0.9 192.0.2.25 40000 25\r\n"
V2 = format_proxy_header(("10.0.0.9", 40_000), ("192.0.2.25", 25))
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
SEEN = """
SEEN = []

@on("smtp_connection_accepted")
def accepted(conn):
    if conn.get_meta("received_from").startswith("10.0.0.66:"):
        mta.reject(554, "5.7.1 not you")

@on("message_received")
def received(msg):
    msg.set_meta("seen", [msg.get_meta(name) for name in (
        "received_from", "received_via", "orig_received_from")])
"""


async def seen_by_script(node, client):
    assert (await client.deliver(b"Subject: x\r\n\r\nhi\r\n")).code == 250
    (message,) = node.taken
    return message.meta["seen"]


@pytest.mark.parametrize("header", [V1, V2])
async def test_a_header_says_who_the_client_is(start_node, header):
    node = await start_node(SEEN, require_proxy_protocol=True, relay_hosts=["10.0.0.0/8"])
    client = await node.connect()
    await client.send(header)
    assert (await client.reply()).code == 220
    assert (await client.command(b"EHLO c.test")).code == 250
    seen = await seen_by_script(node, client)
    assert seen[:2] == ["10.0.0.9:40000", "192.0.2.25:25"]
    assert seen[2].startswith("127.0.0.1:")
    assert b"10.0.0.9" in node.content()


async def test_a_header_may_come_octet_by_octet_and_with_the_first_command(start_node):
    node = await start_node(require_proxy_protocol=True)
    client = await node.connect()
    await client.send_slowly(V2)
    assert (await client.reply()).code == 220
    other = await node.connect()
    await other.send(V1 + b"EHLO c.test\r\n")
    assert (await other.reply()).code == 220
    assert (await other.reply()).code == 250


@pytest.mark.parametrize("octets", [b"EHLO c.test\r\n", b"PROXY TCP4 nonsense\r\n", b"\r\n\r\n\0X"])
async def test_without_a_header_the_connection_ends_without_a_word(start_node, octets):
    node = await start_node(require_proxy_protocol=True)
    client = await node.connect()
    await client.send(octets)
    assert await client.rest() == b""


async def test_nothing_is_said_before_the_header(start_node):
    node = await start_node(require_proxy_protocol=True, client_timeout="5s")
    client = await node.connect()
    await client.send(b"PROXY TCP4 10.0")
    assert await client.rest() == b""


async def test_a_health_check_of_the_balancer_keeps_its_own_address(start_node):
    node = await start_node(SEEN, require_proxy_protocol=True)
    client = await node.connect()
    await client.send(LOCAL)
    assert (await client.reply()).code == 220
    assert (await client.command(b"EHLO c.test")).code == 250
    assert (await seen_by_script(node, client))[0].startswith("127.0.0.1:")


async def test_options_by_peer_and_relaying_follow_the_real_client(start_node):
    node = await start_node(
        require_proxy_protocol=True,
        relay_hosts=["10.0.0.0/8"],
        peer={"10.0.0.9/32": {"hostname": "special.test"}},
    )
    client = await node.connect()
    await client.send(V1)
    assert (await client.reply()).text.startswith("special.test")
    stranger = await node.connect()
    await stranger.send(V1.replace(b"10.0.0.9", b"192.0.2.9"))
    await stranger.reply()
    assert await stranger.codes(b"EHLO c.test", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>") == [
        250,
        250,
        550,
    ]


async def test_a_script_refuses_by_the_real_address(start_node):
    node = await start_node(SEEN, require_proxy_protocol=True)
    client = await node.connect()
    await client.send(V1.replace(b"10.0.0.9", b"10.0.0.66"))
    assert (await client.reply()).code == 554


# -- XCLIENT


async def test_xclient_is_refused_where_nobody_allowed_it(start_node):
    node = await start_node()
    client = await node.greeted()
    assert (await client.command(b"XCLIENT ADDR=10.0.0.9")).code == 550
    assert not any("XCLIENT" in one for one in (await client.command(b"EHLO c.test")).lines)


async def test_xclient_names_the_client_and_the_session_begins_anew(start_node):
    node = await start_node(SEEN, allow_xclient=True, relay_hosts=["10.0.0.0/8"])
    client = await node.greeted()
    reply = await client.command(
        b"XCLIENT ADDR=10.0.0.9 PORT=40000 DESTADDR=192.0.2.25 DESTPORT=25"
    )
    assert reply.code == 220
    ehlo = await client.command(b"EHLO c.test")
    assert "XCLIENT ADDR PORT DESTADDR DESTPORT" in ehlo.lines
    seen = await seen_by_script(node, client)
    assert seen[:2] == ["10.0.0.9:40000", "192.0.2.25:25"]
    assert seen[2].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"XCLIENT", 501),
        (b"XCLIENT ADDR", 501),
        (b"XCLIENT NAME=spike.test", 501),
        (b"XCLIENT ADDR=nonsense", 501),
        (b"XCLIENT PORT=70000", 501),
        (b"XCLIENT ADDR=IPV6:2001:db8::1", 220),
        (b"XCLIENT addr=10.0.0.9", 220),
        (b"XCLIENT ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]", 220),
        (b"XCLIENT ADDR=10+2E0.0.9", 220),
    ],
)
async def test_attributes_are_read_as_filters_write_them(start_node, command, code):
    node = await start_node(allow_xclient=True)
    client = await node.greeted()
    assert (await client.command(command)).code == code


async def test_an_address_brings_no_text_into_the_header(start_node):
    node = await start_node(SEEN, allow_xclient=True)
    client = await node.greeted()
    reply = await client.command(b"XCLIENT ADDR=fe80::1+25a)+0D+0AX-Spam:+20no+0D+0AX-Rest:+20(")
    assert reply.code == 501
    assert (await seen_by_script(node, client))[0].startswith("127.0.0.1:")
    assert b"X-Spam" not in node.content()


async def test_an_address_in_either_family_s_spelling_may_relay(start_node):
    node = await start_node(allow_xclient=True, relay_hosts=["10.0.0.0/8"])
    client = await node.greeted()
    assert await client.codes(
        b"XCLIENT ADDR=IPV6:::ffff:10.0.0.9",
        b"EHLO c.test",
        b"MAIL FROM:<a@x.test>",
        b"RCPT TO:<b@y.test>",
    ) == [220, 250, 250, 250]


async def test_xclient_within_a_transaction_is_refused(start_node):
    node = await start_node(allow_xclient=True)
    client = await node.greeted()
    assert await client.codes(b"MAIL FROM:<a@x.test>", b"XCLIENT ADDR=10.0.0.9", b"RSET") == [
        250,
        503,
        250,
    ]


async def test_a_script_sees_the_address_behind_balancer_and_filter(start_node):
    script = "@on('smtp_ehlo')\ndef ehlo(domain, conn, extensions):\n"
    script += "    return [conn.auth_info()['peer_address']]\n"
    node = await start_node(script, require_proxy_protocol=True, allow_xclient=True)
    client = await node.connect()
    await client.send(V1)
    await client.reply()
    assert (await client.command(b"EHLO c.test")).lines[1:] == ["10.0.0.9"]
    assert (await client.command(b"XCLIENT ADDR=10.0.0.77")).code == 220
    assert (await client.command(b"EHLO c.test")).lines[1:] == ["10.0.0.77"]


async def test_mail_after_xclient_carries_no_identity_of_before(start_node):
    script = """
@on("smtp_auth_plain")
def auth(authz, authc, password, conn):
    return True

@on("smtp_ehlo")
def ehlo(domain, conn, extensions):
    return [str(len(conn.auth_info()["identities"]))]
"""
    node = await start_node(script, allow_xclient=True, relay_hosts=["10.0.0.0/8"])
    client = await node.over_tls()
    assert (await client.command(b"AUTH PLAIN AGEAYg==")).code == 235
    assert (await client.command(b"EHLO c.test")).lines[1:] == ["2"]
    assert (await client.command(b"XCLIENT ADDR=10.0.0.9")).code == 220
    assert (await client.command(b"EHLO c.test")).lines[1:] == ["0"]
    assert (await client.deliver(b"Subject: x\r\n\r\nhi\r\n")).code == 250
    assert not {"authn_id", "authz_id"} & node.taken[0].meta.keys()


async def test_who_authenticated_before_xclient_is_not_who_comes_after(start_node):
    script = SEEN + (
        "\n@on('smtp_auth_plain')\ndef auth(authz, authc, password, conn):\n    return True\n"
    )
    node = await start_node(script, allow_xclient=True, relay_hosts=[])
    client = await node.over_tls()
    assert (await client.command(b"AUTH PLAIN AGEAYg==")).code == 235
    assert (await client.command(b"XCLIENT ADDR=10.0.0.9")).code == 220
    assert await client.codes(b"EHLO c.test", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>") == [
        250,
        250,
        550,
    ]
