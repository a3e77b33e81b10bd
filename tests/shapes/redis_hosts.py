"""Redis on hosts of the shapes: one server, a cluster, and a relay that makes a server slow.

Place in flow: as ``daemons``; the binaries are those that ``make parts`` unpacks.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.redis_server import BINARY, PARTS, library_path
from tests.shapes.daemons import World, run_on, wait_until
from tests.shapes.hosts import Host
from tests.shapes.others import Foreign

REDIS = BINARY
REDIS_CLI = PARTS / "usr/bin/redis-cli"
#: How long a master may be silent before its replica takes over, milliseconds.
_NODE_TIMEOUT_MS = 2000
_MASTER, _REPLICA = 7001, 7002


class Redis(Foreign):
    """A server that keeps nothing on disk."""

    def __init__(self, host: Host, folder: Path, *options: str, port: int = 6379) -> None:
        self.port = port
        super().__init__(
            host,
            folder,
            *(REDIS, "--port", str(port), "--bind", "0.0.0.0", "--protected-mode", "no"),
            *("--save", "", "--appendonly", "no", *options),
        )

    @property
    def url(self) -> str:
        return f"redis://{self.host.address}:{self.port}"

    def is_ready(self) -> bool:
        # After a password was set it answers "NOAUTH", which is an answer.
        return bool(self.ask("PING").strip())

    def ask(self, *words: str, password: str = "") -> str:
        """Return what the server says to a command; nothing if it cannot be asked."""
        done = run_on(
            self.host,
            *(str(REDIS_CLI), "-h", self.host.address, "-p", str(self.port), *words),
            env={"LD_LIBRARY_PATH": library_path(), "REDISCLI_AUTH": password},
        )
        return done.stdout if not done.returncode else ""


class RedisCluster:
    """Three masters with a replica each, on three hosts; no host has a master and its replica."""

    def __init__(self, world: World, hosts: Sequence[Host]) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS))
        self._hosts = hosts
        self.servers: list[Redis] = []
        for port in (_MASTER, _REPLICA):
            for host in hosts:
                server = Redis(host, world.folder / f"{host.name}-{port}", *options, port=port)
                world.daemons.append(server)
                self.servers.append(server)

    @property
    def urls(self) -> list[str]:
        """Return where it can be found: one server of each host."""
        return [server.url for server in self.servers[: len(self._hosts)]]

    def start(self, world: World) -> None:
        """Start the servers and make them a cluster."""
        world.start(*self.servers)
        places = [f"{one.host.address}:{one.port}" for one in self.servers]
        done = run_on(
            self._hosts[0],
            *(str(REDIS_CLI), "--cluster", "create", *places),
            *("--cluster-replicas", "1", "--cluster-yes"),
            env={"LD_LIBRARY_PATH": library_path()},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until("the cluster", lambda: all(is_whole(one) for one in self.servers))

    def masters(self) -> list[Redis]:
        """Return the servers that are masters now."""
        running = [one for one in self.servers if one.is_running()]
        return [one for one in running if "role:master" in one.ask("INFO", "replication")]


def is_whole(server: Redis) -> bool:
    """Return whether a server of a cluster says that all masters work and have a replica."""
    lines = server.ask("CLUSTER", "NODES").splitlines()
    masters = [line for line in lines if "master" in line and "fail" not in line]
    replicas = [line for line in lines if "slave" in line and "fail" not in line]
    is_ok = "cluster_state:ok" in server.ask("CLUSTER", "INFO")
    return is_ok and len(masters) == 3 and len(replicas) == 3


class Relay:
    """A relay to a server on its own host, which can be slow, dumb, or away.

    Args:
        host: Where it listens.
        port: At which port.
        target: The port of the server on the same host.

    Attributes:
        delay_s: How long what the server says is held back.
        is_dumb: Whether nothing is passed on.
    """

    def __init__(self, host: Host, port: int, target: int) -> None:
        self.host = host
        self.port = port
        self.delay_s = 0.0
        self.is_dumb = False
        self._target = target
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{self.host.address}:{self.port}"

    def start(self) -> None:
        """Take connections, again after ``stop``."""
        with self.host.inside():
            self._listening = socket.create_server((self.host.address, self.port))
            # A thread belongs to the host on which it was started.
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def stop(self) -> None:
        """Break off all connections, and refuse others."""
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                try:
                    server = socket.socket()
                    server.connect(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._open |= {client, server}
                for come, go, is_reply in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._pass,
                        args=(come, go),
                        kwargs={"is_reply": is_reply},
                        daemon=True,
                    ).start()

    def _pass(self, come: socket.socket, go: socket.socket, *, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while data := come.recv(65536):
                if is_reply and self.delay_s:
                    time.sleep(self.delay_s)
                while self.is_dumb:
                    time.sleep(0.05)
                go.sendall(data)
        for sock in (come, go):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        # Both directions end here; whoever is last has nothing to shut down.
        self._open -= {come, go}
