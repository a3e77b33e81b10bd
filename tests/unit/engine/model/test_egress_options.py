"""The table of egress path options."""

from dataclasses import fields

from engine.model.egress import EgressPath
from engine.model.egress_options import PATH_NOT_IN_FORCE, PATH_OPTIONS


def test_every_option_has_an_attribute_and_every_attribute_an_option():
    held = {option.field or name for name, option in PATH_OPTIONS.items()}

    assert held == {field.name for field in fields(EgressPath)}


def test_what_is_not_in_force_is_known():
    assert set(PATH_NOT_IN_FORCE) <= set(PATH_OPTIONS)
