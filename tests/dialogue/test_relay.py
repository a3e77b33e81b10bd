"""Who may relay where: relay_hosts, listener domains, authentication; layers of options."""

from __future__ import annotations

import pytest

RELAY_TO = """
@on("get_listener_domain")
def domain(domain, listener, conn):
    if domain == "in.test" or domain == "xn--bcher-kva.test":
        return mta.make_listener_domain(relay_to=True)
    if domain == "out.test":
        return mta.make_listener_domain(relay_from=["127.0.0.0/8"])
    if domain == "far.test":
        return mta.make_listener_domain(relay_from=["10.0.0.0/8"])
    if domain == "odd.test":
        return int("17")
    if domain == "no.test":
        mta.reject(554, "5.7.9 never")
    if domain == "broken.test":
        return 1 // 0
"""


async def test_a_peer_outside_relay_hosts_may_not_relay(start_node):
    node = await start_node(relay_hosts=["10.0.0.0/8"])
    client = await node.greeted()

    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA") == [
        250,
        550,
        503,
    ]

    assert node.rejections[0].response.code == 550
    assert str(node.rejections[0].response.enhanced_code.subject) == "7"


@pytest.mark.parametrize(
    ("sender", "recipient", "code"),
    [
        (b"a@x.test", b"b@in.test", 250),
        (b"a@x.test", b"b@IN.test", 250),
        (b"a@x.test", "b@bücher.test".encode(), 250),
        (b"a@out.test", b"b@anywhere.test", 250),
        (b"a@far.test", b"b@anywhere.test", 550),
        (b"a@x.test", b"b@sub.in.test", 550),
        (b"", b"b@in.test", 250),
        (b"", b"b@y.test", 550),
        (b"a@x.test", b"b@odd.test", 451),
        (b"a@x.test", b"b@no.test", 554),
        (b"a@x.test", b"b@broken.test", 451),
    ],
)
async def test_a_listener_domain_decides_for_strangers(start_node, sender, recipient, code):
    node = await start_node(RELAY_TO, relay_hosts=[])
    client = await node.greeted()

    assert (await client.command(b"MAIL FROM:<" + sender + b">")).code == 250
    assert (await client.command(b"RCPT TO:<" + recipient + b">")).code == code


async def test_the_next_transaction_sees_what_the_script_says_now(start_node):
    node = await start_node(RELAY_TO, relay_hosts=[])
    client = await node.greeted()
    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@in.test>") == [250, 250]

    node.load("@on('get_listener_domain')\ndef domain(domain, listener, conn):\n    return None\n")

    assert await client.codes(b"RCPT TO:<c@in.test>") == [250]
    assert await client.codes(b"RSET", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@in.test>") == [
        250,
        250,
        550,
    ]


async def test_get_listener_domain_sees_the_connection_and_our_address(start_node):
    node = await start_node(
        """
@on("smtp_ehlo")
def ehlo(domain, conn, extensions):
    conn.set_meta("friend", domain)

@on("get_listener_domain")
def domain(domain, listener, conn):
    if listener.startswith("127.0.0.1:") and conn.get_meta("friend") == "friend.test":
        return mta.make_listener_domain(relay_to=True)
""",
        relay_hosts=[],
    )
    client = await node.greeted(hello=b"EHLO friend.test")

    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>") == [250, 250]


async def test_peer_layer_wins_over_the_base_and_longest_prefix_wins(start_node):
    node = await start_node(
        hostname="base.test",
        peer={
            "127.0.0.0/8": {"banner": "near"},
            "127.0.0.2/32": {"banner": "two", "hostname": "two.test"},
        },
        via={"127.0.0.1/32": {"relay_hosts": []}},
    )

    first = await node.connect()
    second = await node.connect(local="127.0.0.2")

    assert (await first.reply()).text == "base.test near"
    assert (await second.reply()).text == "two.test two"
    assert await first.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>") == [250, 550]


async def test_dynamic_parameters_win_over_the_layers(start_node):
    node = await start_node(
        """
@on("get_listener_parameters")
def parameters(listener, conn):
    return {
        "banner": "dynamic " + listener.rpartition(":")[0],
        "max_recipients_per_message": 1,
        "meta": {"who": conn.get_meta("received_from").rpartition(":")[0]},
        "peer": {"127.0.0.3": {"banner": "three"}},
    }

@on("message_received")
def received(msg):
    msg.set_meta("tenant", msg.get_meta("who") + msg.get_meta("base"))
""",
        peer={"127.0.0.0/8": {"banner": "peer", "max_recipients_per_message": 7}},
        meta={"base": "-base"},
    )

    client = await node.connect()
    other = await node.connect(local="127.0.0.3")

    assert (await client.reply()).text == "mx.test dynamic 127.0.0.1"
    assert (await other.reply()).text == "mx.test three"
    assert await client.codes(
        b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"RCPT TO:<c@y.test>"
    ) == [250, 250, 452]
    await client.command(b"RSET")
    await client.deliver(b"x\r\n")
    assert node.taken[0].meta["tenant"] == "127.0.0.1-base"


@pytest.mark.parametrize(
    "answer",
    [
        '{"listen": "127.0.0.1:1"}',
        '{"colour": "blue"}',
        '{"max_message_size": "big"}',
        "1 // 0",
        "list([1])",
    ],
)
async def test_dynamic_parameters_that_do_not_fit_turn_the_client_away(start_node, answer):
    node = await start_node(
        f"@on('get_listener_parameters')\ndef p(listener, conn):\n    return {answer}\n"
    )
    client = await node.connect()

    reply = await client.reply()

    assert (reply.code, reply.text) == (421, "4.3.0 policy unavailable, try again later")
    assert await client.rest() == b""


async def test_a_refusal_in_dynamic_parameters_is_the_greeting(start_node):
    node = await start_node(
        "@on('get_listener_parameters')\n"
        "def p(listener, conn):\n"
        "    mta.reject(554, '5.7.1 not you')\n"
    )
    client = await node.connect()

    assert repr(await client.reply()) == "554 5.7.1 not you"
    assert await client.rest() == b""
