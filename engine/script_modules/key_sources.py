"""``mta.secrets``: keys and passwords from where they are kept.

Place in flow: exposed by ``all_modules``; other stages that take a key source ask
``KeySources.load`` too.

Invariants:
    * A secret is read when asked for and kept nowhere; no error or log shows one.
    * A file may lie anywhere the node may read, since secrets rarely lie beside scripts; it is a
      plain file of at most ``SECRET_BYTES_MAX``.

Failure: always a ``ConfigurationError`` that says which source, never what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from engine.model.errors import ConfigurationError
from engine.script_modules.policy_files import read_plain_file
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

MODULE = "mta.secrets"
SECRET_BYTES_MAX = 1 << 20
_SHAPES = (
    'the name of a file, {"key_data": text}, {"env": NAME}, {"function": function, "args": [...]}'
    ' or {"vault_mount": ..., "vault_path": ...}'
)
_VAULT_KEYS = frozenset({"vault_mount", "vault_path", "vault_key", "vault_address", "vault_token"})

#: Port: return the answer of a function of a script, within a budget of its own.
CallFunction = Callable[..., Awaitable[Any]]
#: Port: return a secret of HashiCorp Vault; the mapping has the ``vault_`` keys.
LoadFromVault = Callable[[Mapping[str, Any]], Awaitable[bytes]]


async def _no_vault(_source: Mapping[str, Any]) -> bytes:
    raise ConfigurationError("key source: Vault is not available here")


class KeySources:
    """Reads secrets.

    Args:
        folder: Port: the folder that names of files are relative to.
        call_function: Port: calls a function of a script.
        environ: The environment of the process.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        call_function: CallFunction,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder = folder
        self._call_function = call_function
        self._environ = environ
        #: Port: set by who can reach a Vault.
        self.load_from_vault: LoadFromVault = _no_vault

    def read(self, source: Any) -> bytes:
        """Return the secret of a source that needs no waiting: a file, inline, the environment.

        Raises:
            ConfigurationError: There is none.
        """
        found = self._read_nowait(source)
        if found is None:
            raise ConfigurationError("key source: this one waits; await mta.secrets.load(...)")
        return found

    async def load(self, source: Any) -> bytes:
        """Return the secret of any source.

        Raises:
            ConfigurationError: There is none.
        """
        found = self._read_nowait(source)
        if found is not None:
            return found
        if "function" in source:
            arguments = source.get("args", ())
            if not isinstance(arguments, list | tuple):
                raise ConfigurationError("key source: args wants a list")
            answer = await self._call_function(source["function"], *arguments)
            return _checked(answer, "function")
        return _checked(await self.load_from_vault(source), "Vault")

    def _read_nowait(self, source: Any) -> bytes | None:
        """Return the secret, or None where one has to wait for it."""
        if isinstance(source, str) and source:
            return self._read_file(source)
        if not isinstance(source, Mapping):
            raise ConfigurationError(f"key source: wants {_SHAPES}")
        keys = set(source)
        if keys == {"key_data"}:
            return _checked(source["key_data"], "key_data")
        if keys == {"env"}:
            return self._read_environment(source["env"])
        if "function" in keys and keys <= {"function", "args"}:
            if not callable(source["function"]):
                raise ConfigurationError("key source: function wants a function of the script")
            return None
        if {"vault_mount", "vault_path"} <= keys <= _VAULT_KEYS:
            return None
        if "event_name" in keys:
            raise ConfigurationError(
                'key source: name the function instead of an event: {"function": function}'
            )
        # Not the values: one may be a secret.
        raise ConfigurationError(
            f"key source: wants {_SHAPES}, not the keys {sorted(map(str, keys))}"
        )

    def _read_file(self, name: str) -> bytes:
        if "\0" in name or len(name) > 4096:
            raise ConfigurationError("key source: not the name of a file")
        try:
            return read_plain_file(self._folder() / name, SECRET_BYTES_MAX, name)
        except (OSError, LimitExceededError) as error:
            raise ConfigurationError(f"key source: {error}") from None

    def _read_environment(self, name: Any) -> bytes:
        if not isinstance(name, str) or not name:
            raise ConfigurationError("key source: env wants the name of a variable")
        value = self._environ.get(name)
        if value is None:
            raise ConfigurationError(f"key source: the environment has no {name[:200]}")
        return value.encode("utf-8", "surrogateescape")


def _checked(value: Any, what: str) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes) or not value:
        raise ConfigurationError(f"key source: {what} wants text or bytes that are not empty")
    if len(value) > SECRET_BYTES_MAX:
        raise ConfigurationError(f"key source: {what} gave more than {SECRET_BYTES_MAX} octets")
    return value


def expose_secrets(namespace: ScriptNamespace, sources: KeySources) -> None:
    """Make ``mta.secrets`` importable by scripts."""
    namespace.expose("read", sources.read, module=MODULE)
    namespace.expose("load", sources.load, module=MODULE, waits=True)
