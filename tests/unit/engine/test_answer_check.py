"""Answers that fit pass; the others are told what they should be."""

from __future__ import annotations

import pytest

from engine.answer_check import (
    check_code,
    check_extensions,
    check_identities,
    check_kind,
    check_listener_parameters,
    check_rewritten,
    check_split,
)
from engine.hooks import HOOKS
from engine.model.address import parse_address
from engine.model.queue_config import QueueConfig, make_queue_config


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (check_kind(QueueConfig), make_queue_config()),
        (check_extensions, ["PIPELINING", "SIZE 10"]),
        (check_extensions, []),
        (check_split, [["a@b.test"], (parse_address("c@d.test"),), []]),
        (check_rewritten, (None, "text")),
        (check_rewritten, [451, None]),
        (check_code, 200),
        (check_code, 599),
        (check_listener_parameters, {"max_message_size": 10}),
        (check_identities, True),
        (check_identities, {"identities": ["a", {"identity": "b", "context": "c"}]}),
        (check_identities, {"identities": ["a"], "groups": ["g"]}),
    ],
)
def test_an_answer_that_fits_passes(check, answer):
    assert check(answer) is None


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        (check_kind(QueueConfig), {}, "wants an object QueueConfig, not dict"),
        (check_extensions, [1], "list of lines"),
        (check_extensions, ["A\r\n250 B"], "list of lines"),
        (check_split, [["a@b.test"], 3], "list of lists of recipients"),
        (check_split, [[3]], "list of lists of recipients"),
        (check_split, ["a@b.test"], "list of lists of recipients"),
        (check_split, [["nobody"]], "not an address"),
        (check_rewritten, (1, 2, 3), "a pair"),
        (check_rewritten, (999, None), "200 to 599, not 999"),
        (check_rewritten, ("550", None), "200 to 599"),
        (check_rewritten, (None, 3), "text of a reply is text, not int"),
        (check_code, True, "200 to 599, not True"),
        (check_code, 199, "200 to 599, not 199"),
        (check_listener_parameters, {"max_mesage_size": 1}, "did you mean max_message_size"),
        (check_listener_parameters, {"max_message_size": "x"}, "whole number"),
        (check_listener_parameters, {"listen": "127.0.0.1:25"}, "cannot be changed"),
        (check_identities, {}, "list of identities"),
        (check_identities, {"identity": "a"}, "unknown key 'identity' (did you mean 'identities'"),
        (check_identities, {"identities": "a"}, "list of identities"),
        (check_identities, {"identities": [3]}, "an identity is text"),
        (check_identities, {"identities": [{"name": "a"}]}, "an identity is text"),
        (check_identities, {"identities": ["a"], "groups": "g"}, "groups: a list"),
        (check_identities, {"identities": ["a"], "groups": ["g", 1]}, "groups: a list of names"),
        (check_identities, {"identities": [{"identity": "a", "context": 1}]}, "an identity is"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_why(check, answer, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        check(answer)
    assert message in str(caught.value)


def test_each_event_with_an_answer_of_parts_has_a_check():
    unchecked = {
        hook.name
        for hook in HOOKS
        if hook.check is None and hook.result is not None and hook.result != (bool,)
    }
    assert unchecked == set()
