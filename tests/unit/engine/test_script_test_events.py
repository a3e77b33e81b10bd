"""Arguments of events: what a test gives, what is made up, and what is told of a mistake."""

from __future__ import annotations

import pytest

from engine.hooks import HOOKS
from engine.script_test_events import find_hook, make_up, name_arguments


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
