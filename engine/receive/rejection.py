"""A refusal that a client was told, as a log record.

Place in flow: ``engine.receive.smtp_session`` notes each reply of 4xx or 5xx here.

Invariants:
    * What says that the node is busy (421 4.3.2) is no record: it would be one for each connection
      when there is least time for records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.reply import SmtpReply

if TYPE_CHECKING:
    from engine.receive.smtp_session import SmtpSession


def note_rejection(session: SmtpSession, reply: SmtpReply, command: str) -> None:
    """Count and record a refusal.

    Args:
        session: Whose client was refused.
        reply: What it was told.
        command: The line that is answered, without credentials; empty for none.
    """
    if reply.code == 421 and reply.full_text.startswith("4.3.2 "):
        return
    session.listener.rejected()
    session.ports.recorder.record(
        RecordKind.REJECTION,
        None,
        reply=reply,
        where=Circumstances(
            session_id=session.session_id,
            peer=(session.client_name, session.peer_ip),
            tls=session.tls,
            reception_protocol="ESMTP",
        ),
        command=command or None,
        sender=session.sender.email if session.sender is not None else "",
        recipients=session.recipients[-1:],
    )
