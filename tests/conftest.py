"""What every test stands on: virtual time, and nothing but loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import settings

from tests.autojump import AutojumpLoop

# How long an example takes says something about the machine, nothing about the product.
settings.register_profile("cirrus", deadline=None)
settings.load_profile("cirrus")


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:
    """Give each test virtual time, unless it is marked ``real_time``."""
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.SelectorEventLoop}
    return {"autojump": AutojumpLoop}


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise OSError(f"a test tried to reach {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
