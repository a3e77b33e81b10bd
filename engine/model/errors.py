"""The engine's error tree: situations, each saying whether waiting may help.

Place in flow: raised at the edges (sockets, disk, DNS) and judged in
``engine.deliver.verdict``, ``engine.receive.smtp_session`` and ``engine.schedule``.

Invariants:
    * Temporary unless declared permanent: an error that says nothing defers mail.
    * The text is for the operator. What a client or a peer is told is written where it is told.
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Something the engine could not do; waiting may help unless a subclass says no."""

    temporary: ClassVar[bool] = True


class RouteNotFoundError(EngineError):
    """The domain does not exist or its name cannot be looked up."""


class DnsFailureError(EngineError):
    """The DNS gave no usable answer in time."""


class ConnectFailedError(EngineError, ConnectionError):
    """No connection to the peer could be opened."""


class PeerTimeoutError(EngineError, TimeoutError):
    """The peer did not answer within the time the egress path grants."""


class PeerClosedError(EngineError, ConnectionError):
    """The peer closed the connection in the middle of a dialogue."""


class PeerProtocolError(EngineError):
    """The peer said something that is no SMTP reply."""


class TlsPolicyError(EngineError):
    """The TLS the egress path asks for cannot be had from this host."""


class SpoolUnavailableError(EngineError):
    """The spool cannot take or change a message now."""


class SpoolEntryDamagedError(EngineError):
    """One stored message cannot be read back."""


class SpoolLockedError(EngineError):
    """Another process owns the spool."""

    temporary = False


class ConfigurationError(EngineError):
    """What the operator declared cannot be carried out."""

    temporary = False
