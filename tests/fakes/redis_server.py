"""A real Redis from Debian's package, unpacked, on a free port of loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / ".parts" / "debian"
BINARY = PARTS / "usr" / "bin" / "redis-server"


def library_path() -> str:
    """Return where the unpacked libraries are."""
    script = ROOT / "scripts" / "unpack_parts.sh"
    done = subprocess.run([script, "--library-path"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


#: A cluster's servers talk on a port ten thousand above their own.
_BUS = 10_000


def free_port() -> int:
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port + _BUS > 65_535:
                continue
            with contextlib.suppress(OSError):
                bus.bind(("127.0.0.1", port + _BUS))
                return port


class RedisServer:
    """A server that can be stopped, and started again on the same port."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                str(BINARY),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--appendonly", "no", "--dir", str(self._folder), *self._options),
            ],
            env={"LD_LIBRARY_PATH": library_path()},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return
        raise AssertionError("redis-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server, or skip the test where it was not unpacked."""
    if not BINARY.is_file():
        pytest.skip("no redis-server: run scripts/unpack_parts.sh")
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


_CLI = PARTS / "usr" / "bin" / "redis-cli"


class RedisCluster:
    """Three masters, each with as many replicas as wanted."""

    def __init__(self, folder: Path, replicas: int = 0) -> None:
        self._count = 3 * (1 + replicas)
        self._replicas = replicas
        self.servers: list[RedisServer] = []
        self._folder = folder

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def start(self) -> None:
        options = "--cluster-enabled", "yes", "--cluster-node-timeout", "1500"
        for number in range(self._count):
            folder = self._folder / f"redis-{number}"
            folder.mkdir()
            server = RedisServer(folder, *options)
            server.start()
            self.servers.append(server)
        self.cli(
            *("--cluster", "create", *(f"127.0.0.1:{one.port}" for one in self.servers)),
            *("--cluster-replicas", str(self._replicas), "--cluster-yes"),
        )

        for server in self.servers:
            self._wait_until_agreed(server)

    def _wait_until_agreed(self, server: RedisServer) -> None:
        """Wait until a server knows of all slots, and of its replicas that they follow."""
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            told = self.cli("-p", str(server.port), "cluster", "info")
            nodes = self.cli("-p", str(server.port), "cluster", "nodes")
            replicas = sum(
                " slave " in f" {line.replace(',', ' ')} " for line in nodes.splitlines()
            )
            if "cluster_state:ok" in told and replicas == 3 * self._replicas:
                return
            time.sleep(0.05)
        raise AssertionError("the cluster did not come about")

    def cli(self, *words: str) -> str:
        done = subprocess.run(
            [str(_CLI), *words],
            env={"LD_LIBRARY_PATH": library_path()},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


@contextlib.contextmanager
def redis_cluster(folder: Path, replicas: int = 0) -> Iterator[RedisCluster]:
    """Run a cluster, or skip the test where Redis was not unpacked."""
    if not BINARY.is_file():
        pytest.skip("no redis-server: run scripts/unpack_parts.sh")
    cluster = RedisCluster(folder, replicas)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
