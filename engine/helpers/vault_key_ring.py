"""Keys of HashiCorp Vault for signers: fetched beside the mail, handed out at once.

Place in flow: ``dkim_helper`` asks for a key while a message is received, which cannot wait;
``script_helpers`` has the keys of a new epoch fetched when it begins.

Invariants:
    * A key that is known is handed out, however old; it is asked for anew every ``REFRESH_S``.
    * One look-up of a key is under way at a time, ``FETCHES_MAX`` in all; after a failure the next
      begins ``PAUSE_S`` later.

Failure: logged with the place of the key, never the key. Until it is known, nobody signs with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.model.errors import ConfigurationError

log = logging.getLogger("cirrus.dkim")

REFRESH_S = 300.0
PAUSE_S = 5.0
FETCHES_MAX = 8
KEYS_MAX = 20_000

#: Port: return the secret of a key source.
LoadSecret = Callable[[Mapping[str, str]], Awaitable[bytes]]
#: Port: run a coroutine as a supervised task of this name.
StartTask = Callable[[Coroutine[Any, Any, None], str], Any]


class VaultKey(NamedTuple):
    """Where a key is."""

    mount: str
    path: str

    def __str__(self) -> str:
        return f"{self.mount}/{self.path} of Vault"


@dataclass(slots=True)
class _Entry:
    octets: bytes | None = field(default=None, repr=False)
    asked_mono: float = float("-inf")
    is_asking: bool = False


class VaultKeyRing:
    """The keys of one node, by where they are.

    Args:
        load: Port: reads one.
        start: Port: runs a look-up.
        mono: Monotonic time in seconds.
    """

    def __init__(self, load: LoadSecret, start: StartTask, mono: Callable[[], float]) -> None:
        self._load = load
        self._start = start
        self._mono = mono
        self._entries: OrderedDict[VaultKey, _Entry] = OrderedDict()
        self._turns = asyncio.Semaphore(FETCHES_MAX)

    def find(self, key: VaultKey) -> bytes | None:
        """Return a key, or None where it is not known yet: it is being asked for then."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            if len(self._entries) > KEYS_MAX:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        pause_s = PAUSE_S if entry.octets is None else REFRESH_S
        if not entry.is_asking and self._mono() - entry.asked_mono >= pause_s:
            entry.is_asking = True
            self._start(self._fetch(key, entry), "dkim-key")
        return entry.octets

    def fetch(self, keys: Iterable[VaultKey]) -> None:
        """Begin to ask for keys that will be wanted."""
        for key in keys:
            self.find(key)

    async def _fetch(self, key: VaultKey, entry: _Entry) -> None:
        try:
            async with self._turns:
                source = {"vault_mount": key.mount, "vault_path": key.path}
                entry.octets = await self._load(source)
        except ConfigurationError as error:
            kept = "" if entry.octets is None else "; the key known goes on"
            log.error("the key in %s cannot be had%s: %s", key, kept, error)
        finally:
            entry.is_asking = False
            entry.asked_mono = self._mono()
