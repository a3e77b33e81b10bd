"""What a policy says about the SSH console.

Place in flow: made by ``mta.start_ssh_console``, carried out by ``engine.console``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.model.duration import parse_duration
from engine.model.listener_options import parse_listen
from engine.model.role import Role, parse_role

#: Seconds without a key press before a session ends, unless it is said otherwise; and at most.
IDLE_S = 30 * 60.0
IDLE_MAX_S = 24 * 3600.0
#: Sessions at a time, unless it is said otherwise; and at most.
SESSIONS = 16
SESSIONS_MAX = 256


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """One console.

    Attributes:
        listen: Address and port.
        host_key: The file of its host key; made at the first start.
        authorized_keys: The file of those who may come.
        idle_timeout_s: Seconds without a key press before a session ends.
        max_sessions: Sessions at a time.
        password_roles: Who may come with a password, as the event ``http_auth_basic`` knows it, and
            in which role; nobody by default.
    """

    listen: tuple[str, int]
    host_key: Path
    authorized_keys: Path
    idle_timeout_s: float = IDLE_S
    max_sessions: int = SESSIONS
    password_roles: Mapping[str, Role] = field(default_factory=dict)


def make_console_options(options: Mapping[str, Any]) -> ConsoleOptions:
    """Return the options of a console, checked.

    Args:
        options: As a script gives them.

    Raises:
        ValueError: One is wrong; the text names it.
    """
    return ConsoleOptions(
        listen=_named("listen", parse_listen, options["listen"]),
        host_key=_named("host_key", _path, options["host_key"]),
        authorized_keys=_named("authorized_keys", _path, options["authorized_keys"]),
        idle_timeout_s=_named("idle_timeout", _idle, options["idle_timeout"]),
        max_sessions=_named("max_sessions", _sessions, options["max_sessions"]),
        password_roles=_named("password_roles", _roles, options["password_roles"]),
    )


def _named(name: str, parse: Any, value: Any) -> Any:
    try:
        return parse(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("wants the name of a file")
    return Path(value)


def _idle(value: Any) -> float:
    seconds = parse_duration(value)
    if not 1 <= seconds <= IDLE_MAX_S:
        raise ValueError("wants a duration from 1s to 1d")
    return seconds


def _sessions(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= SESSIONS_MAX:
        raise ValueError(f"wants a whole number from 1 to {SESSIONS_MAX}")
    return value


def _roles(value: Any) -> dict[str, Role]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError('wants a table of users and roles, such as {"ann": "viewer"}')
    roles: dict[str, Role] = {}
    for user, role in value.items():
        if not isinstance(user, str) or not user or not isinstance(role, str):
            raise ValueError("wants names of users and of roles, as text")
        roles[user] = parse_role(role)
    return roles
