"""Roles of operators."""

from __future__ import annotations

import pytest

from engine.model.role import Role, parse_role


def test_each_role_may_what_those_before_it_may():
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN


def test_roles_are_read_by_their_names():
    assert [parse_role(role.label) for role in Role] == list(Role)
    with pytest.raises(ValueError, match="no role 'root': one of viewer, operator, admin"):
        parse_role("root")
