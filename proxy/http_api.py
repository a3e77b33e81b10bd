"""What operators see of the proxy over HTTP.

Place in flow: routes on an ``engine.base.http_service`` listener, beside liveness and metrics.

Invariants:
    * Every endpoint but liveness wants a trusted peer.
    * No answer is longer than ``SHOWN_MAX`` sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.model.listener_options import format_listen
from proxy.listener import Client, ProxyListener

#: Sessions in one answer.
SHOWN_MAX = 1000
DRAINING = "the proxy is about to stop and takes no clients"


class ProxyView(Protocol):
    """What is shown of the daemon."""

    clock: Clock
    is_draining: bool
    failing: str | None
    started_at: float
    version: str

    @property
    def listeners(self) -> list[ProxyListener]:
        """Return those that take clients."""

    @property
    def open(self) -> int:
        """Return how many clients are connected."""

    def clients(self) -> Iterator[Client]:
        """Yield the clients that are connected."""


class ProxyApi:
    """The endpoints of one proxy."""

    def __init__(self, proxy: ProxyView) -> None:
        self._proxy = proxy

    def add_routes(self, service: HttpService) -> None:
        """Offer the endpoints on a listener."""
        for path, function, summary in (
            ("/proxy/status", self._status, "Listeners, how many clients, what they moved."),
            ("/proxy/sessions", self._sessions, "Who is connected where, the oldest first."),
        ):
            service.add_route("GET", path, function, Access.ADMIN, summary=summary)

    def trouble(self) -> str | None:
        """Return why no clients are taken, None when they are."""
        return DRAINING if self._proxy.is_draining else None

    async def _status(self, _call: HttpCall) -> Any:
        proxy = self._proxy
        return {
            "status": "draining" if proxy.is_draining else "ok",
            "failing": proxy.failing,
            "version": proxy.version,
            "uptime_seconds": round(proxy.clock.wall() - proxy.started_at),
            "connections": proxy.open,
            "listeners": [_show_listener(one) for one in proxy.listeners],
        }

    async def _sessions(self, call: HttpCall) -> Any:
        text = call.request.query.get("limit", str(SHOWN_MAX))
        if not (text.isascii() and text.isdigit()):
            raise HttpRefusalError(400, "limit is a number", field="limit")
        oldest = sorted(self._proxy.clients(), key=lambda one: one.since_at)
        now = self._proxy.clock.wall()
        return [_show_client(one, now) for one in oldest[: min(int(text), SHOWN_MAX)]]


def _show_listener(listener: ProxyListener) -> dict[str, Any]:
    options = listener.options
    return {
        "listen": format_listen(listener.address),
        "tls": options.use_tls,
        "connections": len(listener.clients),
        "max_connections": options.max_connections,
        **listener.counts.snapshot(),
    }


def _show_client(client: Client, now: float) -> dict[str, Any]:
    session, relay = client.session, client.relay
    destination = session.destination if session else None
    return {
        "client": format_listen(client.ends.peer),
        "listener": format_listen(client.ends.local),
        "identities": sorted(session.who.identities) if session else [],
        "source": session.source if session else None,
        "destination": format_listen(destination) if destination else None,
        "is_connected": relay is not None,
        "age_seconds": round(now - client.since_at, 3),
        "bytes_client_to_dest": relay.sent if relay else 0,
        "bytes_dest_to_client": relay.received if relay else 0,
    }
