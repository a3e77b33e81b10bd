"""Metadata that is to be set."""

from __future__ import annotations

import click
import pytest

from engine.cli.metadata_options import metadata_options, read_metadata


def test_pairs_lie_over_the_object():
    found = read_metadata('{"a": "1", "b": "2"}', ["b=3", "c=x=y", "d="])
    assert found == {"a": "1", "b": "3", "c": "x=y", "d": ""}
    assert read_metadata(None, ()) == {}


@pytest.mark.parametrize(
    ("data", "pairs"),
    [("{", ()), ("[]", ()), ('{"a": 1}', ()), (None, ["a"]), (None, ["=a"]), ("[" * 9999, ())],
)
def test_what_is_no_metadata_is_wrong_usage(data, pairs):
    with pytest.raises(click.BadParameter):
        read_metadata(data, pairs)


def test_a_command_gets_both_options():
    @click.command()
    @metadata_options
    def move(data, pairs):
        return read_metadata(data, pairs)

    assert move.main(["--set", "a=1", "--data", '{"b": "2"}'], standalone_mode=False) == {
        "a": "1",
        "b": "2",
    }
