"""A console over the queues of a node, and operators who come to it with their keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh

from engine.admin.http_api import ENDPOINTS
from engine.base.http_call import AuthInfo, BasicCredentials
from engine.console.desk import ConsoleDesk, DeskPorts
from engine.console.operator_keys import Operator
from engine.console.server import LOGIN_S, ConsoleServer
from engine.model.console_options import make_console_options
from engine.model.role import Role
from tests.fakes.admin_world import AdminWorld, admin_world

ROLES = ("viewer", "operator", "admin")


def operator(role: Role = Role.OPERATOR) -> Operator:
    return Operator("ann", role)


def make_desk(world: AdminWorld) -> ConsoleDesk:
    """Return the node's side of a console; it knows ann by her password."""

    async def authenticate(credentials: BasicCredentials) -> AuthInfo | None:
        known = (credentials.user, credentials.password) == ("ann", "correct-horse")
        return AuthInfo(credentials.user) if known else None

    return ConsoleDesk(world, ENDPOINTS, DeskPorts(world.metrics, lambda: None, authenticate))


class ConsoleWorld:
    """A console, and the keys of those who may come.

    Attributes:
        world: The node behind it.
        server: The console.
        keys: Private keys by role, and one of nobody's.
    """

    def __init__(self, world: AdminWorld, server: ConsoleServer, keys: dict[str, Any]) -> None:
        self.world = world
        self.server = server
        self.keys = keys

    def connect(self, key: str = "operator", **options: Any) -> Any:
        """Return a connection that is to be entered."""
        given = {"client_keys": [self.keys[key]], "username": "whoever", **options}
        return asyncssh.connect(
            "127.0.0.1",
            self.server.port,
            known_hosts=None,
            config=None,
            agent_path=None,
            **given,
        )

    async def run(self, line: str, key: str = "operator", **options: Any) -> Any:
        """Return how one line of ``ssh`` ended."""
        async with self.connect(key) as connection:
            return await connection.run(line, **options)

    async def settle(self) -> None:
        """Let what was handed to the node's loop be done."""
        for _ in range(5):
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def console_world(
    folder: Path, script: str = "", *, login_s: float = LOGIN_S, **options: Any
) -> AsyncIterator[ConsoleWorld]:
    """Run a console in the loop of its node: the calls between them are the real ones."""
    keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in (*ROLES, "nobody")}
    lines = [
        f'role="{role}",name="{role}-ann" {keys[role].export_public_key().decode().strip()}'
        for role in ROLES
    ]
    authorized = folder / "authorized_keys"
    authorized.write_text("\n".join(lines) + "\n")
    given = {
        "listen": "127.0.0.1:0",
        "host_key": str(folder / "host_key"),
        "authorized_keys": str(authorized),
        "idle_timeout": "30m",
        "max_sessions": 4,
        "password_roles": None,
        **options,
    }
    async with admin_world(folder, script) as world:
        loop = asyncio.get_running_loop()
        server = ConsoleServer(make_console_options(given), make_desk(world), loop, login_s=login_s)
        await server.start()
        try:
            yield ConsoleWorld(world, server, keys)
        finally:
            await server.stop()
