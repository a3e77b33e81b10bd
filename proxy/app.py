"""Composition root of the proxy: listeners as they are declared, now and after each change.

Place in flow: the only module that knows every stage; ``proxy.__main__`` runs it.

Invariants:
    * A reload opens what is new before it closes what is gone, unless both want the same port.
      Where something of it cannot be had, the rest is taken, and what ran before goes on.
    * Connections outlive the listener they came by, and the rules they were made under.
    * At the end connections may finish within the drain time; then they are broken off.

Failure: at the start, a script with errors or a listener that cannot be opened ends the daemon;
later nothing does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

from engine.base.clock import Clock
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.base.os_reason import os_reason
from engine.base.tls_files import ServerTls
from engine.model.errors import EngineError
from engine.model.listener_options import format_listen
from engine.route.dns_resolver import DnsResolver
from policy.watcher import ROUNDS_PER_REHASH, Watcher
from proxy.authentication import Authentication
from proxy.errors import ConfigurationError, ProxyError
from proxy.http_api import ProxyApi
from proxy.listener import Client, ProxyListener
from proxy.metric_names import PROXY_METRICS
from proxy.pipe_pool import PipePool
from proxy.resolution import Resolution
from proxy.script_api import ProxyScript
from proxy.seldom_log import SeldomLog
from proxy.settings import HttpOptions, ProxySettings, SocksOptions

log = logging.getLogger("cirrus.proxy")

#: How often script and users are looked at, seconds.
REFRESH_S = 1.0
#: Seconds that an HTTP listener may take to close.
CLOSE_S = 5.0


#: Address and port, and the place among those whose port the system chooses.
Key: TypeAlias = tuple[str, int, int]


class Proxy:
    """One running daemon.

    Attributes:
        settings: By what it runs.
        services: Where operators look.
        supervisor: Of its own tasks.
        sessions: Of those that serve clients.
        is_draining: Whether it has been asked to stop.
        failing: What keeps the last change from being taken, or None.
    """

    def __init__(
        self,
        settings: ProxySettings | None = None,
        *,
        script: Path | None = None,
        clock: Clock | None = None,
        drain_s: float = 30.0,
    ) -> None:
        """Make a daemon.

        Args:
            settings: From flags alone; not used with a script.
            script: Its policy script.
            clock: Source of all time.
            drain_s: How long connections may go on when it is asked to stop, seconds.
        """
        self.clock = clock or Clock()
        self.settings = settings or ProxySettings()
        self.supervisor = Supervisor()
        self.sessions = Supervisor()
        self.metrics = Metrics(PROXY_METRICS)
        self.pipes = PipePool()
        self.authentication = Authentication()
        self.resolution = Resolution(self._make_resolver)
        self.seldom = SeldomLog(log, self.clock.mono)
        self.script = ProxyScript(script.absolute(), self.clock.mono) if script else None
        self._by_key: dict[Key, ProxyListener] = {}
        self.services: list[tuple[HttpOptions, HttpService]] = []
        self.is_draining = False
        self.failing: str | None = None
        self.started_at = self.clock.wall()
        self.version = _version()
        self._api = ProxyApi(self)
        self._drain_s = drain_s
        # Those that take no client any more, and still have some.
        self._leaving: list[ProxyListener] = []
        self._refreshing = asyncio.Lock()
        self._epoch_serial = 0

    async def start(self) -> None:
        """Bring the daemon up.

        Raises:
            PolicyLoadError: The script cannot be loaded.
            ProxyError: Something that is declared cannot be had.
        """
        if self.script is not None:
            self.script.load()
            self._follow_script()
        self.metrics.gauge("proxy_policy_failing").labels().set_function(
            lambda: self.failing is not None
        )
        try:
            await self._reconcile()
        except ProxyError:
            await self._close_all()
            raise
        self.supervisor.start(self._refresh_forever(), "refresh")
        if self.script is not None:
            watcher = Watcher(self.script.runtime)
            self.supervisor.start(watcher.run(asyncio.sleep), "policy-watcher")
        log.info("the proxy is up")

    async def stop(self) -> None:
        """End in good order: no new clients, and time for those that are connected."""
        self.is_draining = True
        for listener in (*self.listeners, *self._leaving):
            listener.stop_accepting()
            listener.end_dialogues()
        left = sum(client.relay is not None for client in self.clients())
        if left:
            log.info("connections that may go on for %.0f s: %d", self._drain_s, left)
        if not await self.sessions.wait_empty(self._drain_s):
            log.warning("connections that are broken off: %d", self.open)
        await self.sessions.stop()
        await self._close_all()
        await self.supervisor.stop()
        self.pipes.close()
        log.info("the proxy has ended")

    async def _close_all(self) -> None:
        for listener in (*self.listeners, *self._leaving):
            listener.stop()
        for _, service in self.services:
            await service.stop(CLOSE_S)

    @property
    def listeners(self) -> list[ProxyListener]:
        """Return those that take clients."""
        return list(self._by_key.values())

    @property
    def open(self) -> int:
        """Return how many clients are connected."""
        return sum(len(one.clients) for one in (*self.listeners, *self._leaving))

    def clients(self) -> Iterator[Client]:
        """Yield the clients that are connected."""
        for listener in (*self.listeners, *self._leaving):
            yield from listener.clients

    # -- changes

    async def _refresh_forever(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(REFRESH_S)
            rounds += 1
            try:
                await self.refresh(rehash=rounds % ROUNDS_PER_REHASH == 0)
            except Exception:  # boundary: supervisor
                log.exception("looking for changes met a defect; it goes on")

    async def reload(self) -> None:
        """Look at all files now, the script's among them."""
        if self.script is not None:
            epoch = await asyncio.to_thread(self.script.runtime.load_if_changed)
            if epoch is not None:
                self.script.runtime.swap(epoch)
        await self.refresh()

    async def refresh(self, *, rehash: bool = True) -> None:
        """Take what the script says now and what files of users say; what is wrong stays out.

        Args:
            rehash: Whether to read files even if size and times look unchanged.
        """
        async with self._refreshing:
            failures: list[str] = []
            try:
                self._follow_script()
                await self._reconcile()
            except ProxyError as error:
                failures.append(str(error))
            self.authentication.refresh(rehash=rehash)
            for listener in self._leaving:
                if not listener.clients:
                    listener.stop()
            self._leaving = [one for one in self._leaving if one.clients]
            failures += self.authentication.failing
            self._note_failure("; ".join(failures) or None)

    def _note_failure(self, text: str | None) -> None:
        """Say what keeps a change from being taken, once."""
        if text is not None and text != self.failing:
            log.error("%s", text)
        elif text is None and self.failing is not None:
            log.info("script, listeners and users are in order again")
        self.failing = text

    def _follow_script(self) -> None:
        """Take the settings of the script if it is another one.

        Raises:
            ConfigurationError: It fails.
        """
        script = self.script
        if script is None or script.runtime.epoch.serial == self._epoch_serial:
            return
        self.settings = script.settings()
        self._epoch_serial = script.runtime.epoch.serial
        self.authentication.ask_script = script.authenticate if script.can_judge else None
        self.resolution.forget()

    async def _reconcile(self) -> None:
        """Have the listeners that are declared: open, change and close.

        Raises:
            ConfigurationError: Something cannot be had; the rest is as declared.
        """
        failures: list[str] = []
        wanted = {_key(one, number): one for number, one in enumerate(self.settings.listeners)}
        try:
            files = [one.users_file for one in wanted.values() if one.users_file is not None]
            self.authentication.use(files)
        except ConfigurationError as error:
            raise ConfigurationError(f"users: {error}") from error
        self._make_room(wanted)
        for key, options in wanted.items():
            try:
                await self._have_listener(key, options)
            except ConfigurationError as error:
                failures.append(str(error))
        try:
            await self._reconcile_services()
        except ConfigurationError as error:
            failures.append(str(error))
        if failures:
            raise ConfigurationError("; ".join(failures))
        for key in [key for key in self._by_key if key not in wanted]:
            self._leave(key)

    def _make_room(self, wanted: Collection[Key]) -> None:
        """Close what is declared no more, where something new wants the same port.

        Else "every address" could not take the place of one of them.
        """
        ports = {key[1] for key in wanted if key[1] and key not in self._by_key}
        for key in [key for key in self._by_key if key not in wanted and key[1] in ports]:
            self._leave(key)

    def _leave(self, key: Key) -> None:
        listener = self._by_key.pop(key)
        listener.stop_accepting()
        self._leaving.append(listener)
        log.info("the proxy does not listen on %s any more", format_listen(listener.address))

    async def _have_listener(self, key: Key, options: SocksOptions) -> None:
        known = self._by_key.get(key)
        if known is None:
            listener = ProxyListener(options, self)
            await listener.start()
            self._by_key[key] = listener
        elif known.options != options:
            known.change(options)
            log.info("the listener on %s has other options", format_listen(known.address))

    async def _reconcile_services(self) -> None:
        wanted = self.settings.http
        gone = [one for one in self.services if one[0] not in wanted]
        self.services = [one for one in self.services if one not in gone]
        for _, service in gone:
            await service.stop(CLOSE_S)
        known = [options for options, _ in self.services]
        for options in wanted:
            if options not in known:
                self.services.append((options, await self._open_service(options)))

    async def _open_service(self, options: HttpOptions) -> HttpService:
        place = format_listen(options.listen)
        try:
            service = self._make_service(options)
            await service.start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {place}: {os_reason(error)}") from error
        except EngineError as error:
            raise ConfigurationError(f"cannot speak TLS on {place}: {error}") from error
        log.info("HTTP listener on %s", format_listen((options.listen[0], service.port)))
        return service

    def _make_service(self, options: HttpOptions) -> HttpService:
        tls = None
        if options.use_tls:
            tls = ServerTls(
                options.hostname,
                certificate=options.tls_certificate,
                private_key=options.tls_private_key,
                mono=self.clock.mono,
            )
        service = HttpService(
            options.listen,
            options.hostname,
            metrics=self.metrics,
            trusted_hosts=options.trusted_hosts,
            tls=tls,
            liveness=self._api.trouble,
            title="Cirrus proxy",
            version=self.version,
        )
        self._api.add_routes(service)
        return service

    def _make_resolver(self) -> DnsResolver:
        test = self.settings.test_resolver
        return DnsResolver(
            clock=self.clock.mono,
            nameservers=self.settings.name_servers,
            zones=test.zones if test else None,
            servfail=test.servfail if test else None,
        )


def _key(options: SocksOptions, number: int) -> Key:
    # A port that the system chooses is another one each time: such listeners go by their order.
    return (*options.listen, number if options.listen[1] == 0 else 0)


def _version() -> str:
    try:
        return metadata.version("cirrus-mta")
    except metadata.PackageNotFoundError:
        return "0"
