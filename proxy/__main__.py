"""``cirrus proxy``: the egress proxy in the foreground.

Place in flow: the entry point of the command; reads settings, runs ``proxy.app``.
"""

from __future__ import annotations

import asyncio
import logging
import signal

import click

from engine.base.command_line import LISTEN, Parsed, expected_errors
from engine.base.run_log import configure_run_log
from engine.model.cidr import CidrSet
from proxy.access import AccessRule, AccessRules, Destination, parse_destination
from proxy.app import Proxy
from proxy.errors import ProxyError
from proxy.settings import LOOPBACK_ONLY, ProxySettings, SocksOptions

log = logging.getLogger("cirrus.proxy")


async def serve(proxy: Proxy) -> None:
    """Run a daemon until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await proxy.start()
    await stop.wait()
    await proxy.stop()


@click.command()
@click.option("--listen", "listens", multiple=True, type=LISTEN, metavar="ADDRESS:PORT")
@click.option("--allow-client", "clients", multiple=True, metavar="NETWORK")
@click.option(
    "--allow-destination",
    "destinations",
    multiple=True,
    type=Parsed("net[:ports]", parse_destination),
)
@click.option("--allow-source", "sources", multiple=True, metavar="ADDRESS")
@click.option("--log-level", default="info")
@expected_errors(ProxyError)
def proxy(
    listens: tuple[tuple[str, int], ...],
    clients: tuple[str, ...],
    destinations: tuple[Destination, ...],
    sources: tuple[str, ...],
    log_level: str,
) -> None:
    """Run the egress proxy in the foreground."""
    configure_run_log(log_level)
    rule = AccessRule(
        sources=CidrSet.parse(sources) if sources else None,
        destinations=destinations or (Destination(),),
    )
    access = AccessRules(CidrSet.parse([*LOOPBACK_ONLY, *clients]), (rule,))
    listeners = tuple(SocksOptions(listen, access=access) for listen in listens)
    asyncio.run(serve(Proxy(ProxySettings(listeners))))


if __name__ == "__main__":
    proxy()
