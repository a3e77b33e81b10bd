"""What a policy says about the SSH console."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.console_options import ConsoleOptions, make_console_options
from engine.model.role import Role

GIVEN = {
    "listen": "127.0.0.1:2022",
    "host_key": "/k",
    "authorized_keys": "/a",
    "idle_timeout": "10m",
    "max_sessions": 3,
    "password_roles": {"ann": "admin"},
}


def test_options_are_parsed():
    assert make_console_options(GIVEN) == ConsoleOptions(
        ("127.0.0.1", 2022), Path("/k"), Path("/a"), 600.0, 3, {"ann": Role.ADMIN}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "nowhere"),
        ("host_key", ""),
        ("authorized_keys", 7),
        ("idle_timeout", 0),
        ("idle_timeout", "2d"),
        ("max_sessions", 0),
        ("max_sessions", True),
        ("max_sessions", 10_000),
        ("password_roles", ["ann"]),
        ("password_roles", {"ann": "root"}),
        ("password_roles", {"": "viewer"}),
    ],
)
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        make_console_options({**GIVEN, name: value})
