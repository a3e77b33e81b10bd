"""Shaping from files and URLs, with the sites of their domains looked up.

Place in flow: a helper of the node, the TSA and ``cirrus check`` load through here; what comes out
is a ``Shaping`` and the findings of the load.

Invariants:
    * A load never fails: what is wrong is a finding, and who asked decides what errors mean.
    * Layers merge in the order given, in whatever order they and the DNS answer.
    * Only so many domains are looked up at once, and all of them within a bound.
    * A domain whose look-up fails keeps the site that was known of it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.base.shaping_source import Fetch, Offload, ShapingSources, shown_source
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.shaping import Shaping
from engine.model.shaping_finding import LoadOptions, ShapingFinding
from engine.model.shaping_merge import SiteRoute, merge_layers, rollup_domains
from engine.model.shaping_section import ShapingLayer
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import resolve_route

#: Domains looked up at once: fewer than the resolver takes, so that none waits for its turn there.
LOOKUPS_MAX = 64
#: The longest that all look-ups of one load may take, seconds.
LOOKUPS_S = 30.0


@dataclass(frozen=True, slots=True)
class ShapingLoad:
    """What a load gave.

    Attributes:
        shaping: All that could be read.
        findings: What there is to say, by file in the order given, and by line.
    """

    shaping: Shaping
    findings: tuple[ShapingFinding, ...]

    @property
    def has_errors(self) -> bool:
        """Return whether the files should not be used."""
        return any(one.severity == "error" for one in self.findings)


class ShapingLoader:
    """Loads the files of one consumer, time and again; remembers what to fall back on.

    Attributes:
        resolver: Who knows MX hosts; may be replaced. None leaves sections with rollup out.
        options: How much each finding weighs; may be replaced.
    """

    def __init__(
        self,
        resolver: DnsResolver | None,
        options: LoadOptions | None = None,
        *,
        offload: Offload | None = None,
        read_url: Fetch | None = None,
    ) -> None:
        """Make a loader.

        Args:
            resolver: Who knows MX hosts.
            options: How much each finding weighs.
            offload: How to parse beside the event loop; a thread if not given.
            read_url: What reads URLs; HTTP if not given.
        """
        self.resolver = resolver
        self.options = options or LoadOptions()
        self._sources = ShapingSources(offload, read_url)
        self._routes: dict[str, SiteRoute] = {}

    async def load(self, sources: Sequence[str | ShapingLayer]) -> ShapingLoad:
        """Return the sources as one.

        Args:
            sources: Paths, URLs, or layers that were read already; later ones override.
        """
        read = await self._sources.read(sources, self.options)
        routes = await self._find_routes(rollup_domains(read.layers))
        # In a thread: thousands of sections take longer than mail should wait for the loop.
        shaping, found = await asyncio.to_thread(merge_layers, read.layers, routes, self.options)
        files = [one if isinstance(one, str) else one.name for one in sources]
        return ShapingLoad(shaping, _in_order((*read.findings, *found), files))

    def recall(self, sources: Sequence[str | ShapingLayer]) -> tuple[ShapingLoad, bool]:
        """Return the sources as far as they are known now, and whether that is all of them.

        Args:
            sources: As for ``load``; of URLs and domains what an earlier load found.
        """
        layers = [self._sources.known(one) if isinstance(one, str) else one for one in sources]
        found = [one for one in layers if one is not None]
        domains = rollup_domains(found)
        shaping, findings = merge_layers(found, self._routes, self.options)
        is_all = len(found) == len(sources) and all(one in self._routes for one in domains)
        return ShapingLoad(shaping, findings), is_all

    async def _find_routes(self, domains: Sequence[str]) -> dict[str, SiteRoute]:
        resolver = self.resolver
        if resolver is None:
            return {}
        turns = asyncio.Semaphore(LOOKUPS_MAX)
        deadline = asyncio.get_running_loop().time() + LOOKUPS_S

        async def find(domain: str) -> SiteRoute:
            try:
                async with asyncio.timeout_at(deadline), turns:
                    return await _find_route(resolver, domain)
            except TimeoutError:
                return SiteRoute(failure="no time was left to look it up")

        found = await asyncio.gather(*(find(domain) for domain in domains))
        fresh = dict(zip(domains, found, strict=True))
        routes = {name: self._or_known(name, route) for name, route in fresh.items()}
        self._routes = {name: one for name, one in routes.items() if one.site_name}
        return routes

    def _or_known(self, domain: str, route: SiteRoute) -> SiteRoute:
        known = self._routes.get(domain)
        return known if route.failure and known is not None else route


async def _find_route(resolver: DnsResolver, domain: str) -> SiteRoute:
    try:
        route = await resolve_route(resolver, domain)
    except (DnsFailureError, RouteNotFoundError) as error:
        return SiteRoute(failure=str(error))
    hosts = tuple(host.name for host in route.hosts)
    return SiteRoute(route.site_name, hosts, route.is_null)


def _in_order(
    findings: Iterable[ShapingFinding], files: Sequence[str]
) -> tuple[ShapingFinding, ...]:
    """Return findings, each once, by file and line."""
    distinct = dict.fromkeys(findings)
    ranks: dict[str, int] = {}
    for name in files:
        ranks.setdefault(shown_source(name), len(ranks))
    return tuple(sorted(distinct, key=lambda one: (ranks.get(one.file, -1), one.line or 0)))
