"""The SSH side of the console: who is let in, by which algorithms, and how many at a time.

Place in flow: run by ``engine.console.console`` in the console's own loop; gives each channel to
``engine.console.channel``.

Invariants:
    * A connection is judged before a word of SSH is spoken: by address, by number, by how often it
      failed.
    * By keys only, unless the policy names users with passwords. Who somebody is comes from the
      file of keys; the name that the client gives counts with a password only.
    * No forwarding, no agent, no X11, no SFTP, no environment: sessions only.
    * Each wait of a login has a deadline, and a connection without a session the idle time.
    * Whoever is in the file of keys no more opens no session, on no connection.

Standard: RFC 4252, RFC 4254.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import asyncssh

from engine.base.lifecycle import Supervisor
from engine.base.os_reason import os_reason
from engine.console.channel import ConsoleChannel
from engine.console.connection_brake import ConnectionBrake
from engine.console.desk import ConsoleDesk
from engine.console.host_key import settle_host_key
from engine.console.local_node import CHANNEL, LocalNode
from engine.console.operator_keys import FILE_MAX, Operator, OperatorKeys, parse_operator_keys
from engine.model.caller import Caller
from engine.model.console_options import ConsoleOptions
from engine.model.errors import ConfigurationError
from engine.model.role import Role

log = logging.getLogger("cirrus.console")

#: How long a login may take, seconds.
LOGIN_S = 30.0
#: Keys that are looked at, and passwords, on one connection.
KEYS_MAX = 20
PASSWORDS_MAX = 3
#: Channels of one connection: those in which something may run, and those that are not closed yet
#: because the client did not take what was said.
CHANNELS_MAX = 8
UNCLOSED_MAX = 16
#: Seconds between signs of life, and how many may stay without an answer.
KEEPALIVE_S = 30.0
KEEPALIVES_MAX = 4
BACKLOG = 64
#: Connections that have logged in, whatever they do.
CONNECTIONS_MAX = 512
#: Seconds that a stop waits for connections to say good bye.
STOP_S = 2.0

KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp521",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp256",
)
CIPHERS = (
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp256",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class ConsoleServer:
    """One console, listening.

    Args:
        options: What the policy says.
        desk: The node's side.
        node_loop: The node's loop.
        login_s: How long a login may take, seconds.

    Attributes:
        options: What the policy says; another of the same address may be put here.
        port: The port it listens on.
        sessions: How many sessions there are.
    """

    def __init__(
        self,
        options: ConsoleOptions,
        desk: ConsoleDesk,
        node_loop: asyncio.AbstractEventLoop,
        *,
        login_s: float = LOGIN_S,
    ) -> None:
        self.options = options
        self._login_s = login_s
        self.port = 0
        self.sessions = 0
        self.desk = desk
        self.node_loop = node_loop
        self.brake = ConnectionBrake()
        self.supervisor = Supervisor()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[Any] | None = None
        self._ssh: asyncssh.SSHServerConnectionOptions | None = None
        self._findings: tuple[str, ...] = ()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The address, the host key or the file of keys cannot be had.
        """
        # What the library tells of each connection is in the audit log in fewer words, and less of
        # what was typed.
        asyncssh.set_log_level("WARNING")
        host, port = self.options.listen
        key = settle_host_key(self.options.host_key)
        if not self.options.password_roles and not self.options.authorized_keys.is_file():
            raise ConfigurationError(
                f"authorized_keys: there is no file {self.options.authorized_keys}"
            )
        self._ssh = asyncssh.SSHServerConnectionOptions(
            server_factory=lambda: OperatorLogin(self),
            server_host_keys=[key],
            kex_algs=KEX,
            encryption_algs=CIPHERS,
            mac_algs=MACS,
            signature_algs=SIGNATURES,
            compression_algs=None,
            login_timeout=self._login_s,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=KEEPALIVES_MAX,
            allow_pty=True,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            line_editor=False,
            kbdint_auth=False,
            gss_host=None,
            server_version="Cirrus",
            encoding="utf-8",
            errors="replace",
        )
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            reason = os_reason(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
        listening.setblocking(False)
        self._socket = listening
        self.port = listening.getsockname()[1]
        accepting = self._accept_forever(listening)
        self._accepting = self.supervisor.start(accepting, "console-accept")
        log.info("SSH console on %s:%s, host key %s", host, self.port, key.get_fingerprint())

    async def stop(self) -> None:
        """End all sessions and listen no more."""
        if self._accepting is not None:
            self._accepting.cancel()
        self.close_socket()
        for connection in list(self._connections):
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, "the console is closed")
        await self.supervisor.stop(STOP_S)
        for connection in list(self._connections):
            connection.abort()

    def close_socket(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._socket.close()

    # -- who comes ----------------------------------------------------------------------------

    async def _accept_forever(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listening)
            except OSError as error:
                if listening.fileno() < 0:
                    return
                # No descriptors left, most likely: the listener stays.
                log.warning("the console cannot accept: %s", os_reason(error))
                await asyncio.sleep(0.5)
                continue
            address = str(peer[0])
            reason = self.brake.refuse(address, loop.time())
            if reason is not None:
                sock.close()
                self.note_denied(Caller(address, address, CHANNEL), reason)
                continue
            self.brake.begin(address)
            self.supervisor.start(self._welcome(sock, address), "console-login")

    async def _welcome(self, sock: socket.socket, address: str) -> None:
        """Carry a connection through its login; then it lives by its channels."""
        connection = None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._login_s):
                connection = await asyncssh.run_server(sock, options=self._ssh)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            self.brake.note_failure(address, loop.time())
            text = "too slow" if isinstance(error, TimeoutError) else str(error)
            self.note_denied(Caller(address, address, CHANNEL), f"no login: {text[:200]}")
        finally:
            self.brake.end(address)
            if connection is None:
                sock.close()
        if connection is None:
            return
        self.brake.note_success(address)
        self._connections.add(connection)
        if len(self._connections) > CONNECTIONS_MAX:
            connection.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections")
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)

    def note_denied(self, caller: Caller, text: str) -> None:
        """Leave an audit record of somebody who was turned away."""
        self._tell_node(self.desk.note_denied, caller, "console-login", text)

    def note(self, caller: Caller, act: str, arguments: dict[str, Any]) -> None:
        """Leave an audit record of somebody who came or went."""
        self._tell_node(self.desk.note, caller, act, "", arguments)

    def _tell_node(self, tell: Any, *arguments: Any) -> None:
        if not self.node_loop.is_closed():
            self.node_loop.call_soon_threadsafe(tell, *arguments)

    def read_keys(self) -> OperatorKeys:
        """Return who may come now; what is wrong with the file is logged once."""
        path = self.options.authorized_keys
        try:
            keys = parse_operator_keys(_read(path))
        except OSError as error:
            keys = OperatorKeys((), (f"cannot be read: {os_reason(error)}",))
        except ValueError as error:
            keys = OperatorKeys((), (str(error),))
        if keys.findings != self._findings:
            self._findings = keys.findings
            for finding in keys.findings[:20]:
                log.warning("%s: %s", path, finding)
        return keys

    async def check_password(self, user: str, password: str) -> bool:
        """Return whether the policy knows a user by this password."""
        work = self.desk.check_password(user, password)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.node_loop))

    def take_place(self) -> bool:
        """Return whether there is room for one more session, and count it."""
        if self.sessions >= self.options.max_sessions:
            return False
        self.sessions += 1
        return True

    def leave_place(self) -> None:
        """Count one session less."""
        self.sessions -= 1


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(FILE_MAX + 1)
    if len(raw) > FILE_MAX:
        raise ValueError("the file is too large")
    return raw.decode("utf-8", "replace")


class OperatorLogin(asyncssh.SSHServer):
    """One connection: its login, and then its channels."""

    def __init__(self, server: ConsoleServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None
        self._address = ""
        self._operator: Operator | None = None
        self._keys = 0
        self._passwords = 0
        self._channels = 0
        self._unclosed = 0
        self._key: asyncssh.SSHKey | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._is_in = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Take the connection."""
        self._connection = conn
        self._address = str(conn.get_extra_info("peername", ("",))[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that an operator went."""
        self._connection = None
        if self._idle is not None:
            self._idle.cancel()
        if self._is_in and self._operator is not None:
            self._server.note(self._caller(self._operator), "console-logout", {})

    def begin_auth(self, username: str) -> bool:
        """Insist on a login."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Take keys."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether a key is somebody's; the library checks that the client has it.

        The last key looked at is the one that the library verifies next, in the same step: whoever
        only asks about another's key does not become that other.
        """
        self._keys += 1
        if self._keys > KEYS_MAX:
            self._turn_away("too many keys")
            return False
        self._key = key
        self._operator = self._server.read_keys().find(key, self._address)
        return self._operator is not None

    def password_auth_supported(self) -> bool:
        """Take passwords where the policy names users for them."""
        return bool(self._server.options.password_roles)

    async def validate_password(self, username: str, password: str) -> bool:
        """Return whether the policy knows the user, and the console has a role for them."""
        self._passwords += 1
        if self._passwords > PASSWORDS_MAX:
            self._turn_away("too many passwords")
            return False
        is_known = await self._server.check_password(username, password)
        role: Role | None = self._server.options.password_roles.get(username)
        if not is_known or role is None:
            caller = Caller(username[:64], self._address, CHANNEL)
            self._server.note_denied(caller, "wrong password")
            return False
        self._key = None
        self._operator = Operator(username, role)
        return True

    def auth_completed(self) -> None:
        """Note that an operator came."""
        assert self._operator is not None
        self._is_in = True
        arguments = {"role": self._operator.role.label}
        self._server.note(self._caller(self._operator), "console-login", arguments)
        self._wait_for_channel()

    def session_requested(self) -> Any:
        """Return a channel, False where there is no room."""
        assert self._operator is not None
        operator = self._look_again()
        if operator is None:
            self._server.note_denied(self._caller(self._operator), "not welcome any more")
            self._turn_away("not welcome any more")
            return False
        self._operator = operator
        if (
            self._channels >= CHANNELS_MAX
            or self._unclosed >= UNCLOSED_MAX
            or not self._server.take_place()
        ):
            self._server.note_denied(self._caller(self._operator), "too many sessions")
            return False
        self._channels += 1
        self._unclosed += 1
        if self._idle is not None:
            self._idle.cancel()
        server = self._server
        node = LocalNode(server.desk, server.node_loop, self._operator, self._address)
        return ConsoleChannel(
            node,
            server.supervisor,
            server.options.idle_timeout_s,
            self._channel_ended,
            self._channel_closed,
        )

    def _look_again(self) -> Operator | None:
        """Return who this is by now; None for nobody: a connection may outlive a key by days."""
        assert self._operator is not None
        if self._key is not None:
            return self._server.read_keys().find(self._key, self._address)
        role: Role | None = self._server.options.password_roles.get(self._operator.name)
        return None if role is None else Operator(self._operator.name, role)

    def _channel_ended(self) -> None:
        self._channels -= 1
        self._server.leave_place()

    def _channel_closed(self) -> None:
        self._unclosed -= 1
        if not self._unclosed and self._connection is not None:
            self._wait_for_channel()

    def _wait_for_channel(self) -> None:
        """End the connection if nobody opens a channel on it for the idle time."""
        loop = asyncio.get_running_loop()
        idle_s = self._server.options.idle_timeout_s
        self._idle = loop.call_later(idle_s, self._turn_away, "nothing was asked for too long")

    def _caller(self, operator: Operator) -> Caller:
        return Caller(operator.name, self._address, CHANNEL)

    def _turn_away(self, text: str) -> None:
        assert self._connection is not None
        code = asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE
        if self._is_in:
            code = asyncssh.DISC_BY_APPLICATION
        self._connection.disconnect(code, text)
