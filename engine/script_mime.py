"""What scripts may import as ``mta.mimepart``: MIME parts, read and made.

Place in flow: ``engine.script_api`` exposes it; ``msg.parse_mime()`` gives the same parts.

Invariants:
    * A part is a copy of octets: nothing in it leads to a message of the node.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.model.mime_builder import make_namespace
from policy.script_api import ScriptNamespace

MODULE = "mta.mimepart"


def expose_mimepart(namespace: ScriptNamespace, wall: Callable[[], float]) -> None:
    """Make the functions of the module importable by scripts.

    Args:
        namespace: Where scripts import from.
        wall: Seconds since the Unix epoch, for the Date of what is built.
    """
    for name, function in make_namespace(wall).items():
        namespace.expose(name, function, module=MODULE)
