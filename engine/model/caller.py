"""Who performs an administrative act, and from where.

Place in flow: made by what let the caller in (an HTTP listener, a console, a script); directives
and the audit log keep it.
"""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """One caller.

    Attributes:
        identity: The authenticated name; without one, the address.
        origin: The address that the act came from; empty for the node's own script.
        channel: By which door: ``http``, ``console`` or ``script``.
    """

    identity: str
    origin: str = ""
    channel: str = "http"
