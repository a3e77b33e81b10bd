"""What a handler holds: edits land on the message, and nothing else leaks through."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.clock import Clock
from engine.model.address import parse_address
from engine.model.message import FLAG_8BIT, FLAG_SMTPUTF8, Message, new_spool_id
from engine.script_views import (
    DIRTY_BODY,
    DIRTY_ENVELOPE,
    ConnectionView,
    MessageView,
    plain_copy,
    queue_name_of,
)

CLOCK = Clock(lambda: 100.0, lambda: 1_700_000_000.0)
DATA = b"Subject: one\r\nX-A: 1\r\nX-Tenant-Id: t\r\nx-a: 2\r\n\r\nbody\r\n"


def make(
    data: bytes | None = DATA, recipients: list[str] | None = None, prefix: bytes = b""
) -> tuple[Message, MessageView]:
    size = len(data or DATA) + len(prefix)
    message = Message(
        new_spool_id(),
        "a@X.test",
        recipients or ["b@Y.test"],
        data=data,
        size=size,
        created_at=1_700_000_000.0,
        prefix=prefix,
    )
    return message, MessageView(message, lambda body_id: DATA, CLOCK)


def test_envelope_is_read_and_set():
    message, view = make()
    assert (view.sender.domain, view.recipient.email, view.num_attempts) == (
        "x.test",
        "b@Y.test",
        0,
    )
    assert view.id == message.id

    view.sender = ""
    view.recipient = "c@z.test"
    view.set_recipient(["d@z.test", parse_address("e@z.test")])

    assert message.sender == ""
    assert message.recipients == ["d@z.test", "e@z.test"]
    assert [str(one) for one in view.recipient_list] == message.recipients
    assert message.meta_dirty == DIRTY_ENVELOPE


def test_the_recipient_of_several_is_an_error_that_names_the_list():
    _, view = make(recipients=["a@y.test", "b@y.test"])

    with pytest.raises(ValueError, match="recipient_list"):
        _ = view.recipient


@pytest.mark.parametrize("value", [[], 7, "nonsense", None, ["a@b.test", 3], "", ["a@b.test", ""]])
def test_recipients_that_are_none_change_nothing(value):
    message, view = make()

    with pytest.raises((ValueError, TypeError)):
        view.recipient_list = value if isinstance(value, list) else [value]

    assert message.recipients == ["b@Y.test"]


def test_addresses_beyond_ascii_ask_for_smtputf8():
    for name in ("sender", "recipient"):
        message, view = make()
        setattr(view, name, "j\u00fcrgen@x.test")
        assert message.flags & FLAG_SMTPUTF8, name


@pytest.mark.parametrize(
    ("meta", "recipient", "queue"),
    [
        ({}, "b@Y.Test", "y.test"),
        ({}, "b@B\u00fccher.test", "xn--bcher-kva.test"),
        ({}, "b@[IPv6:0:0:0:0:0:0:0:1]", "[IPv6:::1]"),
        ({"tenant": "t"}, "b@y.test", "t@y.test"),
        ({"tenant": "t", "campaign": "c"}, "b@y.test", "c:t@y.test"),
        ({"campaign": "c"}, "b@y.test", "c:@y.test"),
        ({"routing_domain": "r.test"}, "b@y.test", "y.test!r.test"),
        ({"queue": "own"}, "b@y.test", "own"),
    ],
)
def test_a_queue_is_named_by_domain_and_metadata(meta, recipient, queue):
    message, view = make(recipients=[recipient])
    message.meta = meta

    assert view.queue_name == queue_name_of(message) == queue


def test_metadata_is_copied_both_ways():
    message, view = make()
    given = {"list": [1, (2, 3)], "n": None}

    view.set_meta("k", given)
    given["list"].append(9)
    view.get_meta("k")["list"].append(8)

    assert message.meta["k"] == {"list": [1, [2, 3]], "n": None}
    assert view.get_meta("absent") is None


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, float("nan"), float("inf"), {"a": {1, 2}}, b"x", "x" * ((1 << 20) + 1)],
)
def test_metadata_is_plain_values_only(value):
    message, view = make()

    with pytest.raises((TypeError, ValueError)):
        view.set_meta("k", value)
    with pytest.raises(TypeError):
        view.set_meta(5, "x")
    with pytest.raises(TypeError):
        view.set_meta("tenant", 5)

    assert message.meta == {}


def test_metadata_is_not_nested_without_end():
    deep: list = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ValueError, match="deeply"):
        plain_copy(deep)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_plain_value_is_its_own_copy(value):
    assert plain_copy(value) == value


def test_headers_are_read_from_both_parts():
    _, view = make(prefix=b"X-A: 0\r\nReceived: r\r\n")

    assert view.get_first_named_header_value("x-a") == "0"
    assert view.get_first_named_header_value("subject") == "one"
    assert view.get_first_named_header_value("absent") is None
    assert view.get_all_named_header_values("X-A") == ["0", "1", "2"]
    assert [name for name, _ in view.get_all_headers()] == [
        "X-A",
        "Received",
        "Subject",
        "X-A",
        "X-Tenant-Id",
        "x-a",
    ]


def test_a_prepended_header_leaves_the_shared_body_alone():
    message, view = make()

    view.prepend_header("X-B", "1")

    assert (message.prefix, message.data) == (b"X-B: 1\r\n", DATA)
    assert message.size == len(view.get_data())
    assert message.meta_dirty == DIRTY_ENVELOPE


def test_an_appended_header_stands_behind_all_others_in_a_body_of_its_own():
    message, view = make(prefix=b"R: 1\r\n")
    message.body_id = new_spool_id()

    view.append_header("X-B", "1")

    assert message.data.endswith(b"x-a: 2\r\nX-B: 1\r\n\r\nbody\r\n")
    assert message.body_id == message.spool_id
    assert message.size == len(view.get_data())
    assert message.meta_dirty == DIRTY_ENVELOPE | DIRTY_BODY


def test_headers_are_removed_by_name_everywhere():
    message, view = make(prefix=b"X-A: 0\r\nR: 1\r\n")

    view.remove_all_named_headers("X-a")
    assert view.get_data() == b"R: 1\r\nSubject: one\r\nX-Tenant-Id: t\r\n\r\nbody\r\n"
    view.remove_x_headers()
    assert view.get_data() == b"R: 1\r\nSubject: one\r\n\r\nbody\r\n"
    assert message.size == len(view.get_data())


def test_x_headers_become_metadata_and_the_last_one_wins():
    message, view = make()

    view.import_x_headers(["X-A"])
    assert message.meta == {"x_a": "2"}
    view.import_x_headers()
    assert message.meta == {"x_a": "2", "x_tenant_id": "t"}


def test_new_content_replaces_all_and_has_proper_line_ends():
    message, view = make(prefix=b"R: 1\r\n")

    view.set_data("a: b\n\nx\ry\r\n")

    assert view.get_data() == b"a: b\r\n\r\nx\r\ny\r\n"
    assert message.size == len(view.get_data())
    with pytest.raises(ValueError):
        view.set_data(b"")
    with pytest.raises(TypeError):
        view.set_data(7)


def test_the_eight_bit_mark_follows_header_and_body():
    message, view = make()
    view.set_data("a: b\r\n\r\n\u00e9\r\n")
    assert message.flags & FLAG_8BIT
    view.set_data("a: b\r\n\r\ne\r\n")
    assert not message.flags & FLAG_8BIT
    view.prepend_header("X-U", "\u00fc")
    view.append_header("X-V", "v")
    assert message.flags & FLAG_8BIT


def test_content_on_disk_is_loaded_when_it_is_touched():
    message, view = make(data=None)

    assert view.get_first_named_header_value("subject") == "one"
    assert message.data == DATA
    bare = MessageView(make(data=None)[0])
    with pytest.raises(ValueError, match="not available"):
        bare.get_data()


@pytest.mark.parametrize(
    ("due", "mono"),
    [
        ("2023-11-14T22:14:20Z", 160.0),
        ("2023-11-14T23:14:20+01:00", 160.0),
        (datetime.fromtimestamp(1_700_000_030, UTC), 130.0),
    ],
)
def test_the_due_time_is_set(due, mono):
    message, view = make()

    view.set_due(due)

    assert message.due_mono == pytest.approx(mono)


def test_no_due_time_is_now_and_odd_ones_are_refused():
    message, view = make()
    view.set_due()
    assert message.due_mono <= 100.0
    for value in ("2023-11-14T22:14:20", "soon"):
        with pytest.raises(ValueError, match="not a time with a zone"):
            view.set_due(value)
    with pytest.raises(TypeError):
        view.set_due(5)


def test_a_schedule_is_set_and_taken_from_a_header():
    message, view = make(b'X-S: {"first_attempt": "2030-01-01T00:00:00Z"}\r\nX-Bad: {\r\n\r\n')

    assert view.import_scheduling_header("X-Absent") is None
    with pytest.raises(ValueError, match="X-Bad"):
        view.import_scheduling_header("X-Bad")
    assert view.import_scheduling_header("X-S", remove=True)["first_attempt"].startswith(
        "2030-01-01T00:00:00"
    )
    assert view.get_first_named_header_value("X-S") is None
    assert message.schedule is not None
    assert view.set_scheduling(None) is None
    assert message.schedule is None


def test_a_schedule_holds_for_the_first_attempt_too():
    message, view = make()
    message.due_mono = CLOCK.mono()

    view.set_scheduling({"first_attempt": "2099-01-01T00:00:00Z"})

    assert CLOCK.wall_of(message.due_mono) == pytest.approx(4070908800, abs=1)


def test_a_closed_window_moves_the_due_time_into_the_next_one():
    message, view = make()
    message.due_mono = CLOCK.mono()
    tomorrow = datetime.fromtimestamp(CLOCK.wall() + 86400, UTC)

    view.set_scheduling(
        {"dow": f"{tomorrow:%a}", "tz": "UTC", "start": "00:00:00", "end": "23:59:59"}
    )

    due = datetime.fromtimestamp(CLOCK.wall_of(message.due_mono) + 1, UTC)
    assert (due.date(), due.hour) == (tomorrow.date(), 0)


def test_a_connection_keeps_copies():
    meta: dict = {"list": [1]}
    view = ConnectionView(meta)

    view.get_meta("list").append(2)
    view.set_meta("k", (1, 2))

    assert meta == {"list": [1], "k": [1, 2]}
    with pytest.raises(TypeError):
        view.set_meta(None, 1)


def test_mail_is_signed_at_reception_only():
    with pytest.raises(ValueError, match="when it is received"):
        make()[1].dkim_sign(None)
