"""Callers are values."""

from engine.model.caller import Caller


def test_a_caller_is_known_by_name_origin_and_door():
    assert Caller("ann", "192.0.2.1") == Caller("ann", "192.0.2.1", "http")
    assert Caller("ann", "192.0.2.1") != Caller("ann", "192.0.2.1", "console")
