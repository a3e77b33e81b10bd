"""What incoming sessions tell those who watch: all that is said, and no credential."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace

import pytest

from engine.base.trace_hub import TraceHub
from engine.receive.session_trace import SessionTrace, trace_of
from tests.fakes.smtp_node import smtp_node

SECRET = base64.b64encode(b"\0ann\0hunter2").decode()


def watched():
    hub = TraceHub()
    session = SimpleNamespace(
        tracing=hub,
        trace=None,
        meta={"received_from": "192.0.2.1:4000"},
        session_id="s-1",
        ports=SimpleNamespace(clock=SimpleNamespace(wall=lambda: 7.0)),
    )
    return session, hub.subscribe(lambda meta: True)


async def told(reader):
    reader.close()
    found = []
    while (item := await reader.next()) is not None:
        found.append(item)
    return found


async def test_an_event_has_a_copy_of_what_is_known_of_the_session():
    session, reader = watched()
    trace_of(session).read_line(b"NOOP\r\n")
    session.meta["received_from"] = "changed"

    (event,) = await told(reader)
    assert event.meta == {"received_from": "192.0.2.1:4000", "session_id": "s-1"}
    assert (event.kind, event.value, event.at) == ("Read", b"NOOP\r\n", 7.0)
    assert trace_of(session) is trace_of(session)


@pytest.mark.parametrize(
    "lines",
    [
        [f"AUTH PLAIN {SECRET}"],
        ["AUTH PLAIN", SECRET],
        ["auth login", base64.b64encode(b"ann").decode(), base64.b64encode(b"hunter2").decode()],
        [f"  Auth PLAIN {SECRET}"],
        [f"XAUTH {SECRET}"],
        ["AUTH LOGIN", f"{SECRET} {SECRET}", SECRET],
    ],
)
async def test_credentials_are_never_told(lines):
    session, reader = watched()
    for line in [*lines, "MAIL FROM:<author@x.test>", "RCPT TO:<auth@y.test>"]:
        trace_of(session).read_line(f"{line}\r\n".encode())

    events = await told(reader)
    text = b"".join(
        one.value if isinstance(one.value, bytes) else one.value.encode() for one in events
    )
    for secret in (SECRET, "hunter2", base64.b64encode(b"hunter2").decode()):
        assert secret.encode() not in text
    assert b"MAIL FROM:<author@x.test>" in text and b"RCPT TO:<auth@y.test>" in text


async def test_the_content_is_told_as_such_and_messages_with_their_queues():
    session, reader = watched()
    message = SimpleNamespace(
        queue_name="y.test", meta={"a": 1}, sender="s", recipients=["r", "q"], id="1"
    )
    trace = SessionTrace(session)
    trace.content(b"Subject: x")
    trace.disposed([message])
    trace.callback("smtp_mail_from", None)
    trace.diagnostic("ERROR", "text")

    content, disposed, callback, diagnostic = await told(reader)
    assert content.is_content and not disposed.is_content
    assert (disposed.value["queue"], disposed.value["recipient"]) == ("y.test", ["r", "q"])
    assert disposed.value["will_enqueue"] is True
    assert callback.value == {"name": "smtp_mail_from", "result": None, "error": None}
    assert diagnostic.value == {"level": "ERROR", "message": "text"}


SCRIPT = """
    @on("smtp_mail_from")
    def smtp_mail_from(sender, conn):
        pass
"""


async def test_a_whole_session_is_told_as_it_happens(tmp_path):
    async with smtp_node(tmp_path, SCRIPT, relay_hosts=["127.0.0.1"]) as node:
        reader = node.tracing.server.subscribe(lambda meta: True)
        client = await node.greeted()
        assert (await client.deliver(b"Subject: x\r\n\r\nhello\r\n")).code == 250
        await client.command(b"QUIT")
        await client.rest()
        await asyncio.sleep(1)

        events = await told(reader)

    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1]) == ("Connected", "Closed")
    read = b"".join(one.value for one in events if one.kind == "Read" and not one.is_content)
    assert read.startswith(b"EHLO c.test\r\nMAIL FROM:<a@x.test>\r\n")
    written = b"".join(event.value for event in events if event.kind == "Write")
    assert written.startswith(b"220 ") and b"\r\n250 2.0.0 OK ids=" in written
    (content,) = [event.value for event in events if event.is_content]
    assert b"hello" in content
    (disposed,) = [event.value for event in events if event.kind == "MessageDisposition"]
    assert (disposed["id"], disposed["queue"]) == (node.taken[0].id, "y.test")
    assert [one.value["name"] for one in events if one.kind == "Callback"] == ["smtp_mail_from"]
    assert len({event.meta["session_id"] for event in events}) == 1


async def test_a_session_that_began_before_is_told_from_now_on(tmp_path):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()
        reader = node.tracing.server.subscribe(lambda meta: True)
        await client.command(b"NOOP")

        events = await told(reader)
        await client.command(b"NOOP")

        assert [event.value for event in events] == [b"NOOP\r\n", b"250 2.0.0 OK\r\n"]
