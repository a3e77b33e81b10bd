"""SMTP sessions watched as they happen.

Place in flow: streams of ``engine.admin.event_stream``; subscribes to ``engine.base.trace_hub``.

Each event is a text frame, ``{"conn_meta": ..., "payload": ..., "when": ...}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.event_stream import EventStream
from engine.base.event_hub import Subscription
from engine.base.trace_hub import TraceEvent
from engine.model.cidr import CidrSet
from engine.model.log_record import format_event_time

SERVER_PATH = "/api/admin/trace-smtp-server/v1"
CLIENT_PATH = "/api/admin/trace-smtp-client/v1"
#: Characters of content that a terse reader sees.
SNIPPET_CHARS = 80

Wants = Callable[[Mapping[str, Any]], bool]


class ServerFilter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which incoming sessions are wanted.

    Attributes:
        source_addr: Those of clients in these networks.
        terse: Show little of the content of messages.
    """

    source_addr: list[str] | None = None
    terse: bool = False


class ClientFilter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which outgoing sessions are wanted: all lists agree with what is known of them so far.

    Attributes:
        source_addr, mx_addr: Networks of our address, and of the host's.
        terse: Show little of the content of messages.
    """

    campaign: list[str] | None = None
    tenant: list[str] | None = None
    domain: list[str] | None = None
    routing_domain: list[str] | None = None
    egress_pool: list[str] | None = None
    egress_source: list[str] | None = None
    mail_from: list[str] | None = None
    rcpt_to: list[str] | None = None
    mx_host: list[str] | None = None
    ready_queue: list[str] | None = None
    source_addr: list[str] | None = None
    mx_addr: list[str] | None = None
    terse: bool = False


# -- what is wanted ---------------------------------------------------------------------------


def server_wants(wanted: ServerFilter) -> Wants:
    """Return whether an incoming session is wanted, by its metadata.

    Raises:
        ValueError: A network is none.
    """
    if not wanted.source_addr:
        return lambda _meta: True
    networks = CidrSet.parse(wanted.source_addr)

    def wants(meta: Mapping[str, Any]) -> bool:
        peer = meta.get("received_from")
        return not isinstance(peer, str) or _host_of(peer) in networks

    return wants


def client_wants(wanted: ClientFilter) -> Wants:
    """Return whether an outgoing session is wanted, by what is known of it.

    Raises:
        ValueError: A network is none.
    """
    names = {
        name: frozenset(values)
        for name in ClientFilter.__struct_fields__
        if isinstance(values := getattr(wanted, name), list) and values
    }
    networks = {
        name: CidrSet.parse(sorted(names.pop(name)))
        for name in ("source_addr", "mx_addr")
        if name in names
    }

    def wants(meta: Mapping[str, Any]) -> bool:
        for name, values in names.items():
            value = meta.get(name)
            if isinstance(value, list):
                if values.isdisjoint(value):
                    return False
            elif value is not None and value not in values:
                return False
        return all(
            meta.get(name) is None or meta[name] in found for name, found in networks.items()
        )

    return wants


def _host_of(address: str) -> str:
    """Return the host of ``host:port`` or ``[host]:port``."""
    return address.rpartition(":")[0].strip("[]")


# -- what is shown ----------------------------------------------------------------------------


def show_event(event: TraceEvent, *, is_terse: bool) -> str:
    """Return an event as a frame."""
    value = event.value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    payload: Any
    if event.is_content and is_terse:
        snippet = {"snippet": value[:SNIPPET_CHARS], "len": len(event.value)}
        payload = {f"Abbreviated{event.kind}": snippet}
    elif value is None:
        payload = event.kind
    else:
        payload = {event.kind: value}
    shown = {
        "conn_meta": event.meta,
        "payload": payload,
        "when": format_event_time(event.at),
    }
    return msgspec.json.encode(shown, enc_hook=str).decode()


def show_missed(count: int, at: float) -> str:
    """Return as a frame how many events were missed, and when that was noticed."""
    text = f"{count} events were missed: they came faster than they were read"
    event = TraceEvent({}, "Diagnostic", {"level": "ERROR", "message": text}, at)
    return show_event(event, is_terse=False)


# -- the streams ------------------------------------------------------------------------------


def _watch_server(node: AdminNode, wanted: ServerFilter) -> Subscription[TraceEvent]:
    return node.tracing.server.subscribe(server_wants(wanted))


def _watch_client(node: AdminNode, wanted: ClientFilter) -> Subscription[TraceEvent]:
    return node.tracing.client.subscribe(client_wants(wanted))


def _show(event: TraceEvent, wanted: ServerFilter | ClientFilter) -> str:
    return show_event(event, is_terse=wanted.terse)


SERVER_SESSIONS = EventStream(
    act="trace-smtp-server",
    path=SERVER_PATH,
    summary="Watch incoming SMTP sessions, websocket",
    kind=ServerFilter,
    hub=lambda node: node.tracing.server,
    subscribe=_watch_server,
    show=_show,
    show_missed=show_missed,
)
CLIENT_SESSIONS = EventStream(
    act="trace-smtp-client",
    path=CLIENT_PATH,
    summary="Watch outgoing SMTP sessions, websocket",
    kind=ClientFilter,
    hub=lambda node: node.tracing.client,
    subscribe=_watch_client,
    show=_show,
    show_missed=show_missed,
)
