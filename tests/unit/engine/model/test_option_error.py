"""The error for what operators write."""

from engine.model.option_error import OptionError


def test_is_a_value_error_for_whoever_does_not_care():
    assert issubclass(OptionError, ValueError)
