"""Composition root of the proxy.

Place in flow: the only module that knows every stage; ``proxy.__main__`` runs it.
"""

from __future__ import annotations

import logging

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from proxy.access import Who
from proxy.errors import ConnectFailedError, ReplyCode
from proxy.listener import ProxyListener
from proxy.metric_names import PROXY_METRICS
from proxy.pipe_pool import PipePool
from proxy.session import Session
from proxy.settings import ProxySettings, SocksOptions
from proxy.socks5 import Credentials

log = logging.getLogger("cirrus.proxy")


class Proxy:
    """One running daemon.

    Attributes:
        settings: By what it runs.
        listeners: Where clients connect to.
    """

    def __init__(self, settings: ProxySettings, *, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.settings = settings
        self.supervisor = Supervisor()
        self.metrics = Metrics(PROXY_METRICS)
        self.pipes = PipePool()
        self.listeners: list[ProxyListener] = []

    async def start(self) -> None:
        """Bring the daemon up."""
        for options in self.settings.listeners:
            listener = ProxyListener(options, self)
            await listener.start()
            self.listeners.append(listener)
        log.info("the proxy is up")

    async def stop(self) -> None:
        """End."""
        for listener in self.listeners:
            listener.stop_accepting()
        await self.supervisor.stop()
        self.pipes.close()

    def can_judge(self, options: SocksOptions) -> bool:
        """Return whether there is anything to hold a password against."""
        return False

    async def authenticate(self, credentials: Credentials, session: Session) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""
        return None

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first."""
        raise ConnectFailedError(name, ReplyCode.HOST_UNREACHABLE)
