"""Keys of a Vault are fetched beside the mail, and a known one goes on while Vault is away."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.helpers.vault_key_ring import FETCHES_MAX, PAUSE_S, REFRESH_S, VaultKey, VaultKeyRing
from engine.model.errors import ConfigurationError
from policy.testing import ManualTime

KEY = VaultKey("secret", "dkim/example.com/s1")


class Ring(VaultKeyRing):
    """A ring whose Vault is a table."""

    def __init__(self) -> None:
        self.time = ManualTime()
        self.secrets: dict[str, bytes] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.under_way = self.most = 0
        super().__init__(self._read, self._begin, self.time)

    def _begin(self, task, _name):
        self.tasks.append(asyncio.get_running_loop().create_task(task))

    async def _read(self, source):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        self.under_way -= 1
        if source["vault_path"] not in self.secrets:
            raise ConfigurationError("no such secret")
        return self.secrets[source["vault_path"]]

    async def settle(self):
        while self.tasks:
            await self.tasks.pop()


async def test_a_key_is_known_after_it_was_asked_for():
    ring = Ring()
    ring.secrets[KEY.path] = b"pem"

    assert ring.find(KEY) is None
    await ring.settle()
    assert ring.find(KEY) == b"pem"


async def test_a_key_is_asked_for_once_at_a_time():
    ring = Ring()
    for _ in range(5):
        ring.find(KEY)

    assert len(ring.tasks) == 1
    await ring.settle()


async def test_a_key_that_changed_counts_after_a_while():
    ring = Ring()
    ring.secrets[KEY.path] = b"old"
    ring.find(KEY)
    await ring.settle()
    ring.secrets[KEY.path] = b"new"
    assert ring.find(KEY) == b"old"
    assert ring.tasks == []

    ring.time.advance(REFRESH_S)
    assert ring.find(KEY) == b"old"
    await ring.settle()

    assert ring.find(KEY) == b"new"


async def test_a_known_key_goes_on_while_the_vault_is_away(caplog):
    ring = Ring()
    ring.secrets[KEY.path] = b"pem"
    ring.find(KEY)
    await ring.settle()
    ring.secrets.clear()
    ring.time.advance(REFRESH_S)
    ring.find(KEY)

    with caplog.at_level(logging.ERROR):
        await ring.settle()

    assert ring.find(KEY) == b"pem"
    assert "dkim/example.com/s1 of Vault cannot be had; the key known goes on" in caplog.text
    assert "pem" not in caplog.text


async def test_a_vault_that_fails_is_not_asked_for_each_message():
    ring = Ring()
    ring.find(KEY)
    await ring.settle()
    ring.find(KEY)
    assert ring.tasks == []

    ring.time.advance(PAUSE_S)
    ring.find(KEY)

    assert len(ring.tasks) == 1
    await ring.settle()


async def test_many_keys_are_fetched_a_few_at_a_time():
    ring = Ring()

    ring.fetch(VaultKey("secret", str(number)) for number in range(50))
    await ring.settle()

    assert ring.most == FETCHES_MAX


@pytest.mark.parametrize("count", [3])
async def test_what_is_kept_is_bounded(monkeypatch, count):
    monkeypatch.setattr("engine.helpers.vault_key_ring.KEYS_MAX", count)
    ring = Ring()
    ring.fetch(VaultKey("secret", str(number)) for number in range(10))
    await ring.settle()

    assert len(ring._entries) == count
