"""Composition root of the daemon: state first, then listeners, then records.

Place in flow: the only module that knows every stage; ``tsa.__main__`` runs it.

Invariants:
    * Nobody is answered before what was decided earlier is back in memory.
    * Rules are replaced as a whole, and only by files without errors; the last good ones stay.
    * A decision that expires is told to nobody: readers know its end. An override that expires
      changes the overlay, so its new hash is told.

Failure: at the start, files with errors or a state that cannot be used end the daemon; later
nothing does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from engine.base.clock import Clock
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.base.tls_files import ServerTls
from engine.model.decision import DecisionKind
from engine.model.errors import EngineError
from engine.route.dns_resolver import DnsResolver
from engine.route.shaping_loader import ShapingLoad, ShapingLoader
from policy.watcher import Watcher
from tsa.decision_store import DecisionStore, Kept
from tsa.errors import ConfigurationError, StoreUnavailableError, TsaError
from tsa.http_api import BODY_LIMIT, TsaApi
from tsa.metric_names import TSA_METRICS
from tsa.publication import OVERLAY_KINDS, Publication
from tsa.record_intake import RecordIntake
from tsa.rule_engine import RuleEngine
from tsa.script_api import TsaScript
from tsa.settings import TsaListener, TsaSettings

log = logging.getLogger("cirrus.tsa")

#: How often seconds are settled, and expired decisions dropped, seconds.
TICK_S = 0.25
#: How often expired decisions are dropped, seconds.
EXPIRE_S = 1.0
#: How often the file is rid of what expired, seconds.
PRUNE_S = 60.0
#: Seconds that a listener may take to close.
CLOSE_S = 5.0


class Tsa:
    """One running daemon.

    Attributes:
        settings: By what it runs.
        services: Its listeners.
    """

    def __init__(
        self,
        settings: TsaSettings | None = None,
        *,
        script: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a daemon.

        Args:
            settings: From flags alone; not used with a script.
            script: Its policy script.
            clock: Source of all time.
        """
        self.clock = clock or Clock()
        self.settings = settings or TsaSettings()
        self.supervisor = Supervisor()
        self.metrics = Metrics(TSA_METRICS)
        self.script = TsaScript(script.absolute(), self.clock.mono) if script else None
        self.services: list[tuple[TsaListener, HttpService]] = []
        self.store: DecisionStore
        self.intake: RecordIntake
        self.publication: Publication
        self._api: TsaApi
        self._loader: ShapingLoader
        self._findings: tuple[str, ...] = ()
        self._failing: str | None = None
        self._refreshing = asyncio.Lock()
        self._epoch_serial = 0
        self._expire_mono = 0.0

    async def start(self) -> None:
        """Bring the daemon up.

        Raises:
            PolicyLoadError: The script cannot be loaded.
            TsaError: Something it declares cannot be had.
        """
        if self.script is not None:
            self.script.load()
            self._epoch_serial = self.script.runtime.epoch.serial
            self.settings = self.script.settings()
        self._loader = ShapingLoader(self._make_resolver())
        load = await self._loader.load(self.settings.shaping)
        self._say_findings(load)
        if load.has_errors:
            errors = [str(one) for one in load.findings if one.severity == "error"]
            raise ConfigurationError("the shaping files have errors: " + "; ".join(errors[:5]))
        engine = RuleEngine(load.shaping)
        engine.is_switched_off = self.settings.is_switched_off
        self.store = DecisionStore(self.settings.state)
        recall(engine, await asyncio.to_thread(self.store.open))
        self.publication = Publication(self.store.active, self.clock)
        self.intake = RecordIntake(engine, self.store, self.publication.announce, self.clock)
        self._api = TsaApi(self.intake, self.publication, self.supervisor)
        self._bind_metrics()
        self.supervisor.start(self.intake.run(), "intake")
        await self._reconcile_listeners()
        self.supervisor.start(self._tick_forever(), "tick")
        self.supervisor.start(self._prune_forever(), "prune")
        self.supervisor.start(self._refresh_forever(), "rules")
        if self.script is not None:
            watcher = Watcher(self.script.runtime)
            self.supervisor.start(watcher.run(asyncio.sleep), "policy-watcher")
        rules = len(load.shaping.all_rules())
        decisions = sum(1 for _ in self.store.active(self.clock.wall()))
        log.info("the TSA is up: %d rules, %d decisions in force", rules, decisions)

    async def stop(self) -> None:
        """End in good order: what was acknowledged is on disk already."""
        await self._api.stop()
        for _, service in self.services:
            await service.stop(CLOSE_S)
        try:
            await self.intake.save()
        except StoreUnavailableError as error:
            log.error("%s; the senders of these records were not told they are safe", error)
        await self.supervisor.stop()
        self.store.close()
        log.info("the TSA has ended")

    # -- listeners --

    async def _reconcile_listeners(self) -> None:
        """Open the listeners that are declared; close those that are no more.

        Raises:
            ConfigurationError: One cannot be opened.
        """
        wanted = self.settings.listeners
        gone = [one for one in self.services if one[0] not in wanted]
        self.services = [one for one in self.services if one not in gone]
        for _, service in gone:
            await service.stop(CLOSE_S)
        known = [listener for listener, _ in self.services]
        for listener in wanted:
            if listener in known:
                continue
            host, port = listener.listen
            try:
                service = self._make_service(listener)
                await service.start()
            except (OSError, EngineError) as error:
                # The loop's own text of an errno repeats the address.
                number = getattr(error, "errno", None)
                reason = os.strerror(number) if number else error
                raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
            self.services.append((listener, service))
            log.info("the TSA listens on %s:%s", host, service.port)

    def _make_service(self, listener: TsaListener) -> HttpService:
        tls = None
        if listener.use_tls:
            tls = ServerTls(
                listener.hostname,
                certificate=listener.tls_certificate,
                private_key=listener.tls_private_key,
                mono=self.clock.mono,
            )
        service = HttpService(
            listener.listen,
            listener.hostname,
            metrics=self.metrics,
            trusted_hosts=listener.trusted_hosts,
            request_body_limit=BODY_LIMIT,
            tls=tls,
            liveness=self._api.trouble,
            title="Cirrus TSA",
            version=_version(),
        )
        self._api.add_routes(service)
        return service

    # -- rules --

    def _make_resolver(self) -> DnsResolver:
        settings = self.settings
        test = settings.test_resolver
        return DnsResolver(
            clock=self.clock.mono,
            nameservers=settings.name_servers,
            zones=test.zones if test else None,
            servfail=test.servfail if test else None,
        )

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.refresh_s)
            try:
                await self.refresh()
            except Exception:  # boundary: supervisor
                log.exception("looking at the rules met a defect; it goes on")

    async def refresh(self) -> None:
        """Look at script and shaping files, and take what changed; what is wrong stays out."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        failures = []
        try:
            self._follow_script()
            await self._reconcile_listeners()
        except TsaError as error:
            failures.append(str(error))
        load = await self._loader.load(self.settings.shaping)
        self._say_findings(load)
        if load.has_errors:
            failures.append("the shaping files have errors; the last good rules stay")
        elif load.shaping.hash != self.intake.engine.shaping.hash:
            self.intake.engine.replace_rules(load.shaping)
            self.metrics.counter("tsa_rule_reloads").labels("loaded").inc()
            log.info("rules loaded anew: %d", len(load.shaping.all_rules()))
        self._note_failure("; ".join(failures) or None)

    def _follow_script(self) -> None:
        """Take what the script says now.

        Raises:
            TsaError: It fails.
        """
        script = self.script
        if script is None:
            return
        if script.runtime.epoch.serial == self._epoch_serial:
            sources = script.sources()
            if sources != self.settings.shaping:
                self.settings = replace(self.settings, shaping=sources)
            return
        known, self.settings = self.settings, script.settings()
        self._epoch_serial = script.runtime.epoch.serial
        if self.settings.state != known.state:
            log.warning("another folder for decisions counts from the next start")
        self._loader.resolver = self._make_resolver()
        self.intake.engine.is_switched_off = self.settings.is_switched_off

    def _note_failure(self, text: str | None) -> None:
        """Say what keeps a reload from being taken, once, and count it."""
        if text is not None and text != self._failing:
            log.error("%s", text)
            self.metrics.counter("tsa_rule_reloads").labels("rejected").inc()
        elif text is None and self._failing is not None:
            log.info("script and shaping files are in order again")
        self._failing = text

    def _say_findings(self, load: ShapingLoad) -> None:
        """Write what there is to say of the files, when it is not what was said last."""
        said = tuple(str(one) for one in load.findings)
        if said != self._findings:
            for one in load.findings:
                write = log.error if one.severity == "error" else log.warning
                write("%s", one)
        self._findings = said

    # -- time --

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except StoreUnavailableError:
                continue  # said once by the intake, which keeps what is to be saved
            except Exception:  # boundary: supervisor
                log.exception("the tick met a defect; it goes on in a second")

    async def tick(self) -> None:
        """Do what time asks for: seconds are settled, adjusted values rise, expired decisions go.

        Raises:
            StoreUnavailableError: What changed is not durable yet.
        """
        now, engine = self.clock.wall(), self.intake.engine
        while engine.is_due(now):
            verdict = engine.tick(now)
            if verdict:
                self.intake.enforce(verdict)
            await asyncio.sleep(0)
        gone = []
        if self.clock.mono() >= self._expire_mono:
            self._expire_mono = self.clock.mono() + EXPIRE_S
            gone = self.store.forget_expired(now)
        if any(one.kind in OVERLAY_KINDS for one in gone):
            self.publication.announce_overlay()
        await self.intake.save()

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_S)
            now = self.clock.wall()
            horizon_s = self.intake.engine.longest_window_s
            self.intake.forget_stale()
            try:
                await asyncio.to_thread(self.store.prune, now, now - horizon_s)
            except StoreUnavailableError as error:
                log.error("what expired stays in the file: %s", error)
            except Exception:  # boundary: supervisor
                log.exception("pruning met a defect; it goes on in a minute")

    def _bind_metrics(self) -> None:
        gauge = self.metrics.gauge
        gauge("tsa_records_received").labels().set_function(lambda: self.intake.received)
        gauge("tsa_records_refused").labels().set_function(lambda: self.intake.refused)
        gauge("tsa_records_waiting").labels().set_function(lambda: self.intake.waiting)
        gauge("tsa_subscribers").labels().set_function(lambda: len(self.publication))
        gauge("tsa_store_failing").labels().set_function(lambda: self.intake.trouble is not None)
        gauge("tsa_rules").labels().set_function(
            lambda: len(self.intake.engine.shaping.all_rules())
        )
        gauge("tsa_rules_failing").labels().set_function(lambda: self._failing is not None)
        for kind in DecisionKind:
            gauge("tsa_decisions").labels(kind.value).set_function(
                lambda kind=kind: self._count(kind)  # type: ignore[misc]
            )

    def _count(self, kind: DecisionKind) -> int:
        return sum(one.kind is kind for one in self.store.active(self.clock.wall()))


def recall(engine: RuleEngine, kept: Kept) -> None:
    """Give a rule engine back what the store held; what no rule asks for any more is left out."""
    for mark in kept.marks:
        engine.recall(mark)
    for window, state in kept.windows.items():
        engine.recall_window(window, state)
    for window, (value, decision) in kept.adjusted.items():
        engine.recall_adjusted(window, value, decision)


def _version() -> str:
    try:
        return metadata.version("cirrus-mta")
    except metadata.PackageNotFoundError:
        return "0"
