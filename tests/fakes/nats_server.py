"""A real nats-server from Debian's package, unpacked, with a stream store in a folder."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.redis_server import PARTS, free_port

BINARY = PARTS / "usr" / "sbin" / "nats-server"


class NatsServer:
    """A server that can be stopped, and started again on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(str(BINARY), "-a", "127.0.0.1", "-p", str(self.port)),
                *("-js", "-sd", str(self._folder), *self._options),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "Server is ready" in line:
                return
        raise AssertionError("nats-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextlib.contextmanager
def nats_server(folder: Path, *options: str) -> Iterator[NatsServer]:
    """Run a server, or skip the test where it was not unpacked."""
    if not BINARY.is_file():
        pytest.skip("no nats-server: run scripts/unpack_parts.sh")
    server = NatsServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
