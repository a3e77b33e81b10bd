"""Check of shaping files without a daemon: what ``cirrus check --shaping`` asks the engine.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks``;
loads files as a node and the TSA do.

Invariants:
    * Nothing is asked of the network but MX records and the URLs given, each for a short time; with
      zones of one's own no MX records either.
    * Every finding is reported, not only the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.base.clock import Clock
from engine.model.shaping_finding import CHECK_OPTIONS, ShapingFinding
from engine.route.dns_resolver import DnsResolver
from engine.route.resolver_options import ResolverOptions
from engine.route.shaping_loader import ShapingLoader

#: A check is waited for: who knows an answer gives it sooner.
_RESOLVER = ResolverOptions(timeout_s=3.0, try_s=1.5)


def check_shaping(
    sources: Sequence[str], *, with_dns: bool = True, zones: Sequence[str] = ()
) -> list[ShapingFinding]:
    """Return everything there is to say about shaping files, laid over each other in order.

    Args:
        sources: Paths and URLs.
        with_dns: Whether to look up the sites of domains; without them sections that share a site,
            belong to a provider as well or have no site are not found.
        zones: Zone file texts; if there are any, look-ups are answered from them alone.

    Raises:
        ConfigurationError: A text is no zone file.
    """
    return asyncio.run(_check(sources, with_dns=with_dns, zones=zones))


async def _check(
    sources: Sequence[str], *, with_dns: bool, zones: Sequence[str]
) -> list[ShapingFinding]:
    resolver = None
    if with_dns:
        resolver = DnsResolver(clock=Clock().mono, zones=zones or None, options=_RESOLVER)
    load = await ShapingLoader(resolver, CHECK_OPTIONS).load(sources)
    return list(load.findings)
