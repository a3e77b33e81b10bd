"""Watching SMTP sessions: which, and what is shown of them."""

from __future__ import annotations

import json

import pytest

from engine.admin.tracing import (
    CLIENT_PATH,
    SERVER_PATH,
    ClientFilter,
    ServerFilter,
    client_wants,
    server_wants,
    show_event,
    show_missed,
)
from tests.fakes.admin_world import operating
from tests.fakes.stream_reader import event, receive, until

# -- filters and frames


@pytest.mark.parametrize(
    ("wanted", "meta", "is_wanted"),
    [
        ({}, {"received_from": "192.0.2.1:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {"received_from": "192.0.2.1:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {"received_from": "[2001:db8::1]:4000"}, False),
        ({"source_addr": ["2001:db8::/32"]}, {"received_from": "[2001:db8::1]:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {}, True),
    ],
)
def test_incoming_sessions_are_chosen_by_client(wanted, meta, is_wanted):
    assert server_wants(ServerFilter(**wanted))(meta) is is_wanted


@pytest.mark.parametrize(
    ("wanted", "meta", "is_wanted"),
    [
        ({"domain": ["a.test", "b.test"]}, {"domain": "b.test"}, True),
        ({"domain": ["a.test"]}, {"domain": "b.test"}, False),
        ({"domain": ["a.test"]}, {"tenant": "t"}, True),
        ({"domain": ["a.test"], "tenant": ["t"]}, {"domain": "a.test", "tenant": "u"}, False),
        ({"rcpt_to": ["x@a.test"]}, {"rcpt_to": ["x@a.test", "y@a.test"]}, True),
        ({"rcpt_to": ["z@a.test"]}, {"rcpt_to": ["x@a.test", "y@a.test"]}, False),
        ({"mx_addr": ["192.0.2.0/24"]}, {"mx_addr": "192.0.2.7"}, True),
        ({"mx_addr": ["192.0.2.0/24"]}, {"mx_addr": "198.51.100.7"}, False),
        ({"source_addr": ["192.0.2.9"]}, {}, True),
        ({"domain": []}, {"domain": "b.test"}, True),
    ],
)
def test_outgoing_sessions_are_chosen_by_what_is_known_of_them(wanted, meta, is_wanted):
    assert client_wants(ClientFilter(**wanted))(meta) is is_wanted


@pytest.mark.parametrize(
    ("given", "is_terse", "payload"),
    [
        (event("Connected", None), False, "Connected"),
        (event(), False, {"Read": "NOOP\r\n"}),
        (event(value=b"\xff"), False, {"Read": "\ufffd"}),
        (event(value=b"x" * 200, is_content=True), False, {"Read": "x" * 200}),
        (
            event(value=b"x" * 200, is_content=True),
            True,
            {"AbbreviatedRead": {"snippet": "x" * 80, "len": 200}},
        ),
        (event("Write", "EHLO\r\n"), True, {"Write": "EHLO\r\n"}),
    ],
)
def test_a_frame_says_what_happened(given, is_terse, payload):
    shown = json.loads(show_event(given, is_terse=is_terse))

    assert shown == {"conn_meta": {}, "payload": payload, "when": "1970-01-01T00:00:07.000000Z"}


def test_what_was_missed_is_told_as_a_diagnostic():
    shown = json.loads(show_missed(7, 1.0))

    assert shown["payload"]["Diagnostic"]["level"] == "ERROR"
    assert shown["payload"]["Diagnostic"]["message"].startswith("7 events were missed")


# -- sockets


@pytest.mark.real_time
async def test_who_watches_sees_events_and_is_in_the_audit(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.server
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            await socket.send_str('{"source_addr": ["192.0.2.0/24"], "terse": true}')
            await until(lambda: hub.is_on)
            hub.publish(event(received_from="198.51.100.1:1"))
            hub.publish(event("Connected", None, received_from="192.0.2.1:1"))

            shown = await receive(socket)

        await until(lambda: not hub.is_on)
        assert shown["payload"] == "Connected"
        assert shown["conn_meta"] == {"received_from": "192.0.2.1:1"}
        (entry,) = operator.world.audited()
        assert (entry.act, entry.origin) == ("trace-smtp-server", "127.0.0.1")
        assert entry.arguments["source_addr"] == ["192.0.2.0/24"]


@pytest.mark.real_time
async def test_outgoing_sessions_are_watched_by_their_own_path(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.client
        async with operator.session.ws_connect(operator.base + CLIENT_PATH) as socket:
            await socket.send_str('{"domain": ["a.test"]}')
            await until(lambda: hub.is_on)
            hub.publish(event("MessageObtained", None, domain="b.test"))
            hub.publish(event("MessageObtained", None, domain="a.test"))

            assert (await receive(socket))["conn_meta"] == {"domain": "a.test"}
