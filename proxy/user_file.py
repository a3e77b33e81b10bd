"""Users of the proxy: names and hashed passwords, in a file that is followed while it changes.

Place in flow: ``proxy.authentication`` asks one per listener that names a file; ``cirrus proxy
hash-password`` writes its lines.

A line is ``name:hash`` or ``name:hash:group,group``; empty lines and those that begin with ``#``
count for nothing. A hash is ``$scrypt$ln=14,r=8,p=1$salt$key``, salt and key in base64 without
padding, as other programs that hash with scrypt write it.

Invariants:
    * A file with a mistake is not taken: the users known before stay, and the mistake is told once
      per content, with its line.
    * A wrong name takes as long as a wrong password, and at most ``AT_ONCE`` hashes are computed at
      a time, in threads: guessing slows nobody else down.
    * A password that was right is known again without being hashed, by a digest that means nothing
      outside this process.

Standard: RFC 7914 (scrypt).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import ConfigurationError

log = logging.getLogger("cirrus.proxy")

#: Passwords that are hashed at a time.
AT_ONCE = 2
#: What a hash made here costs: 16 MiB of memory, and some 40 ms.
_COST_LOG2, _BLOCK, _PARALLEL = 14, 8, 1
_SALT_OCTETS, _KEY_OCTETS = 16, 32
#: The most that a hash from elsewhere may ask for, octets.
_MEMORY_MAX = 256 * 1024 * 1024
_REMEMBERED_MAX = 4096
_FILE_MAX = 16 * 1024 * 1024
_HASH = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([\w+/]+)\$([\w+/]+)", re.A)


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A hashed password.

    Attributes:
        cost_log2: The logarithm of how often memory is gone through.
        block: Size of a block, in units of 128 octets.
        parallel: How often all of it is done.
    """

    cost_log2: int
    block: int
    parallel: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Return what a hash says.

        Raises:
            ValueError: It is none, or asks for more than a password is worth.
        """
        found = _HASH.fullmatch(text)
        if found is None:
            raise ValueError("not a hash as `cirrus proxy hash-password` writes it")
        cost_log2, block, parallel = (int(number) for number in found.groups()[:3])
        try:
            salt, key = (_decode(part) for part in found.groups()[3:])
        except binascii.Error as error:
            raise ValueError("a hash that is cut off or damaged") from error
        if not 1 <= cost_log2 <= 20 or not block or not 1 <= parallel <= 16 or len(key) < 16:
            raise ValueError("a hash with numbers that make no sense")
        if 128 * block * ((1 << cost_log2) + parallel) > _MEMORY_MAX:
            raise ValueError("a hash that takes too much memory to check")
        return cls(cost_log2, block, parallel, salt, key)

    @classmethod
    def make(cls, password: bytes) -> PasswordHash:
        """Return the hash of a password, with a salt of its own."""
        blank = cls(_COST_LOG2, _BLOCK, _PARALLEL, os.urandom(_SALT_OCTETS), bytes(_KEY_OCTETS))
        key = blank.derive(password)
        return cls(_COST_LOG2, _BLOCK, _PARALLEL, blank.salt, key)

    def derive(self, password: bytes) -> bytes:
        """Return the key that a password leads to; slow on purpose."""
        return hashlib.scrypt(
            password,
            salt=self.salt,
            n=1 << self.cost_log2,
            r=self.block,
            p=self.parallel,
            maxmem=2 * _MEMORY_MAX,
            dklen=len(self.key),
        )

    def is_of(self, password: bytes) -> bool:
        """Return whether this is the hash of a password; slow on purpose."""
        # To the hash, a password and the same one with zeros behind it are one.
        return hmac.compare_digest(self.derive(password), self.key) and b"\0" not in password

    def __str__(self) -> str:
        numbers = f"ln={self.cost_log2},r={self.block},p={self.parallel}"
        return f"$scrypt${numbers}${_encode(self.salt)}${_encode(self.key)}"


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file."""

    name: str
    password: PasswordHash
    groups: frozenset[str] = frozenset()


def parse_users(text: str) -> dict[str, User]:
    """Return the users of a file by name.

    Raises:
        ValueError: A line is none; the text names it.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901
        if not line or line.startswith("#"):
            continue
        try:
            user = _parse_user(line)
            if user.name in users:
                raise ValueError(f"a second line for {user.name}")
        except ValueError as error:
            raise ValueError(f"{number}: {error}") from error
        users[user.name] = user
    return users


def _parse_user(line: str) -> User:
    name, *rest = line.split(":")
    if not rest or len(rest) > 2:
        raise ValueError("a line is name:hash or name:hash:groups")
    check_name(name)
    groups = frozenset(word.strip() for word in rest[1].split(",")) if rest[1:] else frozenset()
    if "" in groups:
        raise ValueError("a group without a name")
    return User(name, PasswordHash.parse(rest[0]), groups)


def check_name(name: str) -> str:
    """Return a user's name.

    Raises:
        ValueError: It could not stand in the file, or not be sent by a client.
    """
    is_fit = name and name.isprintable() and name == name.strip() and name[0] != "#"
    if not is_fit or ":" in name or len(name.encode()) > 255:
        raise ValueError(f"not a user's name: {name!r}")
    return name


class UserFile:
    """The users of one file.

    Attributes:
        failing: What keeps the file as it is now from being taken, or None.

    Args:
        path: The file.

    Raises:
        ConfigurationError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failing: str | None = None
        self._stamp: tuple[int, ...] = ()
        self._content: bytes | None = None
        self._users: dict[str, User] = {}
        self._secret = os.urandom(32)
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._nobody = PasswordHash.make(os.urandom(16))
        self._read(rehash=True)
        if self.failing is not None:
            raise ConfigurationError(self.failing)

    def refresh(self, *, rehash: bool = True) -> None:
        """Look at the file and take what changed; what is wrong stays out.

        Args:
            rehash: Whether to read it even if its size and times look unchanged.
        """
        before = self.failing
        if not self._read(rehash=rehash):
            return
        if self.failing is None:
            log.info("%s was read anew: %d users", self.path, len(self._users))
        elif self.failing != before:
            log.error("%s; the users known before stay", self.failing)

    def _read(self, *, rehash: bool) -> bool:
        """Read the file if it changed; return whether there is something to say."""
        try:
            status = self.path.stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp and not rehash:
                return False
            # One octet more than it may have tells a larger one.
            with self.path.open("rb") as file:
                content = file.read(_FILE_MAX + 1)
        except OSError as error:
            self.failing, self._stamp, self._content = f"{self.path}: {error.strerror}", (), None
            return True
        self._stamp = stamp
        if content == self._content:
            return False
        self._content = content
        try:
            if len(content) > _FILE_MAX:
                raise ValueError(f" larger than {_FILE_MAX >> 20} MiB")
            users = parse_users(content.decode())
        except UnicodeDecodeError:
            self.failing = f"{self.path}: not UTF-8"
        except ValueError as error:
            self.failing = f"{self.path}:{error}"
        else:
            self.failing, self._users = None, users
        return True

    async def verify(self, name: bytes, password: bytes) -> User | None:
        """Return the user whose name and password these are, None if they are nobody's."""
        user = self._users.get(name.decode("utf-8", "replace"))
        stored = self._nobody if user is None else user.password
        digest = self._digest(name, password, stored)
        if user is not None and digest in self._remembered:
            self._remembered.move_to_end(digest)
            return user
        async with self._slots:
            is_right = await asyncio.to_thread(stored.is_of, password)
        if not is_right or user is None:
            return None
        self._remembered[digest] = None
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return user

    def _digest(self, name: bytes, password: bytes, stored: PasswordHash) -> bytes:
        # The hash is part of it: with another one in the file, what is remembered means nothing.
        parts = (name, password, stored.salt, stored.key)
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(framed, key=self._secret, digest_size=32).digest()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
