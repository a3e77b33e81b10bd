"""What the shapes share: hosts that vanish with the test, whatever becomes of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import _is_loopback
from tests.shapes import hosts
from tests.shapes.daemons import World

#: Set where a run that leaves the shapes out must not pass.
REQUIRED = "CIRRUS_SHAPES_REQUIRED"


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test reach its own hosts, and besides them loopback as everywhere."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        is_inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_inet and not hosts.is_on_a_host() and not _is_loopback(address[0]):
            raise OSError(f"a test tried to reach {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def _can_make_hosts() -> None:
    why = hosts.what_is_missing()
    if why is not None:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(why)
    hosts.remove_leftovers()


@pytest.fixture
def world(tmp_path: Path, _can_make_hosts: None) -> Iterator[World]:
    """Give an empty network, and end everything that the test runs in it."""
    world = World(tmp_path)
    try:
        yield world
    finally:
        world.close()
