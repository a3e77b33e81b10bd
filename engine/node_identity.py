"""Which node this is: an id that stays the same over restarts.

Place in flow: asked once by ``engine.app``, after the spool was taken; the id goes into every log
record, and tells a node its own mail and its own share of what nodes hold together.

Invariants:
    * What the environment says counts, and has to be a UUID.
    * Without it the id is that of the file ``node-id`` in the spool's folder: where the mail is,
      there is its node, on whatever host. It is written once, and never over a good one.
"""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

from engine.model.errors import ConfigurationError

log = logging.getLogger("cirrus.node")

#: The environment's name for the id.
NODE_ID_VARIABLE = "CIRRUS_NODE_ID"
FILE_NAME = "node-id"


def parse_node_id(text: str) -> str:
    """Return an id in its one form, lower case with hyphens.

    Raises:
        ValueError: It is no UUID.
    """
    return str(uuid.UUID(text.strip()))


def settle_node_id(given: str | None, folder: Path) -> str:
    """Return the node's id: the one given, else the one kept in a folder, else a new one.

    Raises:
        ConfigurationError: What is given is no UUID, or the file can be neither read nor written.
    """
    if given is not None:
        try:
            return parse_node_id(given)
        except ValueError:
            raise ConfigurationError(f"{NODE_ID_VARIABLE} is no UUID: {given!r}") from None
    file = folder / FILE_NAME
    try:
        return _read(file) or _make(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be kept: {error.strerror}") from error


def _read(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    try:
        return parse_node_id(text)
    except ValueError:
        # Mail must not wait for somebody to mend a file whose content can be made anew.
        log.warning("%s holds no UUID: the node gets a new id", file)
        return None


def _make(file: Path) -> str:
    node_id = str(uuid.uuid4())
    fresh = file.with_suffix(".new")
    with fresh.open("w", encoding="ascii") as out:
        out.write(f"{node_id}\n")
        out.flush()
        # Else a loss of power leaves an empty file, and the node with another id.
        os.fsync(out.fileno())
    fresh.rename(file)
    return node_id
