"""Whose user name and password these are: by a file, or by the script.

Place in flow: ``proxy.app`` owns one; listeners ask it for each client that shows a password.

Invariants:
    * A listener with a file asks the file and nobody else; without one, the script's
      ``proxy_auth``.
    * What cannot be judged is wrong: a handler that fails, or takes too long, lets nobody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.model.proxy_header import Endpoint
from proxy.access import Who
from proxy.settings import SocksOptions
from proxy.socks5 import Credentials
from proxy.user_file import UserFile

log = logging.getLogger("cirrus.proxy")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody turned out to be: at least one name, and groups."""

    names: frozenset[str]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a client's connection to the proxy."""

    peer: Endpoint
    local: Endpoint


#: Port: return who shows a user name and a password, None when they are wrong.
AskScript = Callable[[str, str, Ends], Awaitable[Identity | None]]


class Authentication:
    """What passwords are held against.

    Attributes:
        ask_script: Asked where a listener names no file; None without a handler.
    """

    def __init__(self) -> None:
        self.ask_script: AskScript | None = None
        self._files: dict[Path, UserFile] = {}

    def use(self, paths: Iterable[Path]) -> None:
        """Read the files that are named now, and forget the others.

        Raises:
            ConfigurationError: One cannot be used; what was known before stays.
        """
        files = {path: self._files.get(path) or UserFile(path) for path in paths}
        self._files = files

    def refresh(self, *, rehash: bool = True) -> None:
        """Look at the files, and take what changed.

        Args:
            rehash: Whether to read files even if size and times look unchanged.
        """
        for users in self._files.values():
            users.refresh(rehash=rehash)

    @property
    def failing(self) -> tuple[str, ...]:
        """Return what keeps files from being taken as they are now."""
        return tuple(one.failing for one in self._files.values() if one.failing is not None)

    def can_judge(self, options: SocksOptions) -> bool:
        """Return whether there is anything to hold a password against."""
        return options.users_file is not None or self.ask_script is not None

    async def judge(
        self, options: SocksOptions, credentials: Credentials, ends: Ends
    ) -> Who | None:
        """Return who shows these credentials, None when they are wrong or cannot be judged."""
        try:
            async with asyncio.timeout(options.timeout_s):
                identity = await self._identify(options, credentials, ends)
        except TimeoutError:
            log.error("a password could not be judged within %.0f s", options.timeout_s)
            return None
        if identity is None:
            return None
        return Who(ends.peer[0], identity.names, identity.groups)

    async def _identify(
        self, options: SocksOptions, credentials: Credentials, ends: Ends
    ) -> Identity | None:
        if options.users_file is not None:
            # A session outlives the settings it began under: its file may be named no more.
            users = self._files.get(options.users_file)
            user = users and await users.verify(credentials.user, credentials.password)
            return Identity(frozenset({user.name}), user.groups) if user else None
        if self.ask_script is None:
            return None
        try:
            name, password = credentials.user.decode(), credentials.password.decode()
        except UnicodeDecodeError:
            return None
        return await self.ask_script(name, password, ends)
