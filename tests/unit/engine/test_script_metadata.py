"""Metadata is plain values, and copies both ways."""

from __future__ import annotations

import pytest

from engine.model.message import Message, new_spool_id
from engine.script_metadata import DIRTY_ENVELOPE, GENERIC, AuthInfo, ConnectionView
from engine.script_views import MessageView


def make() -> tuple[Message, MessageView]:
    message = Message(new_spool_id(), "", ["a@b.test"], data=b"", size=0, created_at=0.0)
    return message, MessageView(message)


def test_a_change_is_noted_and_no_reference_stays():
    message, view = make()
    given = {"a": [1]}

    view.set_meta("k", given)
    given["a"].append(2)
    view.get_meta("k")["a"].append(3)

    assert message.meta == {"k": {"a": [1]}}
    assert message.meta_dirty == DIRTY_ENVELOPE


@pytest.mark.parametrize("name", ["queue", "tenant", "campaign", "routing_domain"])
def test_what_names_the_queue_is_text(name):
    message, view = make()

    with pytest.raises(TypeError, match=name):
        view.set_meta(name, 5)
    view.set_meta(name, None)

    assert message.meta == {name: None}


def test_what_no_storage_can_hold_is_replaced():
    message, view = make()

    view.set_meta("a\ud800", ["b\udcff", {"c\udc00": "\u00e9"}])

    assert message.meta == {"a\ufffd": ["b\ufffd", {"c\ufffd": "\u00e9"}]}


def test_a_connection_has_names_of_text():
    view = ConnectionView({})
    with pytest.raises(TypeError):
        view.set_meta(1, "x")
    view.set_meta("k", (1, 2))
    assert view.get_meta("k") == [1, 2]


def test_who_a_client_is_does_not_follow_from_what_a_script_sets():
    auth = AuthInfo("192.0.2.1", (("me", GENERIC),), ("staff",))
    meta = {"authn_id": "me"}
    view = ConnectionView(meta, auth)
    view.set_meta("authn_id", "root")
    view.auth_info()["groups"].append("admins")

    assert view.auth_info() == {
        "peer_address": "192.0.2.1",
        "identities": [{"identity": "me", "context": "GenericAuth"}],
        "groups": ["staff"],
    }


def test_a_connection_that_nobody_is_known_of_says_so():
    assert ConnectionView({}).auth_info() == {
        "peer_address": None,
        "identities": [],
        "groups": [],
    }
