"""Each command and each way to get it wrong, spoken by line, by octet and in one segment."""

from __future__ import annotations

import pytest

from tests.dialogue.wire import Dialogue, Pace, Step, line, mail, raw, speak

EHLO = line(b"EHLO c.test", 250)
MAIL = line(b"MAIL FROM:<a@x.test>", 250)
RCPT = line(b"RCPT TO:<b@y.test>", 250)
DATA = line(b"DATA", 354)
BODY = b"Subject: s\r\n\r\nhello\r\n"
SENT = raw(BODY + b".\r\n", 250)


def say(*steps: Step | tuple[Step, ...], taken: tuple[bytes, ...] = (), **rest: object) -> Dialogue:
    flat: list[Step] = []
    for step in steps:
        flat.extend([step] if isinstance(step, Step) else step)
    return Dialogue(tuple(flat), taken, **rest)  # type: ignore[arg-type]


DIALOGUES = {
    "a whole message": say(EHLO, mail(BODY), taken=(BODY,)),
    "two messages": say(
        EHLO, mail(BODY), mail(b"x: y\r\n\r\n2\r\n"), taken=(BODY, b"x: y\r\n\r\n2\r\n")
    ),
    "no EHLO at all": say(mail(BODY), taken=(BODY,)),
    "HELO": say(line(b"HELO c.test", 250), mail(BODY), taken=(BODY,)),
    "lower case and blanks": say(
        line(b"ehlo  c.test ", 250),
        line(b"mail from: <a@x.test>", 250),
        line(b"rcpt TO:<b@y.test> ", 250),
        line(b"data", 354),
        SENT,
        taken=(BODY,),
    ),
    "EHLO without a name": say(line(b"EHLO", 501), line(b"HELO ", 501), EHLO),
    "EHLO ends a transaction": say(EHLO, MAIL, RCPT, EHLO, line(b"DATA", 503), MAIL),
    "HELO ends a transaction": say(
        EHLO, MAIL, line(b"HELO c", 250), line(b"RCPT TO:<b@y.test>", 503)
    ),
    "RSET": say(EHLO, line(b"RSET", 250), MAIL, RCPT, line(b"RSET", 250), line(b"DATA", 503)),
    "RSET takes no argument": say(line(b"RSET now", 501)),
    "NOOP": say(line(b"NOOP", 250), line(b"NOOP anything at all", 250)),
    "QUIT": say(line(b"QUIT", 221), ends=True),
    "QUIT takes no argument": say(line(b"QUIT now", 501)),
    "what follows QUIT is not obeyed": say(EHLO, line(b"QUIT", 221), ends=True),
    "commands that are not offered": say(
        line(b"VRFY a", 502),
        line(b"EXPN list", 502),
        line(b"HELP", 502),
        line(b"LHLO c", 502),
        line(b"TURN", 502),
        line(b"", 502),
        line(b"GET / HTTP/1.1", 502),
    ),
    "RCPT before MAIL": say(EHLO, line(b"RCPT TO:<b@y.test>", 503)),
    "DATA before MAIL": say(EHLO, line(b"DATA", 503)),
    "DATA before RCPT": say(EHLO, MAIL, line(b"DATA", 503)),
    "DATA takes no argument": say(
        EHLO, MAIL, RCPT, line(b"DATA x", 501), DATA, SENT, taken=(BODY,)
    ),
    "MAIL twice": say(
        EHLO, MAIL, line(b"MAIL FROM:<c@x.test>", 503), RCPT, DATA, SENT, taken=(BODY,)
    ),
    "a refused MAIL opens nothing": say(
        EHLO, line(b"MAIL FROM:<bad>", 501), line(b"RCPT TO:<b@y.test>", 503)
    ),
    "MAIL syntax": say(
        EHLO,
        line(b"MAIL", 501),
        line(b"MAIL <a@x.test>", 501),
        line(b"MAIL FROM", 501),
        line(b"MAIL FROM:", 501),
        line(b"MAIL FROM:a@x.test", 501),
        line(b"MAIL FROM:<a@x.test", 501),
        line(b"MAIL FROM:<a@x.test>BODY=7BIT", 501),
        line(b"MAIL FROM:<a@>", 501),
        line(b"MAIL FROM:<@x.test>", 501),
        line(b"MAIL FROM:<a b@x.test>", 501),
        line(b"MAIL FROM:<a@x..test>", 501),
        line(b"MAIL FROM:<postmaster>", 501),
        MAIL,
    ),
    "RCPT syntax": say(
        EHLO,
        MAIL,
        line(b"RCPT", 501),
        line(b"RCPT b@y.test", 501),
        line(b"RCPT TO:<>", 501),
        line(b"RCPT TO:<b>", 501),
        line(b"RCPT TO:<b@[999.1.1.1]>", 501),
        line(b"RCPT FROM:<b@y.test>", 501),
        RCPT,
    ),
    "the null sender": say(EHLO, line(b"MAIL FROM:<>", 250), RCPT, DATA, SENT, taken=(BODY,)),
    "parameters of MAIL": say(
        EHLO,
        line(b"MAIL FROM:<a@x.test> SIZE=99999999999", 552),
        line(b"MAIL FROM:<a@x.test> SIZE=twelve", 501),
        line(b"MAIL FROM:<a@x.test> SIZE", 501),
        line(b"MAIL FROM:<a@x.test> BODY=9BIT", 501),
        line(b"MAIL FROM:<a@x.test> BODY=BINARYMIME", 501),
        line(b"MAIL FROM:<a@x.test> SMTPUTF8=yes", 501),
        line(b"MAIL FROM:<a@x.test> COLOUR=blue", 555),
        line(b"MAIL FROM:<a@x.test> SIZE=1 SIZE=2", 501),
        line(b"MAIL FROM:<a@x.test> =", 501),
        line(b"MAIL FROM:<a@x.test> size=100 body=8bitmime SMTPUTF8 AUTH=<> RET=HDRS ENVID=1", 250),
    ),
    "parameters of RCPT": say(
        EHLO,
        MAIL,
        line(b"RCPT TO:<b@y.test> COLOUR=blue", 555),
        line(b"RCPT TO:<b@y.test> NOTIFY=NEVER ORCPT=rfc822;b@y.test", 250),
    ),
    "quoted local parts": say(
        EHLO,
        line(b'MAIL FROM:<"a b"@x.test>', 250),
        line(b'RCPT TO:<"b>c"@y.test>', 250),
        line(b'RCPT TO:<"b\\"c"@y.test>', 250),
        line(b'RCPT TO:<"b@y.test>', 501),
    ),
    "source routes are ignored": say(
        EHLO,
        line(b"MAIL FROM:<@r.test:a@x.test>", 250),
        line(b"RCPT TO:<@r.test,@q.test:b@y.test>", 250),
        DATA,
        SENT,
        taken=(BODY,),
    ),
    "addresses beyond ASCII": say(
        EHLO,
        line("MAIL FROM:<jürgen@x.test> SMTPUTF8".encode(), 250),
        line("RCPT TO:<b@bücher.test>".encode(), 250),
        DATA,
        SENT,
        taken=(BODY,),
    ),
    "address literals": say(
        EHLO, MAIL, line(b"RCPT TO:<b@[127.0.0.1]>", 250), line(b"RCPT TO:<b@[IPv6:::1]>", 250)
    ),
    "postmaster without a domain": say(
        EHLO, MAIL, line(b"RCPT TO:<Postmaster>", 250), DATA, SENT, taken=(BODY,)
    ),
    "a bare newline in a command": say(raw(b"NOOP\n", 500), raw(b"\n", 500), EHLO),
    "a carriage return in a command": say(raw(b"NO\rOP\r\n", 500), EHLO),
    "control characters and other charsets": say(
        raw(b"NOOP \x00\r\n", 500), raw(b"EHLO \xff\xfe\r\n", 500), raw(b"\x1b[2J\r\n", 502), EHLO
    ),
    "a body that is only the dot": say(EHLO, mail(b""), taken=(b"\r\n",)),
    "a body that is one empty line": say(EHLO, mail(b"\r\n"), taken=(b"\r\n",)),
    "transparent dots": say(
        EHLO,
        mail(b"..first: line\r\n\r\n..\r\n.. two\r\n...three\r\n"),
        taken=(b".first: line\r\n\r\n.\r\n. two\r\n..three\r\n",),
    ),
    "octets kept as they are": say(
        EHLO,
        mail(
            b"s: t  \r\n\r\ntrailing \t \r\n\xe4\xf6\xfc\x00\x1b\r\n\r\n\r\n" + b"x" * 998 + b"\r\n"
        ),
        taken=(
            b"s: t  \r\n\r\ntrailing \t \r\n\xe4\xf6\xfc\x00\x1b\r\n\r\n\r\n"
            + b"x" * 998
            + b"\r\n",
        ),
    ),
    "a refused content closes the transaction": say(
        EHLO,
        mail(b"x\ny\r\n", 552),
        line(b"DATA", 503),
        mail(BODY),
        taken=(BODY,),
    ),
    "long lines, long commands and garbage on one connection": say(
        EHLO,
        mail(b"z" * 998 + b"\r\n"),
        mail(b"z" * 999 + b"\r\n", 500),
        line(b"NOOP " + b"n" * 993, 250),
        line(b"NOOP " + b"n" * 994, 500),
        line(b"NOOP " + b"n" * 2043, 500),
        raw(b"\x80\x81\x00\r\r\r\x02" * 50 + b"\r\n", 500),
        raw(b"\xff\n\xfe\n", 500, 500),
        mail(BODY),
        taken=(b"z" * 998 + b"\r\n", BODY),
    ),
    "too many recipients": say(
        EHLO,
        MAIL,
        RCPT,
        line(b"RCPT TO:<c@y.test>", 250),
        line(b"RCPT TO:<d@y.test>", 452),
        DATA,
        SENT,
        taken=(BODY, BODY),
        listener={"max_recipients_per_message": 2},
    ),
    "messages on a connection are counted, not recipients": say(
        EHLO,
        MAIL,
        RCPT,
        line(b"RCPT TO:<c@y.test>", 250),
        line(b"RCPT TO:<d@y.test>", 250),
        line(b"RSET", 250),
        mail(BODY),
        mail(BODY),
        line(b"MAIL FROM:<a@x.test>", 421),
        taken=(BODY, BODY),
        listener={"max_messages_per_connection": 2},
        ends=True,
    ),
    "a message over the size": say(
        EHLO,
        mail(b"x" * 100 + b"\r\n", 552),
        mail(b"y" * 98 + b"\r\n"),
        mail((b"z" * 98 + b"\r\n") * 40, 552),
        taken=(b"y" * 98 + b"\r\n",),
        listener={"max_message_size": 100},
    ),
    "transparent dots do not count": say(
        EHLO,
        mail(b"..\r\n" * 2000),
        taken=(b".\r\n" * 2000,),
        listener={"max_message_size": 6000},
    ),
    "BDAT in one chunk": say(EHLO, MAIL, RCPT, raw(b"BDAT 21 LAST\r\n" + BODY, 250), taken=(BODY,)),
    "BDAT in three chunks": say(
        EHLO,
        MAIL,
        RCPT,
        raw(b"BDAT 10\r\n" + BODY[:10], 250),
        raw(b"BDAT 11\r\n" + BODY[10:], 250),
        raw(b"BDAT 0 LAST\r\n", 250),
        mail(BODY),
        taken=(BODY, BODY),
    ),
    "BDAT keeps dots": say(
        EHLO,
        MAIL,
        RCPT,
        raw(b"BDAT 13 LAST\r\n.\r\n..\r\nx\r\n.\r\n", 250),
        line(b"RSET", 250),
        taken=(b".\r\n..\r\nx\r\n.\r\n",),
    ),
    "BDAT without a transaction": say(
        EHLO,
        raw(b"BDAT 5\r\nQUIT\r", 503),
        MAIL,
        raw(b"BDAT 6 LAST\r\nQUIT\r\n", 503),
        line(b"NOOP", 250),
    ),
    "BDAT syntax": say(
        EHLO,
        MAIL,
        RCPT,
        line(b"BDAT", 501),
        line(b"BDAT x", 501),
        line(b"BDAT -1", 501),
        line(b"BDAT 1 FIRST", 501),
    ),
    "commands that must not stand between chunks": say(
        EHLO,
        MAIL,
        RCPT,
        raw(b"BDAT 3\r\nx\r\n", 250),
        line(b"MAIL FROM:<a@x.test>", 503),
        line(b"RCPT TO:<c@y.test>", 503),
        line(b"DATA", 503),
        line(b"NOOP", 250),
        raw(b"BDAT 3 LAST\r\ny\r\n", 250),
        taken=(b"x\r\ny\r\n",),
    ),
    "BDAT and RSET": say(
        EHLO,
        MAIL,
        RCPT,
        raw(b"BDAT 3\r\nx\r\n", 250),
        line(b"RSET", 250),
        raw(b"BDAT 3 LAST\r\ny\r\n", 503),
        mail(BODY),
        taken=(BODY,),
    ),
    "BDAT over the size": say(
        EHLO,
        MAIL,
        RCPT,
        raw(b"BDAT 101\r\n" + b"q" * 101, 552),
        raw(b"BDAT 4\r\nQUIT", 552),
        raw(b"BDAT 0 LAST\r\n", 552),
        mail(b"y\r\n"),
        taken=(b"y\r\n",),
        listener={"max_message_size": 100},
    ),
    "BDAT with a bare newline": say(
        EHLO, MAIL, RCPT, raw(b"BDAT 4 LAST\r\nx\ny\n", 552), line(b"NOOP", 250)
    ),
}


@pytest.mark.parametrize("pace", Pace, ids=lambda pace: pace.value)
@pytest.mark.parametrize("name", DIALOGUES)
async def test_a_dialogue_has_the_same_outcome_however_it_is_cut(start_node, name, pace):
    dialogue = DIALOGUES[name]
    node = await start_node(dialogue.script, **dialogue.listener)

    await speak(node, dialogue, pace)

    assert tuple(node.bodies()) == dialogue.taken
    if dialogue.taken:
        stored = set(node.store.bodies.values())
        assert stored == set(dialogue.taken)


async def test_ehlo_offers_what_the_listener_has(start_node):
    node = await start_node(max_message_size=12345)
    client = await node.connect()
    await client.reply()

    reply = await client.command(b"EHLO me")

    assert reply.lines[0] == "mx.test Aloha me"
    assert reply.lines[1:] == [
        "PIPELINING",
        "SIZE 12345",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "STARTTLS",
    ]


async def test_helo_offers_nothing(start_node):
    node = await start_node()
    client = await node.connect()
    assert (await client.reply()).lines == ["mx.test Cirrus"]

    reply = await client.command(b"HELO me")

    assert reply.lines == ["mx.test Hello me!"]


async def test_replies_to_a_pipeline_come_in_one_write(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<bad>\r\nDATA\r\n")
    first = await client.reader.read(10_000)

    assert [row[:3] for row in first.splitlines()] == [b"250", b"250", b"501", b"354"]


async def test_an_address_reaches_the_envelope_in_one_form(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.deliver(
        b"x\r\n", sender=b"@r.test:A@X.test", to=(b'"plain"@y.test', b'"b c"@y.test', b"postmaster")
    )

    assert {message.sender for message in node.taken} == {"A@X.test"}
    assert [message.recipients for message in node.taken] == [
        ["plain@y.test"],
        ['"b c"@y.test'],
        ["postmaster@mx.test"],
    ]


async def test_a_name_beyond_ascii_is_queued_by_its_a_label(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.deliver(b"x\r\n", to=("b@Bücher.test".encode(),))

    assert node.taken[0].queue_name == "xn--bcher-kva.test"
    assert b" for <b@B\xc3\xbccher.test>;" in node.content()


async def test_enhanced_codes_tell_what_is_wrong(start_node):
    node = await start_node()
    client = await node.greeted()

    for command, wanted in (
        (b"MAIL FROM:<bad>", "5.1.7 "),
        (b"RCPT TO:<b@y.test>", "5.5.0 "),
        (b"MAIL FROM:<a@x.test> SIZE=99999999999", "5.3.4 "),
        (b"NOSUCH", "5.5.1 "),
        (b"MAIL FROM:<a@x.test>", "2.1.0 "),
        (b"RCPT TO:<bad@>", "5.1.3 "),
    ):
        assert (await client.command(command)).text.startswith(wanted), command


async def test_ten_million_octets_without_a_line_end_cost_no_memory(start_node):
    node = await start_node()
    client = await node.greeted()
    (session,) = node.listener.sessions
    most = 0

    for _ in range(100):
        await client.send(b"x" * 100_000)
        most = max(most, len(session._in))
    await client.send(b"\r\n")

    assert (await client.reply()).code == 500
    assert most <= 512 << 10
    assert (await client.deliver(b"after\r\n")).code == 250


async def test_a_line_of_ten_million_octets_in_content_is_refused_and_the_connection_goes_on(
    start_node,
):
    node = await start_node(max_message_size=1 << 20)
    client = await node.greeted()
    assert await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA") == [
        250,
        250,
        354,
    ]

    for _ in range(100):
        await client.send(b"x" * 100_000)
    await client.send(b"\r\n.\r\n")

    assert (await client.reply()).code == 552
    assert (await client.deliver(b"after\r\n")).code == 250


async def test_a_client_that_never_ends_its_content_is_cut_off(start_node, monkeypatch):
    monkeypatch.setattr("engine.receive.data_reader.EXCESS_MIN_BYTES", 1 << 20)
    node = await start_node(max_message_size=1000)
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")

    for _ in range(20):
        client.writer.write(b"x" * 100_000)

    assert (await client.reply()).code == 552
    assert await client.rest() == b""


async def test_a_client_of_a_thousand_errors_in_a_row_is_cut_off(start_node):
    node = await start_node()
    client = await node.greeted()

    await client.send(b"WHAT\r\n" * 1001)
    codes = [(await client.reply()).code for _ in range(1002)]

    assert codes == [502] * 1001 + [421]
    assert await client.rest() == b""


async def test_errors_between_accepted_commands_do_not_add_up(start_node):
    node = await start_node()
    client = await node.greeted()

    for _ in range(3):
        await client.send(b"WHAT\r\n" * 600 + b"MAIL FROM:<a@x.test>\r\nRSET\r\n")
        codes = [(await client.reply()).code for _ in range(602)]
        assert codes == [502] * 600 + [250, 250]
