"""A real Redis from Debian's package, unpacked, on a free port of loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
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
