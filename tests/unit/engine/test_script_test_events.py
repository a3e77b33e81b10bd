"""Arguments of events: what a test gives, what is made up, and what is told of a mistake."""

from __future__ import annotations

import pytest

from engine.hooks import HOOKS
from engine.model.egress import make_egress_path, make_egress_pool, make_egress_source
from engine.model.listener_domain import make_listener_domain
from engine.model.queue_config import make_queue_config
from engine.script_test_events import (
    find_hook,
    make_connection,
    make_up,
    name_arguments,
    options_of,
)


def test_arguments_are_given_by_position_and_by_name():
    hook = find_hook("get_queue_config")

    given = name_arguments(hook, ["example.net", "shop"], {"routing_domain": "relay.test"})

    assert given == {"domain": "example.net", "tenant": "shop", "routing_domain": "relay.test"}


def test_an_event_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(LookupError, match="no event 'smtp_rcptto'; did you mean 'smtp_rcpt_to'"):
        find_hook("smtp_rcptto")


@pytest.mark.parametrize(
    ("args", "named", "text"),
    [
        (["a", "b", "c"], {}, r"smtp_rcpt_to\(recipient, conn\) takes no 3 arguments"),
        (["a"], {"recipient": "b"}, "'recipient' is given twice, or no argument of it"),
        ([], {"to": "b"}, "'to' is given twice, or no argument of it"),
    ],
)
def test_wrong_arguments_are_a_mistake_of_the_test(args, named, text):
    with pytest.raises(TypeError, match=text):
        name_arguments(find_hook("smtp_rcpt_to"), args, named)


def test_what_an_event_is_about_is_not_made_up():
    with pytest.raises(TypeError, match="'recipient' must be given"):
        make_up(find_hook("smtp_rcpt_to"), "recipient")


def test_a_path_leads_to_a_domain_and_a_queue_is_routed_by_its_own():
    assert make_up(find_hook("get_egress_path"), "routing_domain") == "example.org"
    assert make_up(find_hook("get_queue_config"), "routing_domain") is None


#: What a test always gives, or the harness makes.
ESSENTIAL = {
    "authc",
    "conn",
    "hook_name",
    "listener",
    "msg",
    "name",
    "password",
    "recipient",
    "record",
    "resource",
    "response",
    "sender",
    "site_name",
    "status",
    "token",
    "user",
}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.name)
def test_all_else_may_be_left_out(hook):
    for name in set(hook.arguments) - ESSENTIAL:
        make_up(hook, name)
    for name in set(hook.arguments) & ESSENTIAL:
        with pytest.raises(TypeError):
            make_up(hook, name)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            make_queue_config(retry_interval="1m", max_message_rate="60/min"),
            {"retry_interval": 60, "max_message_rate": "60/m"},
        ),
        (
            make_egress_path(connection_limit=5, enable_tls="Required"),
            {"connection_limit": "5", "enable_tls": "Required"},
        ),
        (
            make_egress_pool(name="a", entries=[{"name": "ip-1", "weight": 2}]),
            {"entries": [{"name": "ip-1", "weight": 2}]},
        ),
        (make_egress_source(name="ip-1", ehlo_domain="a.test"), {"ehlo_domain": "a.test"}),
        (make_listener_domain(relay_to=True), {"relay_to": True}),
        ({"max_message_size": 9}, {"max_message_size": 9}),
    ],
    ids=["queue", "path", "pool", "source", "domain", "listener"],
)
def test_an_answer_has_options_by_the_names_of_the_reference(answer, shown):
    assert shown.items() <= options_of(answer).items()


def test_no_answer_has_no_options():
    with pytest.raises(TypeError, match="no options: None"):
        options_of(None)


@pytest.mark.parametrize(
    ("meta", "address", "names"),
    [
        ({}, "192.0.2.1", []),
        ({"received_from": "[2001:db8::1]:4000", "authn_id": "me"}, "2001:db8::1", ["me"]),
        ({"authn_id": "me", "authz_id": "boss"}, "192.0.2.1", ["boss", "me"]),
    ],
)
def test_who_a_made_up_client_is_follows_from_its_metadata(meta, address, names):
    info = make_connection(meta, ("staff",)).auth_info()

    assert info["peer_address"] == address
    assert [one["identity"] for one in info["identities"]] == names
    assert info["groups"] == ["staff"]
