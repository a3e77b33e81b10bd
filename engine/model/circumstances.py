"""Circumstances: where something happened to a message, as far as its log record tells.

Place in flow: made by reception, by the dispatchers and by ``engine.schedule``; goes through the
``Settle`` port; read by ``engine.schedule.settlement`` and ``engine.records.recorder``.

Invariants: what is not known is empty or None; the recorder turns both into what records have.
"""

from __future__ import annotations

import msgspec

from engine.model.log_record import SourceAddress


class Circumstances(msgspec.Struct, frozen=True, gc=False):
    """Where something happened to a message, and by which connection.

    Attributes:
        ready_queue: Name of the ready queue.
        site_name: Site name of the destination.
        egress_source: The source used.
        delivery_protocol: How it went out.
        provider_name: The provider of the destination.
        session_id: Correlates the records of one connection.
        peer: Name and address of the other end.
        source_address: The address that the peer saw, and the proxy it went through.
        tls: Cipher, protocol version and the peer's subject names.
        reception_protocol: How it came in; the message's metadata by default.
        site: The ``site`` field where it is not the ready queue's name.
        began_mono: When the attempt, or the transaction, began.
    """

    ready_queue: str = ""
    site_name: str = ""
    egress_source: str = ""
    delivery_protocol: str = ""
    provider_name: str | None = None
    session_id: str | None = None
    peer: tuple[str, str] | None = None
    source_address: SourceAddress | None = None
    tls: tuple[str, str, list[str]] | None = None
    reception_protocol: str | None = None
    site: str | None = None
    began_mono: float | None = None


#: Of what happened on this node alone.
NOWHERE = Circumstances()
