"""The table of the daemon's events is the contract's."""

from __future__ import annotations

from importlib.metadata import entry_points

from policy.hook import OnFailure
from tsa.hooks import HOOKS

TABLE = {hook.name: hook for hook in HOOKS}


def test_names_and_arguments_are_those_of_the_contract():
    assert {name: hook.arguments for name, hook in TABLE.items()} == {
        "tsa_init": (),
        "load_shaping_data": (),
    }


def test_a_daemon_without_declarations_does_not_start_and_rules_outlive_a_failure():
    assert TABLE["tsa_init"].on_failure is OnFailure.FATAL
    assert TABLE["load_shaping_data"].on_failure is OnFailure.KEEP_LAST


def test_rules_are_named_by_a_list_and_by_nothing_else():
    assert TABLE["load_shaping_data"].result == (list, tuple)


def test_each_event_says_what_it_is_for_and_others_find_the_table():
    (entry,) = {one.value for one in entry_points(group="cirrus.hooks", name="tsa")}

    assert entry == "tsa.hooks:HOOKS"
    assert all(hook.doc for hook in HOOKS)
