"""Plain values are copied in, copied out and bounded."""

from __future__ import annotations

import collections
import datetime

import pytest

from engine.model.egress import make_egress_path
from engine.script_modules.plain_value import copy_plain, thaw
from engine.script_modules.script_call import caller_budget
from policy.errors import LimitExceededError


def copied(value):
    return copy_plain(value, caller_budget())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        (1, (2.5, b"x")),
        [1, {"a": {1, 2}}],
        frozenset({1}),
        datetime.timedelta(seconds=1),
        make_egress_path(),
    ],
)
def test_a_value_comes_back_as_it_was(value):
    kept = copied(value)

    assert thaw(kept, caller_budget()) == value
    assert type(thaw(kept, caller_budget())) is type(value)


def test_what_never_changes_is_handed_out_without_copying():
    value = ("a", 1)

    kept = copied(value)

    assert kept.is_constant
    assert thaw(kept, caller_budget()) is kept.value


def test_copies_share_nothing_that_changes():
    kept = copied([{"a": [1]}])

    thaw(kept, caller_budget())[0]["a"].append(2)

    assert thaw(kept, caller_budget()) == [{"a": [1]}]


def test_dicts_of_collections_become_plain():
    made = collections.defaultdict(list, {"a": [1]})

    assert type(thaw(copied(made), caller_budget())) is dict


def test_a_list_within_a_tuple_is_copied_too():
    kept = copied(([1],))

    thaw(kept, caller_budget())[0].append(2)

    assert thaw(kept, caller_budget()) == ([1],)


@pytest.mark.parametrize("value", [object(), len, [lambda: 1], {"a": type}])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(TypeError, match="only plain values"):
        copied(value)


def test_a_value_that_holds_itself_is_refused():
    ring = []
    ring.append(ring)

    with pytest.raises(LimitExceededError):
        copied(ring)


def test_shared_parts_count_each_time():
    value = [1] * 10
    for _ in range(6):
        value = [value] * 10

    with pytest.raises(LimitExceededError):
        copied(value)
