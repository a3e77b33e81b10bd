"""Header fields in front of a shared body and in it are one section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.message import FLAG_8BIT, Message, new_spool_id
from engine.script_metadata import DIRTY_BODY, DIRTY_ENVELOPE
from engine.script_views import MessageView

DATA = (
    b"From: J <J@B.test>\r\nTo: a@b.test, c@d.test\r\nX-A: 1\r\nX-Tenant-Id: t\r\nx-a: 2\r\n"
    b"\r\nbody\r\n"
)
PREFIX = b"X-A: 0\r\nReceived: r\r\n"


def make(data: bytes = DATA, prefix: bytes = b"") -> tuple[Message, MessageView]:
    size = len(data) + len(prefix)
    message = Message(
        new_spool_id(), "", ["a@b.test"], data=data, size=size, created_at=0.0, prefix=prefix
    )
    return message, MessageView(message)


def test_both_parts_are_read_as_one():
    _, view = make(prefix=PREFIX)

    assert view.get_all_named_header_values("x-a") == ["0", "1", "2"]
    assert view.get_first_named_header_value("X-A") == "0"
    assert view.get_all_headers()[:3] == [["X-A", "0"], ["Received", "r"], ["From", "J <J@B.test>"]]


def test_a_continuation_at_the_start_of_the_body_belongs_to_the_field_before_it():
    message, view = make(b" more\r\nX-B: 1\r\n\r\nbody", b"X-A: 0\r\n")

    assert view.get_all_headers() == [["X-A", "0 more"], ["X-B", "1"]]
    view.remove_all_named_headers("X-A")
    assert view.get_data() == b"X-B: 1\r\n\r\nbody"
    assert message.size == len(view.get_data())


@pytest.mark.parametrize("lead", [b" ", b"\t", b" \t "])
def test_a_field_in_front_does_not_swallow_a_first_line_that_begins_with_a_blank(lead):
    message, view = make(lead + b"; dkim=pass\r\nX-B: 1\r\n\r\nbody")

    view.add_authentication_results("mx.test", [])

    assert view.get_first_named_header_value("Authentication-Results") == "mx.test; none"
    assert view.get_data().endswith(b"\r\n; dkim=pass\r\nX-B: 1\r\n\r\nbody")
    assert message.size == len(view.get_data())


@pytest.mark.parametrize(
    ("data", "prefix", "result"),
    [
        (b"A: 1\r\n\r\nx", b"", b"A: 1\r\nN: v\r\n\r\nx"),
        (b"\r\nx", b"A: 1\r\n", b"A: 1\r\nN: v\r\n\r\nx"),
        (b"\r\nx", b"", b"N: v\r\n\r\nx"),
        (b"A: 1\r\n", b"", b"A: 1\r\nN: v\r\n"),
        (b"A: 1", b"", b"A: 1\r\nN: v\r\n"),
    ],
)
def test_a_field_is_appended_whatever_the_end_of_the_header_is_like(data, prefix, result):
    message, view = make(data, prefix)

    view.append_header("N", "v")

    assert view.get_data() == result
    assert message.size == len(result)


def test_what_is_there_in_the_prefix_only_is_removed_and_imported_too():
    message, view = make(prefix=b"X-Front: f\r\n")

    view.import_x_headers()
    assert message.meta == {"x_front": "f", "x_a": "2", "x_tenant_id": "t"}
    view.remove_x_headers()

    assert message.prefix == b""
    assert view.get_data() == (b"From: J <J@B.test>\r\nTo: a@b.test, c@d.test\r\n\r\nbody\r\n")


def test_removing_all_there_is_leaves_a_message_without_header():
    _, view = make(b"X-A: 1\r\n")

    view.remove_all_named_headers("x-a")

    assert view.get_data() == b"\r\n"


def test_removing_nothing_touches_nothing():
    message, view = make(prefix=PREFIX)

    view.remove_all_named_headers("X-None")
    view.remove_x_headers(["X-None"])
    view.import_headers([{"name": "X-None", "remove": True}])

    assert (message.meta_dirty, message.prefix, message.data) == (0, PREFIX, DATA)


def test_addresses_are_asked_for_by_field():
    _, view = make()

    assert (view.from_header().email, view.from_header().domain) == ("J@B.test", "b.test")
    assert [entry.user for entry in view.to_header().list] == ["a", "c"]
    assert view.get_address_header("Reply-To") is None
    with pytest.raises(ValueError, match="X-A"):
        view.get_address_header("X-A")


def test_folded_addresses_are_one_field():
    _, view = make(b"To: A\r\n <a@b.test>,\r\n\tc@d.test\r\n\r\n")

    assert [entry.email for entry in view.to_header().list] == ["a@b.test", "c@d.test"]


def test_fields_are_imported_by_rules_and_removed_where_asked():
    message, view = make(prefix=PREFIX)

    view.import_headers(
        [
            {"name": "X-A", "match": "all", "remove": True},
            {"name": "x-*", "transform": "pascal_case"},
        ]
    )

    assert message.meta == {"x_a": ["0", "1", "2"], "XTenantId": "t"}
    assert view.get_all_named_header_values("X-A") == []
    assert message.meta_dirty == DIRTY_ENVELOPE | DIRTY_BODY


def test_results_of_checks_go_in_front():
    message, view = make(prefix=PREFIX)

    view.add_authentication_results(
        "mx.test", [{"method": "spf", "result": "pass", "reason": "fine: ü"}]
    )

    assert message.prefix.endswith(PREFIX)
    assert view.get_all_headers()[0] == [
        "Authentication-Results",
        'mx.test; spf=pass reason="fine: ü"',
    ]
    assert message.flags & FLAG_8BIT
    assert message.data is DATA


def test_a_list_of_names_is_no_text():
    _, view = make()
    for call in (view.remove_x_headers, view.import_x_headers):
        with pytest.raises(TypeError):
            call("X-A")


PIECES = st.lists(
    st.sampled_from(
        [b"A: 1\r\n", b"X-B: 2\r\n", b" c\r\n", b"junk\r\n", b"\r\n", b"text", b"\xfc"]
    ),
    max_size=8,
).map(b"".join)


@given(PIECES, st.sampled_from([b"", b"P: 0\r\n", b"P: 0\r\nX-B: 3\r\n"]))
def test_edits_of_any_message_keep_its_size_and_say_what_they_did(data, prefix):
    message, view = make(data or b"x", prefix)

    view.append_header("N-App", "a")
    view.prepend_header("N-Pre", "p")
    view.remove_all_named_headers("X-B")

    assert message.size == len(view.get_data())
    assert view.get_first_named_header_value("N-Pre") == "p"
    assert view.get_all_headers()[0] == ["N-Pre", "p"]
    assert view.get_first_named_header_value("N-App") == "a"
    assert view.get_first_named_header_value("X-B") is None


@pytest.mark.parametrize(
    "use",
    [
        lambda view: view.get_first_named_header_value(3),
        lambda view: view.get_all_named_header_values(None),
        lambda view: view.get_address_header(b"To"),
        lambda view: view.remove_all_named_headers(3),
        lambda view: view.remove_x_headers([3]),
        lambda view: view.prepend_header("X-A", 3),
        lambda view: view.append_header(3, "x"),
        lambda view: view.add_authentication_results("mx.test", 3),
        lambda view: view.add_authentication_results("mx.test", "spf=pass"),
    ],
)
def test_what_is_no_text_is_refused_in_words(use):
    _, view = make()

    with pytest.raises(TypeError, match="text|wants a list"):
        use(view)
