"""Check of shaping files without a daemon: what ``cirrus check --shaping`` asks the engine.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks``;
loads files as a node and the TSA do.

Invariants:
    * Nothing is asked of the network but MX records and the URLs given, each for a short time.
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


def check_shaping(sources: Sequence[str], *, with_dns: bool = True) -> list[ShapingFinding]:
    """Return everything there is to say about shaping files, laid over each other in order.

    Args:
        sources: Paths and URLs.
        with_dns: Whether to look up the sites of domains; without them sections that share a site,
            belong to a provider as well or have no site are not found.
    """
    return asyncio.run(_check(sources, with_dns=with_dns))


async def _check(sources: Sequence[str], *, with_dns: bool) -> list[ShapingFinding]:
    resolver = DnsResolver(clock=Clock().mono, options=_RESOLVER) if with_dns else None
    load = await ShapingLoader(resolver, CHECK_OPTIONS).load(sources)
    return list(load.findings)
