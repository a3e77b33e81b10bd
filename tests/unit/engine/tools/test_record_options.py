"""Options become a filter, and mistakes in them wrong usage."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from engine.model.record_filter import RecordFilter
from engine.tools.record_options import filter_options, make_filter, make_matcher


def parsed(*arguments):
    found = []

    @click.command
    @filter_options
    def command(**values):
        found.append(make_filter(values))

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found[0]


def test_nothing_said_is_everything_wanted():
    assert parsed() == RecordFilter()


@pytest.mark.parametrize("name", RecordFilter.__struct_fields__)
def test_each_field_of_a_filter_has_an_option(name):
    wanted = parsed(f"--{name}", "5")

    value = getattr(wanted, name)
    assert value in ("5", ["5"])
    if isinstance(value, list):
        assert getattr(parsed(f"--{name}", "5", f"--{name}", "6"), name) == ["5", "6"]


def test_a_value_that_cannot_be_is_named_with_its_option():
    with pytest.raises(click.UsageError, match=r"^--type: no record is of kind"):
        make_matcher(RecordFilter(type=["x"]), 0.0)

    assert make_matcher(RecordFilter(), 0.0).is_by_line
