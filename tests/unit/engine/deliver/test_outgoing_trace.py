"""What outgoing sessions tell those who watch: with whom, what is said, and no credential."""

from __future__ import annotations

import asyncio
import base64

from engine.base.trace_hub import TraceHub
from engine.deliver.dispatcher import SmtpDispatcher
from engine.deliver.outgoing_trace import OutgoingTrace
from engine.model.message import Message, new_spool_id
from engine.route.mx_plan import RouteHost
from tests.fakes.dispatch import DispatchWorld, host
from tests.fakes.scripted_peer import scripted_peer


def watched():
    hub = TraceHub()
    reader = hub.subscribe(lambda meta: True)
    return OutgoingTrace(hub, lambda: 7.0), reader


def message():
    made = Message(new_spool_id(), "s@x.test", ["r@y.test"], data=b"", size=0, created_at=0.0)
    made.queue_name = "c:t@y.test"
    made.pool = "p"
    return made


async def told(reader):
    reader.close()
    found = []
    while (item := await reader.next()) is not None:
        found.append(item)
    return found


async def test_what_is_known_grows_with_the_session():
    trace, reader = watched()
    carried = message()
    trace.begin(session_id="1", ready_queue="q", egress_source="s")
    trace.obtained(carried)
    trace.connected("mx.y.test", "192.0.2.1", None)
    trace.closed()

    begun, obtained, connected, closed = await told(reader)
    assert (begun.kind, begun.meta) == (
        "BeginSession",
        {"session_id": "1", "ready_queue": "q", "egress_source": "s"},
    )
    assert obtained.meta["tenant"] == "t" and "routing_domain" not in obtained.meta
    assert (obtained.meta["rcpt_to"], obtained.meta["egress_pool"]) == (["r@y.test"], "p")
    assert (connected.kind, connected.meta["mx_addr"]) == ("Connected", "192.0.2.1")
    assert closed.kind == "Closed"


async def test_credentials_are_never_told_also_where_the_host_repeats_them():
    trace, reader = watched()
    secret = base64.b64encode(b"\0ann\0hunter2").decode()
    trace.wrote(f"AUTH PLAIN {secret}")
    trace.read(f"535 5.7.8 wrong: AUTH PLAIN {secret}\r\n")
    trace.wrote("MAIL FROM:<author@x.test>")
    trace.content(b"Subject: AUTH PLAIN")

    events = await told(reader)
    assert secret not in "".join(str(event.value) for event in events)
    assert events[0].value == "AUTH PLAIN [redacted]\r\n"
    assert events[1].value == "535 5.7.8 wrong: AUTH PLAIN [redacted]\r\n"
    assert events[2].value == "MAIL FROM:<author@x.test>\r\n"
    assert events[3].is_content


async def test_what_is_learnt_while_nobody_watches_is_known_to_who_comes_later():
    hub = TraceHub()
    trace = OutgoingTrace(hub, lambda: 7.0)
    trace.begin(session_id="1")
    trace.connected("mx", "192.0.2.1", "192.0.2.9")
    reader = hub.subscribe(lambda meta: True)
    trace.diagnostic("ERROR", "x")

    (event,) = await told(reader)
    assert event.meta["source_addr"] == "192.0.2.9"


async def test_a_delivery_is_told_from_its_beginning_to_its_end():
    async with scripted_peer() as peer:
        world = DispatchWorld(hosts=[host(peer)])
        world.services.tracing = TraceHub()
        reader = world.services.tracing.subscribe(lambda meta: True)
        world.add("b@y.test")
        await SmtpDispatcher(world, world.services).run()
        await asyncio.sleep(1)

    events = await told(reader)
    kinds = [event.kind for event in events]
    assert kinds[:4] == ["BeginSession", "MessageObtained", "Connected", "Read"]
    assert kinds[-1] == "Closed"
    said = [event.value for event in events if event.kind == "Write" and not event.is_content]
    assert said[0].startswith("EHLO ") and said[-1] == "QUIT\r\n"
    assert any("MAIL FROM:<a@x.test>" in line for line in said)
    assert sum(event.is_content for event in events) == 1
    assert {event.meta["mx_host"] for event in events[2:]} == {"mx.test"}
    assert events[1].meta["rcpt_to"] == ["b@y.test"]


async def test_a_connection_that_fails_is_told_with_the_reason():
    world = DispatchWorld(hosts=[RouteHost(0, "mx.test", 1, ("127.0.0.1",))])
    world.services.tracing = TraceHub()
    reader = world.services.tracing.subscribe(lambda meta: True)
    world.add("b@y.test")
    await SmtpDispatcher(world, world.services).run()

    (diagnostic,) = [event for event in await told(reader) if event.kind == "Diagnostic"]
    assert diagnostic.value["level"] == "ERROR"
    assert "mx.test/127.0.0.1" in diagnostic.value["message"]
