"""Content of a message: parts, form and reports, as scripts ask for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.message import FLAG_8BIT, FLAG_WIRE_READY, Message, new_spool_id
from engine.script_metadata import DIRTY_BODY, DIRTY_ENVELOPE
from engine.script_views import MessageView
from tests.unit.engine.model import test_delivery_report, test_feedback_report, test_report_part

BOTH = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<BODY>x</BODY>\r\n--b--\r\n"
)


def make(data: bytes, prefix: bytes = b"", sender: str = "a@X.test") -> tuple[Message, MessageView]:
    message = Message(
        new_spool_id(),
        sender,
        ["b@Y.test"],
        data=data,
        size=len(data) + len(prefix),
        created_at=1_700_000_000.0,
        prefix=prefix,
    )
    return message, MessageView(message)


def test_a_tree_is_a_copy_and_comes_back_by_set_data():
    message, view = make(BOTH, b"R: 1\r\n")
    root = view.parse_mime()

    root.parts[0].body = "new"
    assert view.get_data() == b"R: 1\r\n" + BOTH
    view.set_data(root)

    assert view.get_data() == b"R: 1\r\n" + BOTH.replace(b"plain", b"new")
    assert (message.prefix, message.size) == (b"", len(view.get_data()))


@given(st.binary(min_size=1, max_size=100))
def test_a_tree_as_text_is_the_same_message(content):
    _, view = make(b"x")
    view.set_data(content)
    before = view.get_data()

    view.set_data(str(view.parse_mime()))

    assert view.get_data() == before


def test_texts_are_appended_where_they_are_read():
    message, view = make(BOTH, b"R: 1\r\n")

    assert view.append_text_plain(" more")
    assert view.append_text_html("<b>")

    assert view.get_data() == b"R: 1\r\n" + BOTH.replace(b"plain", b"plain more").replace(
        b"</BODY>", b"<b></BODY>"
    )
    assert message.prefix == b"R: 1\r\n"
    assert message.meta_dirty == DIRTY_ENVELOPE | DIRTY_BODY
    assert message.size == len(view.get_data())


def test_text_of_a_message_whose_type_stands_in_front_of_its_body():
    message, view = make(b"Subject: x\r\n\r\nold", b"Content-Type: text/plain\r\n")

    assert view.append_text_plain(" \u00fc")

    assert "old \u00fc" in view.parse_mime().body
    assert message.size == len(view.get_data())
    assert not message.flags & FLAG_8BIT


def test_without_such_a_part_nothing_changes():
    message, view = make(b"Content-Type: a/b\r\n\r\nx")

    assert not view.append_text_plain("x")
    assert not view.append_text_html("x")
    with pytest.raises(TypeError):
        view.append_text_html(b"x")

    assert message.meta_dirty == 0


BAD = b"Subject : \xc3\xbc\r\n\r\nbody\r\n"


def test_issues_that_are_checked_are_told_and_nothing_is_changed():
    message, view = make(BAD)

    told = view.check_fix_conformance(
        "MISSING_DATE_HEADER|NAME_ENDS_WITH_SPACE|LINE_TOO_LONG", "MISSING_MIME_VERSION"
    )

    assert told == "Message has conformance issues: NAME_ENDS_WITH_SPACE|MISSING_DATE_HEADER"
    assert (message.meta_dirty, message.data) == (0, BAD)


def test_missing_fields_leave_the_shared_body_alone():
    message, view = make(b"MIME-Version: 1.0\r\n\r\nx", b"Received: r\r\n")

    assert view.check_fix_conformance("", "MISSING_DATE_HEADER|MISSING_MESSAGE_ID_HEADER") is None

    assert view.get_all_headers() == [
        ["Received", "r"],
        ["Date", "Tue, 14 Nov 2023 22:13:20 +0000"],
        ["Message-ID", f"<{message.id}@x.test>"],
        ["MIME-Version", "1.0"],
    ]
    assert message.data == b"MIME-Version: 1.0\r\n\r\nx"
    assert message.meta_dirty == DIRTY_ENVELOPE
    assert message.size == len(view.get_data())


def test_another_version_of_mime_is_replaced():
    _, view = make(b"MIME-Version: 2\r\n\r\nx")

    view.check_fix_conformance("", "MISSING_MIME_VERSION")

    assert view.get_data() == b"MIME-Version: 1.0\r\n\r\nx"


def test_a_bounce_gets_an_id_of_the_recipients_domain():
    message, view = make(b"\r\nx", sender="")

    view.check_fix_conformance("", "MISSING_MESSAGE_ID_HEADER")

    assert view.get_first_named_header_value("Message-ID") == f"<{message.id}@y.test>"


def test_form_is_mended_by_encoding():
    message, view = make(BAD + b"\xfc" + b"x" * 1000, b"Received: r\r\n")
    message.flags |= FLAG_8BIT | FLAG_WIRE_READY

    assert (
        view.check_fix_conformance(
            "", "NAME_ENDS_WITH_SPACE|NEEDS_TRANSFER_ENCODING", {"detect_encoding": True}
        )
        is None
    )

    assert view.get_data().startswith(b"Received: r\r\nSubject: =?utf-8?")
    assert view.parse_mime().body == "body\r\n\u00fc" + "x" * 1000
    assert not message.flags & (FLAG_8BIT | FLAG_WIRE_READY)
    assert message.size == len(view.get_data())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("NONSENSE", ""), ValueError),
        (("", "MISSING_DATE"), ValueError),
        ((None, ""), TypeError),
        (("", "", {"detct_encoding": True}), ValueError),
    ],
)
def test_labels_and_settings_are_checked(arguments, error):
    _, view = make(BAD)

    with pytest.raises(error):
        view.check_fix_conformance(*arguments)


def test_reports_are_read_and_other_messages_are_none():
    notification = test_report_part.make(test_delivery_report.FIELDS)
    complaint = test_report_part.make(test_feedback_report.FIELDS, test_feedback_report.KIND)

    assert make(notification)[1].parse_rfc3464()["per_recipient"][0]["action"] == "failed"
    assert make(complaint)[1].parse_rfc5965()["feedback_type"] == "abuse"
    assert make(complaint)[1].parse_rfc3464() is None
    assert make(BOTH)[1].parse_rfc5965() is None


def test_what_the_node_does_by_itself_may_be_asked_for():
    message, view = make(BOTH)

    view.save()
    view.set_force_sync(True)
    view.shrink()
    view.shrink_data()
    view.increment_num_attempts()

    assert (message.data, message.meta_dirty, message.attempts) == (BOTH, 0, 1)
