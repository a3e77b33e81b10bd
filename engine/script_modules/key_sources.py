"""``mta.secrets``: keys and passwords from where they are kept.

Place in flow: exposed by ``all_modules``; other stages that take a key source ask
``KeySources.load`` too.

Invariants:
    * A secret is read when asked for; only one of Vault is kept, for a minute. No error or log
      shows one.
    * A file may lie anywhere the node may read, since secrets rarely lie beside scripts.
    * What a source is, and how it is read, says ``engine.base.key_source``; functions of scripts
      are known here only.

Failure: always a ``ConfigurationError`` that says which source, never what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from engine.base.key_source import checked_secret, load_secret_nowait, waits
from engine.model.errors import ConfigurationError
from engine.model.keyword_options import function_of
from engine.model.option_error import OptionError
from policy.script_api import ScriptNamespace

MODULE = "mta.secrets"

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
            return checked_secret(answer, "function")
        return await self.load_from_vault(source)

    def _read_nowait(self, source: Any) -> bytes | None:
        """Return the secret, or None where one has to wait for it."""
        if isinstance(source, Mapping):
            keys = set(source)
            if "function" in keys and keys <= {"function", "args"}:
                if not callable(source["function"]):
                    raise ConfigurationError("key source: function wants a function of the script")
                _check_arguments(source["function"], source.get("args", ()))
                return None
            if "event_name" in keys:
                raise ConfigurationError(
                    'key source: name the function instead of an event: {"function": function}'
                )
        if waits(source):
            return None
        return load_secret_nowait(source, self._folder(), self._environ)


def _check_arguments(function: Any, arguments: Any) -> None:
    """Say at load that a function of a script cannot be called as its key source says."""
    if isinstance(function, FunctionType) and isinstance(arguments, list | tuple):
        try:
            function_of(len(arguments))(function)
        except OptionError as error:
            raise ConfigurationError(f"key source: function: {error}") from None


def expose_secrets(namespace: ScriptNamespace, sources: KeySources) -> None:
    """Make ``mta.secrets`` importable by scripts."""
    namespace.expose("read", sources.read, module=MODULE)
    namespace.expose("load", sources.load, module=MODULE, waits=True)
