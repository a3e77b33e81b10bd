"""A hook declares what is expected of a handler, and does not change."""

from __future__ import annotations

import dataclasses

import pytest

from policy.hook import Hook, OnFailure


def test_a_hook_refuses_on_failure_unless_it_says_otherwise() -> None:
    hook = Hook("probe")

    assert hook.on_failure is OnFailure.REFUSE
    assert (hook.multiple, hook.prefix, hook.result) == (False, False, None)
    assert (hook.cpu_budget_s, hook.wait_budget_s) == (0.05, 10.0)


def test_a_hook_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hook("probe").name = "other"  # type: ignore[misc]


def test_each_failure_rule_has_a_name() -> None:
    assert {rule.value for rule in OnFailure} == {
        "refuse",
        "defer",
        "keep_last",
        "ignore",
        "fatal",
    }
