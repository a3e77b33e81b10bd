"""A log record as one line for people: when, what, whose, where to and what was said.

Place in flow: shown by ``cirrus tail`` and by the console.

Invariants:
    * A line is one line and harmless: whatever a peer said, no control character, no direction of
      writing and no invisible sign of it reaches a terminal.
"""

from __future__ import annotations

from engine.model.log_record import UNCATEGORIZED, LogRecord, Response

#: Columns before a text is longer than its place.
_KIND_WIDTH, _QUEUE_WIDTH, _RECIPIENT_WIDTH, _WAY_WIDTH = 16, 20, 28, 32


def show_record(record: LogRecord) -> str:
    """Return a record as a line, without its end.

    Time in UTC, kind, message id, queue, recipient, way and reply. The way is ``source->host`` or
    ``source->site`` of what goes out, and ``<-client`` of what comes in.
    """
    when = record.event_time.replace("T", " ").removesuffix("Z")[:23]
    columns = (
        f"{when:<23}",
        f"{record.kind:<{_KIND_WIDTH}}",
        f"{record.id or '-':<32}",
        f"{record.queue or '-':<{_QUEUE_WIDTH}}",
        f"{_recipients(record):<{_RECIPIENT_WIDTH}}",
        f"{_way(record):<{_WAY_WIDTH}}",
        _reply(record),
    )
    return printable(" ".join(columns)).rstrip()


def printable(text: str) -> str:
    """Return a text that a terminal shows as it is: what is no visible character is escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(one: str) -> str:
    return ascii(one)[1:-1]


def _recipients(record: LogRecord) -> str:
    all_of_them = record.recipients
    if not all_of_them:
        return "-"
    more = len(all_of_them) - 1
    return f"{all_of_them[0]} +{more}" if more else all_of_them[0]


def _way(record: LogRecord) -> str:
    peer = record.peer_address
    host = "" if peer is None else f"{peer.name}[{peer.addr}]" if peer.addr else peer.name
    if record.site or record.ready_queue:
        return f"{record.egress_source or ''}->{host or record.site_name or record.site}"
    return f"<-{host}" if host else "-"


def _reply(record: LogRecord) -> str:
    said = "-" if record.response is None else _said(record.response)
    if record.bounce_classification in ("", UNCATEGORIZED):
        return said
    return f"{said} [{record.bounce_classification}]"


def _said(response: Response) -> str:
    code = response.enhanced_code
    enhanced = "" if code is None else f"{code.klass}.{code.subject}.{code.detail}"
    return " ".join(filter(None, (str(response.code), enhanced, response.content)))
