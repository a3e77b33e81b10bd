"""An SMTP listener: the socket, its limits, and the sessions that hang on it.

Place in flow: ``engine.declared`` starts one per declaration and hands each connection to an
``SmtpSession``.

Invariants:
    * At most ``max_connections`` sessions; one more is told 421 4.3.2 and closed.
    * Changed options take effect for new connections; established sessions keep theirs.
    * An accept error (no descriptors, say) pauses accepting; it never ends the listener.
    * While it drains no transaction begins; those under way finish.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.metrics import Metrics
from engine.base.os_reason import os_reason
from engine.base.tls_files import ServerTls
from engine.base.trace_hub import Tracing
from engine.model.errors import ConfigurationError
from engine.model.listener_options import ListenerOptions
from engine.model.reply import make_reply
from engine.receive.admission import Admission
from engine.receive.smtp_session import SmtpSession
from engine.records.recorder import Recorder
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.receive")

BACKLOG = 4096


class ListenerPorts(Protocol):
    """What sessions need from the node."""

    runtime: PolicyRuntime
    recorder: Recorder
    admission: Admission
    supervisor: Supervisor
    clock: Clock
    metrics: Metrics
    memory: MemoryGuard
    tracing: Tracing
    relaxed: bool

    def gate(self) -> str | None:
        """Return why no mail is taken now, or None."""

    def tls_context(self, options: ListenerOptions) -> Any:
        """Return the server side TLS context for these options."""


class SmtpListener:
    """One listening socket."""

    def __init__(self, options: ListenerOptions, ports: ListenerPorts) -> None:
        self.options = options
        self.ports = ports
        self.address: tuple[str, int] = options.listen
        self.sessions: set[SmtpSession] = set()
        self.is_draining = False
        self._server: asyncio.Server | None = None
        label = f"{options.listen[0]}:{options.listen[1]}"
        metrics = ports.metrics
        self._open = [
            metrics.gauge("connection_count").labels("esmtp_listener"),
        ]
        self._total = metrics.counter("total_connection_count").labels("esmtp_listener")
        self._denied = metrics.counter("total_connections_denied").labels("esmtp_listener")
        self.read_data_duration = metrics.histogram("smtpsrv_read_data_duration").labels()
        self.process_data_duration = metrics.histogram("smtpsrv_process_data_duration").labels()
        self.transaction_duration = metrics.histogram("smtpsrv_transaction_duration").labels()
        rejections = metrics.counter("smtp_server_rejections")
        self._rejections = [rejections.labels(label), rejections.labels("total")]

    async def start(self) -> None:
        """Open the socket.

        Raises:
            ConfigurationError: The address cannot be had.
        """
        loop = asyncio.get_running_loop()
        host, port = self.options.listen
        try:
            self._server = await loop.create_server(
                self._make_session, host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as error:
            reason = os_reason(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
        self.address = self._server.sockets[0].getsockname()[:2]
        log.info("SMTP listener on %s:%s", *self.address)

    def _make_session(self) -> asyncio.BaseProtocol:
        if len(self.sessions) >= self.options.max_connections:
            return _Refusal(self)
        return SmtpSession(self)

    def session_began(self, session: SmtpSession) -> None:
        """Count a session."""
        self.sessions.add(session)
        self._total.inc()
        for gauge in self._open:
            gauge.inc()

    def session_ended(self, session: SmtpSession) -> None:
        """Forget a session."""
        if session in self.sessions:
            self.sessions.discard(session)
            for gauge in self._open:
                gauge.dec()

    def rejected(self) -> None:
        """Count a Rejection record."""
        for counter in self._rejections:
            counter.inc()

    def denied(self) -> None:
        """Count a connection that was turned away."""
        self._denied.inc()

    def stop_accepting(self) -> None:
        """Close the socket; sessions go on."""
        if self._server is not None:
            self._server.close()

    async def drain(self, deadline_s: float, sleep: Callable[[float], Any]) -> None:
        """Let sessions finish what they are at; close those that are idle or too slow."""
        self.stop_accepting()
        self.is_draining = True
        waited_s = 0.0
        while self.sessions and waited_s < deadline_s:
            for session in list(self.sessions):
                session.close_if_idle()
            await sleep(0.05)
            waited_s += 0.05
        for session in list(self.sessions):
            session.abort()


class _Refusal(asyncio.Protocol):
    """Tells a client beyond the limit to come back later."""

    def __init__(self, listener: SmtpListener) -> None:
        self._listener = listener

    def connection_made(self, transport: Any) -> None:
        self._listener.denied()
        host = self._listener.options.hostname
        transport.write(make_reply(421, f"4.3.2 {host} too many connections").encode())
        transport.close()


class TlsContexts:
    """Server contexts by certificate, each re-reading its files when they change."""

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._known: dict[Any, ServerTls] = {}

    def context(self, options: ListenerOptions) -> Any:
        """Return the context for a listener's options."""
        key = (
            options.hostname,
            _key(options.tls_certificate),
            _key(options.tls_private_key),
            _key(options.tls_required_client_ca),
        )
        tls = self._known.get(key)
        if tls is None:
            if len(self._known) >= 1024:
                self._known.clear()
            tls = self._known[key] = ServerTls(
                options.hostname,
                certificate=options.tls_certificate,
                private_key=options.tls_private_key,
                client_ca=options.tls_required_client_ca,
                mono=self._mono,
            )
        return tls.context()


def _key(source: Any) -> Any:
    return source if source is None or isinstance(source, str) else source.get("key_data")
