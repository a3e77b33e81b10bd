"""One option of a shaping file: fits, does not fit, or fits and has no effect yet."""

from __future__ import annotations

import pytest

from engine.model.egress_options import PATH_NOT_IN_FORCE, PATH_OPTIONS
from engine.model.shaping_option import MERGED_OPTIONS, check_path_option


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connection_limit", 10),
        ("connection_limit", "local:5"),
        ("max_message_rate", "1,000/min,max_burst=5"),
        ("idle_timeout", "60s"),
        ("enable_tls", "Required"),
        ("additional_connection_limits", {"shared": 3}),
        ("prohibited_hosts", []),
        ("ehlo_domain", None),
    ],
)
def test_nothing_is_said_of_a_value_that_fits(name, value):
    assert check_path_option(name, value) == ("", ())


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("connection_limit", 0, "a limit is at least 1, not 0"),
        ("max_ready", "5", "a whole number is expected, not '5'"),
        ("max_message_rate", "many", "not a rate: 'many'"),
        ("enable_dane", True, "DANE is not yet available"),
        ("max_redy", 5, "unknown option 'max_redy' (did you mean 'max_ready'?)"),
        ("additional_connection_limits", {"shared": 0}, "a limit is at least 1"),
    ],
)
def test_a_complaint_says_what_is_wrong_and_names_no_function_of_scripts(name, value, complaint):
    verdict = check_path_option(name, value)

    assert verdict.complaint.startswith(complaint)
    assert verdict.notes == ()


@pytest.mark.parametrize("name", [name for name in PATH_NOT_IN_FORCE if name.startswith("tls")])
def test_an_option_without_effect_is_noted(name):
    verdict = check_path_option(name, True)

    assert verdict == ("", ("is known but not yet in force",))


def test_the_options_that_merge_entry_by_entry_are_options():
    assert set(MERGED_OPTIONS) <= set(PATH_OPTIONS)
