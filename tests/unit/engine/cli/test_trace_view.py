"""Frames of a trace as lines."""

from __future__ import annotations

import pytest

from engine.cli import trace_view
from engine.cli.trace_view import Incoming, Outgoing, TraceView

CLIENT_META = {"session_id": "0f5c2b7e-9a51-4d0c-8c8b-aaaaaaaaaaaa", "ready_queue": "r"}
SERVER_META = {
    "session_id": "11111111-9a51",
    "received_from": "192.0.2.1:4711",
    "received_via": "10.0.0.1:25",
}


def frame(payload, meta=None, at_s=0.0):
    whole, part = divmod(at_s, 60)
    return {
        "conn_meta": SERVER_META if meta is None else meta,
        "payload": payload,
        "when": f"2026-03-01T03:{whole:02.0f}:{part:09.6f}Z",
    }


def lines_of(view, *frames):
    return "".join(view.render(one) for one in frames if view.admit(one)).splitlines()


def test_lines_of_a_client_and_our_replies_have_their_marks_and_times():
    found = lines_of(
        TraceView(Incoming()),
        frame("Connected"),
        frame({"Write": "220 mx ready\r\n"}, at_s=0.002),
        frame({"Read": "EHLO a.test\r\n"}, at_s=0.25),
        frame({"Write": "250-mx\r\n250 OK\r\n"}, at_s=1.5),
        frame("Closed", at_s=75),
    )

    head = "[192.0.2.1:4711->10.0.0.1:25]"
    assert found == [
        f"{head} 0ms === Connected",
        f"{head} 0ms ===   session_id = 11111111-9a51",
        f"{head} 2ms <- 220 mx ready",
        f"{head} 250ms -> EHLO a.test",
        f"{head} 1.500s <- 250-mx",
        f"{head} 1.500s <- 250 OK",
        f"{head} 75.000s === Closed",
    ]


def test_in_an_outgoing_session_we_are_the_client():
    found = lines_of(
        TraceView(Outgoing(), terse=True),
        frame("BeginSession", CLIENT_META),
        frame({"Write": "MAIL FROM:<a@b>\r\n"}, {**CLIENT_META, "domain": "a.test"}),
        frame({"Read": "250 OK\r\n"}, {**CLIENT_META, "domain": "a.test"}),
    )
    assert found == [
        "[0f5c2b7e] 0ms === BeginSession",
        "[0f5c2b7e a.test] 0ms -> MAIL FROM:<a@b>",
        "[0f5c2b7e a.test] 0ms <- 250 OK",
    ]


def test_metadata_is_shown_when_it_changes():
    before = {**CLIENT_META, "mail_from": "a@x", "rcpt_to": ["b@y", "c@y"]}
    view = TraceView(Outgoing())
    lines_of(view, frame("BeginSession", CLIENT_META))

    found = lines_of(
        view,
        frame("MessageObtained", before),
        frame("Connected", before),
        frame("Closed", CLIENT_META | {"mail_from": "z@x"}),
    )

    assert [line.partition(" === ")[2] for line in found] == [
        "MessageObtained",
        "  mail_from = a@x",
        "  rcpt_to = b@y c@y",
        "Connected",
        "Closed",
        "  mail_from = z@x",
        "  rcpt_to is gone",
    ]


def test_what_a_peer_says_moves_no_cursor():
    (line,) = lines_of(TraceView(Incoming(), terse=True), frame({"Read": "\x1b[2J\rhi\r\n"}))
    assert line.endswith("-> \\x1b[2J\\rhi")


def test_short_content_says_how_long_it_is():
    found = lines_of(
        TraceView(Incoming(), terse=True),
        frame({"AbbreviatedRead": {"snippet": "Subject: x\r\nFrom", "len": 9000}}),
    )
    assert [line.partition(" -> ")[2] for line in found] == ["Subject: x", "From... (9000 octets)"]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"Diagnostic": {"level": "ERROR", "message": "no route"}}, "ERROR: no route"),
        (
            {"Callback": {"name": "smtp_server_ehlo", "result": None, "error": None}},
            "event smtp_server_ehlo: done",
        ),
        (
            {"Callback": {"name": "smtp_server_ehlo", "result": None, "error": "550 no"}},
            "event smtp_server_ehlo: 550 no",
        ),
        (
            {
                "MessageDisposition": {
                    "id": "m1",
                    "queue": "a.test",
                    "sender": "",
                    "recipient": ["b@a.test", "c@a.test"],
                    "will_enqueue": True,
                }
            },
            "message m1 enqueued in a.test: <> -> b@a.test c@a.test",
        ),
        (
            {
                "MessageDisposition": {
                    "id": "m1",
                    "queue": "null",
                    "sender": "x@y",
                    "recipient": "b@a.test",
                    "will_enqueue": False,
                }
            },
            "message m1 not enqueued, queue null: x@y -> b@a.test",
        ),
        ({"Later": 3}, "Later 3"),
        ({}, "Nothing"),
    ],
)
def test_other_events_are_told_in_words(payload, text):
    (line,) = lines_of(TraceView(Incoming(), terse=True), frame(payload))
    assert line.endswith(f" === {text}")


def test_missed_events_belong_to_no_session():
    view = TraceView(Incoming(), only_new=True, only_one=True)
    missed = frame({"Diagnostic": {"level": "ERROR", "message": "7 events were missed"}}, {})
    assert lines_of(view, missed) == ["[trace] === ERROR: 7 events were missed"]


def test_new_sessions_are_those_whose_beginning_is_seen():
    view = TraceView(Incoming(), only_new=True)
    other = {**SERVER_META, "session_id": "2"}

    assert lines_of(view, frame({"Read": "NOOP\r\n"})) == []
    assert len(lines_of(view, frame("Connected", other), frame({"Read": "NOOP"}, other))) == 3


def test_one_session_is_followed_to_its_end():
    view = TraceView(Incoming(), only_one=True, terse=True)
    other = {**SERVER_META, "session_id": "2"}

    found = lines_of(view, frame("Connected"), frame("Connected", other), frame("Closed", other))
    assert len(found) == 1
    assert not view.is_over
    lines_of(view, frame("Closed"))
    assert view.is_over


def test_an_outgoing_session_goes_on_with_its_next_host():
    view = TraceView(Outgoing(), only_one=True)
    lines_of(view, frame("BeginSession", CLIENT_META), frame("Closed", CLIENT_META))
    assert not view.is_over


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(trace_view, "SESSIONS_MAX", 2)
    view = TraceView(Incoming(), only_new=True)
    metas = [{**SERVER_META, "session_id": str(number)} for number in range(3)]
    lines_of(view, *(frame("Connected", meta) for meta in metas))

    assert lines_of(view, frame({"Read": "NOOP"}, metas[0])) == []
    assert len(lines_of(view, frame({"Read": "NOOP"}, metas[2]))) == 1


def test_colours_tell_speakers_and_refusals_apart():
    view = TraceView(Incoming(), terse=True, has_colour=True)
    found = lines_of(
        view,
        frame({"Read": "RCPT"}),
        frame({"Write": "550 no"}),
        frame({"Write": "451 later"}),
        frame({"Write": "250 OK"}),
        frame({"Diagnostic": {"level": "ERROR", "message": "x"}}),
    )
    assert [line[:5] for line in found] == [f"\x1b[{n}m" for n in (36, 31, 33, 32, 31)]
    assert all(line.endswith("\x1b[0m") for line in found)
