"""Keys and passwords from where operators keep them: the one place that reads key sources.

Place in flow: what scripts read themselves (``mta.secrets``) and request signing get it through
here. Certificates and passwords of listeners and next hops still read files of their own.

Invariants:
    * A secret is in no error, log or representation.
    * A file is a plain one of at most ``SECRET_BYTES_MAX``: a pipe or a wrong path must not hold
      the node or fill its memory.

Failure: always a ``ConfigurationError`` that says which source.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.base.vault import VaultClient, VaultPlace
from engine.model.errors import ConfigurationError

SECRET_BYTES_MAX = 1 << 20
PATH_CHARACTERS_MAX = 4096
_VAULT_KEYS = frozenset({"vault_mount", "vault_path", "vault_key", "vault_address", "vault_token"})
_SHAPES = (
    'the name of a file, {"key_data": text}, {"env": NAME}'
    ' or {"vault_mount": ..., "vault_path": ...}'
)

#: A file, ``{"key_data": ...}``, ``{"env": NAME}`` or ``{"vault_mount": ..., "vault_path": ...}``.
KeySource = str | Path | Mapping[str, Any]


def waits(source: KeySource) -> bool:
    """Tell whether a source has to be waited for.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(source, str | Path):
        return False
    if not isinstance(source, Mapping):
        raise ConfigurationError(f"key source: wants {_SHAPES}")
    keys = set(source)
    if keys in ({"key_data"}, {"env"}):
        return False
    if {"vault_mount", "vault_path"} <= keys <= _VAULT_KEYS:
        return True
    # Not the values: one may be a secret.
    raise ConfigurationError(f"key source: wants {_SHAPES}, not {sorted(map(str, keys))}")


def load_secret_nowait(
    source: KeySource, folder: Path, environ: Mapping[str, str] = os.environ
) -> bytes:
    """Return the secret of a file, of the environment, or given as it is.

    Args:
        source: Where it is.
        folder: What names of files are relative to.
        environ: The environment of the process.

    Raises:
        ConfigurationError: There is none, or it has to be waited for.
    """
    if waits(source):
        raise ConfigurationError("key source: this one has to be waited for")
    if isinstance(source, str | Path):
        return read_secret_file(folder / source)
    if "key_data" in source:
        return checked_secret(source["key_data"], "key_data")
    name = source["env"]
    if not isinstance(name, str) or not name:
        raise ConfigurationError("key source: env wants the name of a variable")
    value = environ.get(name)
    if value is None:
        raise ConfigurationError(f"key source: the environment has no {name[:200]}")
    return checked_secret(value.encode("utf-8", "surrogateescape"), f"env {name[:200]}")


class KeySourceReader:
    """Reads secrets.

    Args:
        vault: Reads those of Vault.
        folder: Port: the folder that names of files are relative to.
        environ: The environment of the process.
    """

    def __init__(
        self,
        vault: VaultClient,
        folder: Callable[[], Path] = Path,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._vault = vault
        self._folder = folder
        self._environ = environ

    def load_nowait(self, source: KeySource) -> bytes:
        """Return the secret of a file, of the environment, or given as it is.

        Raises:
            ConfigurationError: There is none, or it has to be waited for.
        """
        return load_secret_nowait(source, self._folder(), self._environ)

    async def load(self, source: KeySource) -> bytes:
        """Return the secret of any source.

        Raises:
            ConfigurationError: There is none.
        """
        if not waits(source):
            return self.load_nowait(source)
        assert isinstance(source, Mapping)
        return await self.load_from_vault(source)

    async def load_from_vault(self, source: Mapping[str, Any]) -> bytes:
        """Return a secret of Vault.

        Raises:
            ConfigurationError: There is none.
        """
        for name, value in source.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"key source: {name} wants text")
        address = source.get("vault_address") or self._environ.get("VAULT_ADDR", "")
        if not address:
            raise ConfigurationError("key source: neither vault_address nor VAULT_ADDR is given")
        place = VaultPlace(
            address,
            source["vault_mount"].strip("/"),
            source["vault_path"].strip("/"),
            source.get("vault_token") or self._environ.get("VAULT_TOKEN", ""),
        )
        secret = await self._vault.read(place, source.get("vault_key") or "key")
        return checked_secret(secret, "Vault")


def read_secret_file(path: Path) -> bytes:
    """Return the content of a file with a secret.

    Raises:
        ConfigurationError: It cannot be read, is too large, or is no plain file.
    """
    shown = str(path)[:PATH_CHARACTERS_MAX]
    if "\0" in shown or len(str(path)) > PATH_CHARACTERS_MAX:
        raise ConfigurationError("key source: not the name of a file")
    try:
        # Without waiting for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"key source: {shown} is no plain file")
            octets = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"key source: {shown}: {error.strerror}") from None
    return checked_secret(octets, shown)


def checked_secret(value: Any, what: str) -> bytes:
    """Return a secret as octets.

    Args:
        value: Text or bytes.
        what: Where it is from, for the message of an error.

    Raises:
        ConfigurationError: It is neither, is empty, or too large.
    """
    octets = value.encode() if isinstance(value, str) else value
    if not isinstance(octets, bytes) or not octets:
        raise ConfigurationError(f"key source: {what} wants text or bytes that are not empty")
    if len(octets) > SECRET_BYTES_MAX:
        raise ConfigurationError(f"key source: {what} holds more than {SECRET_BYTES_MAX} octets")
    return octets
