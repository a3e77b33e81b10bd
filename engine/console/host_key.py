"""The host key of a console: read, or made at the first start.

Place in flow: ``engine.console.server`` asks for it before it listens.

Invariants:
    * Nobody but the owner can read the file, at no moment of its making.
    * A key is never replaced: clients would take the node for an impostor.

Failure: ``ConfigurationError`` with the reason.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import asyncssh

from engine.base.os_reason import os_reason
from engine.model.errors import ConfigurationError

ALGORITHM = "ssh-ed25519"


def settle_host_key(path: Path) -> asyncssh.SSHKey:
    """Return the host key of a file; the file is made where there is none.

    Args:
        path: Of the private key, in OpenSSH's format.

    Raises:
        ConfigurationError: It cannot be read or made, or others may read it.
    """
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigurationError(
                f"{path}: others may read this private key (mode {mode:04o}, wanted 0600)"
            )
        return asyncssh.read_private_key(path)
    except OSError as error:
        raise ConfigurationError(f"host key {path}: {os_reason(error)}") from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigurationError(f"host key {path}: {error}") from error


def _make(path: Path) -> None:
    """Write a new key beside the file and link it to its name: two starters agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = asyncssh.generate_private_key(ALGORITHM, comment="cirrus")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.export_private_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        beside.unlink(missing_ok=True)
