"""What a script can do to a dialogue, event by event."""

from __future__ import annotations

import pytest

from engine.model.log_record import RecordKind

EVENTS = {
    "smtp_connection_accepted": "conn",
    "smtp_ehlo": "domain, conn, extensions",
    "smtp_mail_from": "sender, conn",
    "smtp_rcpt_to": "recipient, conn",
    "smtp_data": "msg, conn",
    "smtp_split_transaction": "msg, conn",
    "message_received": "msg",
}
BODY = b"Subject: s\r\n\r\nhello\r\n"


def handler(event: str, action: str, *, style: str = "def") -> str:
    return f"@on({event!r})\n{style} handler({EVENTS[event]}):\n    {action}\n"


async def dialogue_up_to_the_refusal(node) -> tuple[object, object]:
    """Speak a transaction; return the client and the first reply of 4xx or 5xx, or the last."""
    client = await node.connect()
    reply = await client.reply()
    for line in (
        b"EHLO c.test",
        b"MAIL FROM:<a@x.test>",
        b"RCPT TO:<b@y.test>",
        b"DATA",
        BODY + b".",
    ):
        if reply.code >= 400:
            break
        reply = await client.command(line)
    return client, reply


@pytest.mark.parametrize("style", ["def", "async def"])
@pytest.mark.parametrize("event", EVENTS)
async def test_a_refusal_is_told_as_written_and_nothing_is_taken(start_node, event, style):
    node = await start_node(handler(event, "mta.reject(551, '5.7.77 not\\ntoday')", style=style))

    client, reply = await dialogue_up_to_the_refusal(node)

    assert (reply.code, reply.lines) == (551, ["5.7.77 not", "5.7.77 today"])
    assert node.taken == []
    assert not node.store.envelopes
    (record,) = node.rejections
    assert record.response.content == "not today"
    if event == "smtp_connection_accepted":
        assert await client.rest() == b""
    else:
        assert await client.codes(b"NOOP") == [250]


@pytest.mark.parametrize("style", ["def", "async def"])
@pytest.mark.parametrize("event", EVENTS)
async def test_an_error_is_451_and_its_text_stays_inside(start_node, event, style):
    node = await start_node(handler(event, "return {}['very secret']", style=style))

    client, reply = await dialogue_up_to_the_refusal(node)

    assert (reply.code, reply.text) == (451, "4.3.0 policy unavailable, try again later")
    assert node.taken == []
    assert b"secret" not in node.records_text()
    if event != "smtp_connection_accepted":
        assert await client.codes(b"NOOP") == [250]


@pytest.mark.parametrize("event", EVENTS)
async def test_an_endless_loop_is_451_and_the_next_client_is_served(start_node, event):
    node = await start_node(handler(event, "while True: pass"))

    _, reply = await dialogue_up_to_the_refusal(node)

    assert reply.code == 451
    node.load("")
    assert (await (await node.greeted()).deliver(BODY)).code == 250


@pytest.mark.parametrize("event", EVENTS)
async def test_421_closes_the_connection(start_node, event):
    node = await start_node(handler(event, "mta.reject(421, '4.7.0 go away')"))

    client, reply = await dialogue_up_to_the_refusal(node)

    assert reply.code == 421
    assert await client.rest() == b""


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("call", "last"),
    [
        ("mta.disconnect(550, '5.7.1 bye')", b""),
        ("mta.disconnect(550, '5.7.1 bye', 'ForceDisconnect')", b""),
        (
            "mta.disconnect(550, '5.7.1 bye', mode='FollowWith421')",
            b"421 4.3.0 mx.test closing\r\n",
        ),
        ("mta.disconnect(421, '4.7.1 bye', 'FollowWith421')", b""),
    ],
)
async def test_disconnect_closes_in_the_mode_asked_for(start_node, event, call, last):
    node = await start_node(handler(event, call))

    client, reply = await dialogue_up_to_the_refusal(node)

    assert reply.text.endswith(".7.1 bye")
    assert await client.rest() == last


@pytest.mark.parametrize("event", sorted(EVENTS.keys() - {"smtp_connection_accepted"}))
async def test_if421_keeps_the_connection_for_other_codes(start_node, event):
    node = await start_node(handler(event, "mta.disconnect(550, '5.7.1 bye', 'If421')"))

    client, reply = await dialogue_up_to_the_refusal(node)

    assert reply.code == 550
    assert await client.codes(b"NOOP") == [250]


async def test_a_script_cannot_catch_its_own_refusal(start_node):
    node = await start_node(
        """
@on("smtp_mail_from")
def mail_from(sender, conn):
    try:
        mta.reject(550, "5.7.1 no")
    except Exception:
        pass
    finally:
        conn.set_meta("seen", True)
"""
    )
    client = await node.greeted()

    assert await client.codes(b"MAIL FROM:<a@x.test>") == [550]


async def test_handlers_see_addresses_and_connection(start_node):
    node = await start_node(
        """
@on("smtp_connection_accepted")
def accepted(conn):
    conn.set_meta("tag", "t-" + conn.get_meta("hostname"))

@on("smtp_mail_from")
def mail_from(sender, conn):
    conn.set_meta("from", [sender.user, sender.domain, sender.email, str(sender)])

@on("smtp_rcpt_to")
def rcpt_to(recipient, conn):
    if recipient.user == "spam":
        mta.reject(550, "5.1.1 no such user")

@on("message_received")
def received(msg):
    msg.set_meta("tenant", msg.get_meta("tag"))
    msg.set_meta("protocol", msg.get_meta("reception_protocol"))
"""
    )
    client = await node.greeted()

    codes = await client.codes(
        b"MAIL FROM:<Ann@X.test>", b"RCPT TO:<spam@y.test>", b"RCPT TO:<b@y.test>", b"DATA"
    )
    await client.command(BODY + b".")

    assert codes == [250, 550, 250, 354]
    (message,) = node.taken
    assert message.meta["from"] == ["Ann", "x.test", "Ann@X.test", "Ann@X.test"]
    assert message.meta["protocol"] == "ESMTP"
    assert message.queue_name == "t-mx.test@y.test"
    assert message.recipients == ["b@y.test"]


async def test_ehlo_handler_replaces_what_is_offered(start_node):
    node = await start_node(
        handler("smtp_ehlo", "return ['SIZE 5', 'X-' + domain] if extensions else None")
    )
    client = await node.connect()
    await client.reply()

    assert (await client.command(b"EHLO me")).lines == ["mx.test Aloha me", "SIZE 5", "X-me"]
    assert (await client.command(b"HELO me")).lines == ["mx.test Hello me!"]


REWRITE = """
@on("smtp_rewrite_response")
def rewrite(status, response, command, conn):
    if status == 220:
        return (None, "welcome\\nto us")
    if command and command.startswith("MAIL"):
        return (450, "4.1.8 was " + str(status))
    if status == 502:
        return (999, "no such code")
    if status == 503:
        return 1 // 0
    if response == "2.0.0 OK":
        return (None, None)
"""


async def test_replies_can_be_rewritten(start_node):
    node = await start_node(REWRITE)
    client = await node.connect()

    assert (await client.reply()).lines == ["welcome", "to us"]
    await client.command(b"EHLO c")
    assert repr(await client.command(b"MAIL FROM:<bad>")) == "450 4.1.8 was 501"
    assert (await client.command(b"VRFY a")).code == 502
    assert repr(await client.command(b"DATA")) == "503 5.5.0 MAIL first"
    assert repr(await client.command(b"NOOP")) == "250 2.0.0 OK"
    assert [record.response.code for record in node.rejections] == [450, 502, 503]


async def test_every_reply_names_the_command_it_answers(start_node):
    node = await start_node(
        "@on('smtp_rewrite_response')\n"
        "def r(status, response, command, conn):\n"
        "    return (None, 'to ' + str(command))\n"
    )
    client = await node.greeted()
    said = [b"NOOP", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA"]

    lines = [(await client.command(line)).lines for line in said]
    await client.send(b"a: b\r\n.\r\n")
    lines.append((await client.reply()).lines)
    lines += [(await client.command(line)).lines for line in (b"RSET", b"HELO c", b"QUIT")]

    spoken = [*said, b".", b"RSET", b"HELO c", b"QUIT"]
    assert lines == [[f"to {command.decode()}"] for command in spoken]


async def test_a_reply_rewritten_to_421_closes(start_node):
    node = await start_node(
        "@on('smtp_rewrite_response')\n"
        "def r(status, response, command, conn):\n"
        "    return (421, '4.7.0 bye') if status == 502 else None\n"
    )
    client = await node.greeted()

    assert await client.codes(b"HELP") == [421]
    assert await client.rest() == b""


async def test_smtp_data_edits_what_is_split_and_stored(start_node):
    node = await start_node(
        """
@on("smtp_data")
def data(msg, conn):
    conn.set_meta("late", "yes")
    msg.append_header("X-Count", str(len(msg.recipient_list)))
    msg.recipient_list = ["b@y.test", "c@z.test"]
    msg.sender = "new@x.test"
    msg.set_meta("campaign", "spring")
"""
    )
    client = await node.greeted()

    await client.deliver(BODY, to=(b"1@y.test", b"2@y.test", b"3@y.test"))

    assert [message.recipients for message in node.taken] == [["b@y.test"], ["c@z.test"]]
    assert {message.sender for message in node.taken} == {"new@x.test"}
    assert [message.queue_name for message in node.taken] == ["spring:@y.test", "spring:@z.test"]
    assert list(node.store.bodies.values()) == [b"Subject: s\r\nX-Count: 3\r\n\r\nhello\r\n"]
    assert (await client.deliver(BODY)).code == 250


async def test_one_body_is_stored_for_many_recipients(start_node):
    node = await start_node()
    client = await node.greeted()
    recipients = tuple(b"r%d@d%d.test" % (i, i % 7) for i in range(200))

    reply = await client.deliver(BODY, to=recipients)

    assert len(node.store.envelopes) == 200
    assert list(node.store.bodies.values()) == [BODY]
    assert [message.recipients[0].encode() for message in node.taken] == list(recipients)
    ids = " ".join(reply.text.replace("2.0.0 ", "").removeprefix("OK ids=").split())
    assert ids.split() == [message.id for message in node.taken]
    assert len(node.records(RecordKind.RECEPTION)) == 200


async def test_batches_by_domain_keep_the_order(start_node):
    node = await start_node(batch_handling="BatchByDomain")
    client = await node.greeted()

    await client.deliver(BODY, to=(b"a@y.test", b"b@z.test", b"c@Y.test", b"d@y.test"))

    assert [message.recipients for message in node.taken] == [
        ["a@y.test", "c@Y.test", "d@y.test"],
        ["b@z.test"],
    ]
    assert b" for <" not in node.content(0)
    assert b" for <b@z.test>" in node.content(1)


async def test_the_split_handler_decides_the_batches(start_node):
    node = await start_node(
        handler(
            "smtp_split_transaction",
            "r = msg.recipient_list; return [[r[0], r[2]], [], ['other@q.test']]",
        )
    )
    client = await node.greeted()

    await client.deliver(BODY, to=(b"a@y.test", b"b@y.test", b"c@y.test"))

    assert [message.recipients for message in node.taken] == [
        ["a@y.test", "c@y.test"],
        ["other@q.test"],
    ]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("[]", 550),
        ("[[]]", 550),
        ("[['not an address']]", 451),
        ("int(7)", 451),
        ("[7]", 451),
        ("[['a@b.test'], 3]", 451),
    ],
)
async def test_a_split_that_makes_no_sense_takes_nothing(start_node, answer, code):
    node = await start_node(handler("smtp_split_transaction", f"return {answer}"))
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == code
    assert node.taken == []


async def test_one_refused_part_refuses_the_transaction(start_node):
    node = await start_node(
        handler("message_received", "if msg.recipient.user == 'bad': mta.reject(550, '5.1.1 bad')")
    )
    client = await node.greeted()

    assert (await client.deliver(BODY, to=(b"a@y.test", b"bad@y.test", b"c@y.test"))).code == 550

    assert node.taken == []
    assert not node.store.envelopes
    assert node.records(RecordKind.RECEPTION) == []


async def test_a_part_edited_by_its_handler_has_a_body_of_its_own(start_node):
    node = await start_node(
        handler("message_received", "if msg.recipient.user == 'b': msg.append_header('X-For', 'b')")
    )
    client = await node.greeted()

    await client.deliver(BODY, to=(b"a@y.test", b"b@y.test", b"c@y.test"))

    assert set(node.store.bodies.values()) == {b"Subject: s\r\nX-For: b\r\n\r\nhello\r\n", BODY}
    assert len(node.store.bodies) == 2
    assert [node.content(i).endswith(BODY) for i in range(3)] == [True, False, True]


async def test_message_received_sees_the_received_field_and_edits_leave_other_octets(start_node):
    node = await start_node(
        """
@on("message_received")
def received(msg):
    msg.set_meta("hops", len(msg.get_all_named_header_values("received")))
    msg.prepend_header("X-First", "1")
    msg.remove_all_named_headers("x-drop")
""",
        trace_headers={"supplemental_header": False},
    )
    client = await node.greeted()

    await client.deliver(
        b"X-Drop: a\r\n b\r\nSUBJECT :  odd \t\r\nx-drop: c\r\n"
        b"Received: from a\r\n\r\nX-Drop: body\r\n"
    )

    assert node.taken[0].meta["hops"] == 2
    assert node.content().startswith(b"X-First: 1\r\nReceived: from c.test (127.0.0.1)\r\n")
    assert node.content().endswith(b"SUBJECT :  odd \t\r\nReceived: from a\r\n\r\nX-Drop: body\r\n")


async def test_the_null_queue_discards_and_says_250(start_node):
    node = await start_node(handler("message_received", "msg.set_meta('queue', 'null')"))
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == 250

    assert node.taken == []
    assert not node.store.envelopes
    assert len(node.records(RecordKind.RECEPTION)) == 1


@pytest.mark.parametrize("name", ["", "tenant@", "c:t@"])
async def test_a_queue_without_a_domain_defers(start_node, name):
    node = await start_node(handler("message_received", f"msg.set_meta('queue', {name!r})"))
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == 451
    assert node.taken == []


async def test_trace_headers_as_the_listener_says(start_node):
    node = await start_node(
        trace_headers={
            "received_header": False,
            "header_name": "X-Ref",
            "include_meta_names": ["hostname"],
        }
    )
    client = await node.greeted()

    await client.deliver(BODY)

    assert node.content().startswith(b"X-Ref: eyJfQF8iOiJcXF8v")
    assert b"Received:" not in node.content()


async def test_a_transaction_under_way_finishes_on_its_epoch(start_node):
    node = await start_node(handler("message_received", "msg.set_meta('tenant', 'old')"))
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")

    node.load(handler("message_received", "msg.set_meta('tenant', 'new')"))
    assert (await client.command(BODY + b".")).code == 250
    assert (await client.deliver(BODY)).code == 250

    assert [message.meta["tenant"] for message in node.taken] == ["old", "new"]
