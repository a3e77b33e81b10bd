"""The table of the proxy's events is the contract's."""

from __future__ import annotations

from importlib.metadata import entry_points

from policy.hook import OnFailure
from proxy.hooks import HOOKS

TABLE = {hook.name: hook for hook in HOOKS}


def test_names_and_arguments_are_those_of_the_contract():
    assert {name: hook.arguments for name, hook in TABLE.items()} == {
        "proxy_init": (),
        "proxy_auth": ("user", "password", "conn"),
    }


def test_a_proxy_without_declarations_does_not_start_and_a_failure_lets_nobody_in():
    assert TABLE["proxy_init"].on_failure is OnFailure.FATAL
    assert TABLE["proxy_auth"].on_failure is OnFailure.REFUSE


def test_a_judgement_is_yes_or_no_or_who_it_is():
    assert TABLE["proxy_auth"].result == (bool, dict)


def test_each_event_says_what_it_is_for_and_others_find_the_table():
    (entry,) = {one.value for one in entry_points(group="cirrus.hooks", name="proxy")}

    assert entry == "proxy.hooks:HOOKS"
    assert all(hook.doc for hook in HOOKS)
