"""The shaping of a node kept up to date: files, URLs, the overlay, sites, the day of warm-ups.

Place in flow: ``engine.helpers.shaping_helper`` gives it the part of each new epoch;
``get_egress_path`` is answered from that part.

Invariants:
    * A load runs beside the mail; what answers meanwhile is the last good shaping.
    * A change of an egress path reaches ready queues at once, not when they next ask.
    * What has errors never takes the place of a good one, which stays; that is said once.
    * Only the newest epoch is loaded for; what waits for an older one is let go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.base.shaping_source import Fetch
from engine.control.shaping_overrides import ShapingOverrides
from engine.helpers.shaping_options import ShapingOptions
from engine.model.egress import EgressPath, make_egress_path
from engine.model.shaping import Shaping
from engine.model.shaping_section import ShapingLayer
from engine.model.shaping_warmup import day_of
from engine.route.dns_resolver import DnsResolver
from engine.route.shaping_loader import ShapingLoad, ShapingLoader

log = logging.getLogger("cirrus.shaping")

#: How often the day is looked at, seconds: a warm-up goes on soon after midnight.
DAY_S = 5.0


@dataclass(frozen=True, slots=True)
class ShapingPorts:
    """What shaping needs of a node that runs.

    Attributes:
        wall: Seconds since the Unix epoch.
        mono: Monotonic time in seconds.
        start: Runs a coroutine as a supervised task; None where nothing runs beside the mail, and
            who made the helpers calls ``load_now`` when files, URLs or the DNS may have changed.
        resolver: The resolver of the node as it is now.
        overrides: The overlay of the automation.
        mx_hosts: Returns the MX hosts of a site; None where they are not known.
        rules_changed: Told the rules in force.
        paths_changed: Has ready queues ask for their paths anew.
        count_load: Counts loads: ``loaded`` or ``rejected``.
        read_url: What reads URLs; HTTP if not given.
    """

    wall: Callable[[], float]
    mono: Callable[[], float]
    start: Callable[[Coroutine[Any, Any, None], str], Any] | None
    resolver: Callable[[], DnsResolver]
    overrides: ShapingOverrides
    mx_hosts: Callable[[str], Sequence[str] | None]
    rules_changed: Callable[[Shaping], None]
    paths_changed: Callable[[], None]
    count_load: Callable[[str], None]
    read_url: Fetch | None = None


class ShapingPart:
    """The shaping of one epoch.

    Attributes:
        options: Of the script.
        sources: Files that were read when the script was loaded, and URLs, in order.
        shaping: What answers now.
        is_complete: Whether everything was looked at once.
        loaded: Set when it is complete, or never will be.
    """

    def __init__(
        self, options: ShapingOptions, sources: Sequence[str | ShapingLayer], shaping: Shaping
    ) -> None:
        self.options = options
        self.sources = tuple(sources)
        self.shaping = shaping
        self.is_complete = False
        self.loaded = asyncio.Event()

    def resolve(
        self,
        routing_domain: str,
        source: str,
        site_name: str,
        mx_hosts: Sequence[str] | None,
        on: date | None,
    ) -> dict[str, Any]:
        """Return the options of a path as ``make_egress_path`` takes them."""
        shaped = self.shaping.resolve(routing_domain, source, site_name, mx_hosts, on=on)
        return shaped.options()

    def settle(self) -> None:
        """Let go what waits: it is complete, or another epoch has taken its place."""
        self.is_complete = True
        self.loaded.set()


class ShapingKeeper:
    """Loads for the newest epoch, at once and again and again.

    Attributes:
        loader: Remembers URLs and sites over all epochs.
        failing: Why the last load was not taken; None while all is well.
    """

    def __init__(self, ports: ShapingPorts | None) -> None:
        """Keep shaping up to date.

        Args:
            ports: Of the node; None where scripts are only checked.
        """
        self.loader = ShapingLoader(None, read_url=ports.read_url if ports is not None else None)
        self.failing: str | None = None
        self._ports = ports
        self._part: ShapingPart | None = None
        self._wake = asyncio.Event()
        self._is_running = False
        self._said: tuple[str, ...] = ()
        self._known: tuple[str, date | None] | None = None
        if ports is not None:
            ports.overrides.on_change.append(self._wake.set)

    @property
    def is_live(self) -> bool:
        """Return whether there is a node, and not only a check."""
        return self._ports is not None

    def begin(self, part: ShapingPart | None) -> None:
        """Take the part of a new epoch, or none where its script sets no shaping up."""
        old, self._part = self._part, part
        if old is not None and old is not part:
            old.settle()
        ports = self._ports
        if ports is None:
            return
        if part is None:
            if old is not None:
                ports.rules_changed(Shaping())
            return
        self._wake.set()
        if not self._is_running and ports.start is not None:
            self._is_running = True
            ports.start(self._run(), "shaping")

    def layered(self, part: ShapingPart) -> list[str | ShapingLayer]:
        """Return everything that a part is made of, the overlay of the automation last."""
        ports = self._ports
        overlay = ports.overrides.layers if ports and part.options.automation else ()
        return [*part.sources, *overlay]

    def today(self) -> date | None:
        """Return the date in UTC; None where scripts are only checked."""
        return day_of(self._ports.wall()) if self._ports is not None else None

    def mx_hosts(self, site_name: str) -> Sequence[str] | None:
        """Return the MX hosts of a site, None where they are not known."""
        return self._ports.mx_hosts(site_name) if self._ports is not None else None

    def make_path(
        self, part: ShapingPart, routing_domain: str, source: str, site_name: str
    ) -> EgressPath:
        """Return the path from a source to a site, as it is to be now."""
        hosts = self.mx_hosts(site_name)
        options = part.resolve(routing_domain, source, site_name, hosts, self.today())
        return make_egress_path(**options)

    async def load_now(self) -> None:
        """Load for the part in force and return when it answers by what is known now."""
        if self._ports is not None and self._part is not None:
            await self._load(self._ports, self._part)

    # -- while running --------------------------------------------------------------------------

    async def _run(self) -> None:
        ports = self._ports
        assert ports is not None
        due_mono = ports.mono()
        while True:
            part = self._part
            if part is not None and (self._wake.is_set() or ports.mono() >= due_mono):
                self._wake.clear()
                try:
                    await self._load(ports, part)
                except Exception:  # boundary: supervisor
                    log.exception("loading the shaping failed; the last good one stays")
                    part.settle()
                due_mono = ports.mono() + part.options.cache_ttl_s
            elif part is not None:
                self._look_at_day(ports, part)
            wait_s = min(DAY_S, max(0.0, due_mono - ports.mono()))
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _load(self, ports: ShapingPorts, part: ShapingPart) -> None:
        self.loader.resolver = ports.resolver()
        self.loader.options = part.options.load
        load = await self.loader.load(self.layered(part))
        if part is not self._part:
            return
        self._say_findings(load)
        if load.has_errors and part.is_complete:
            self._note_failure(ports, load)
            return
        self.failing = None
        part.shaping = load.shaping
        part.settle()
        self._note_change(ports, part)

    def _look_at_day(self, ports: ShapingPorts, part: ShapingPart) -> None:
        """Have paths asked for anew where another day allows something else."""
        if part.is_complete and part.shaping.warmups:
            self._note_change(ports, part)

    def _note_change(self, ports: ShapingPorts, part: ShapingPart) -> None:
        known = (part.shaping.hash, day_of(ports.wall()) if part.shaping.warmups else None)
        if known == self._known:
            return
        is_first, self._known = self._known is None, known
        ports.count_load("loaded")
        ports.rules_changed(part.shaping)
        if not is_first:
            ports.paths_changed()

    def _note_failure(self, ports: ShapingPorts, load: ShapingLoad) -> None:
        errors = [str(one) for one in load.findings if one.severity == "error"]
        text = "; ".join(errors[:3])
        if text != self.failing:
            log.error("the shaping cannot be used, the last good one stays: %s", text)
            ports.count_load("rejected")
        self.failing = text

    def _say_findings(self, load: ShapingLoad) -> None:
        """Write what there is to say of the files, when it is not what was said last."""
        said = tuple(str(one) for one in load.findings)
        if said != self._said:
            for one in load.findings:
                write = log.error if one.severity == "error" else log.warning
                write("%s", one)
        self._said = said
