"""``cirrus tsa replay`` and ``cirrus tsa explain``: what rules would do, and what is in force.

Place in flow: subcommands of ``tsa.__main__``; read files, ask ``tsa.replay`` and ``tsa.explain``,
print. Neither starts anything, or changes anything.

Failure: shaping files with errors, and logs that cannot be read, end a command with status 1.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console

from engine.base.clock import Clock
from engine.base.command_line import expected_errors
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.shaping import Shaping
from engine.model.shaping_warmup import day_of
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import resolve_route
from engine.route.resolver_options import ResolverOptions
from engine.route.shaping_loader import ShapingLoad, ShapingLoader
from tsa.errors import ConfigurationError, TsaError
from tsa.explain import Explanation, Subject, overlay_of, read_decisions
from tsa.explain import explain as explain_path
from tsa.explain_report import document, heading, holding_lines, options_table
from tsa.log_source import LogSource, find_logs
from tsa.replay import Replay, compare, unwanted_kinds
from tsa.replay_report import (
    changes_document,
    changes_table,
    episode_document,
    episodes_table,
    plain,
    tally_document,
)

#: Columns of a table that goes to a file or a pipe, unless ``COLUMNS`` says otherwise.
WIDTH = 160
#: The longest that a running TSA may take to tell its decisions, seconds.
TSA_S = 10.0
#: Somebody waits: who knows an answer gives it sooner.
_RESOLVER = ResolverOptions(timeout_s=3.0, try_s=1.5)
_Command = Callable[..., None]


def files_options(command: _Command) -> _Command:
    """Give a command the options that say which shaping files it works with."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
        click.option(
            "--zone",
            "zones",
            multiple=True,
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
            help="A zone file to look hosts up in; no name server is asked then.",
        ),
        click.option(
            "--dns/--no-dns",
            "with_dns",
            default=True,
            help="Whether to look up MX hosts; without, sections of whole sites are left out."
            "  [default: --dns]",
        ),
        click.option(
            "--shaping",
            "shapings",
            multiple=True,
            required=True,
            metavar="FILE",
            help="A shaping file, or its URL; later ones are laid over earlier ones.",
        ),
    ):
        command = option(command)
    return command


def make_resolver(zones: Sequence[Path], *, with_dns: bool) -> DnsResolver | None:
    """Return who knows MX hosts, None if nobody is to be asked."""
    if not with_dns and not zones:
        return None
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in zones]
    return DnsResolver(clock=Clock().mono, zones=texts or None, options=_RESOLVER)


async def load_rules(resolver: DnsResolver | None, sources: Sequence[Any]) -> Shaping:
    """Return the shaping of some files; say on standard error what there is to say of them.

    Raises:
        ConfigurationError: They have errors.
    """
    load: ShapingLoad = await ShapingLoader(resolver).load(sources)
    for finding in load.findings:
        click.echo(str(finding), err=True)
    if load.has_errors:
        raise ConfigurationError("the shaping files have errors")
    return load.shaping


def make_console() -> Console:
    """Return where tables go: as wide as the terminal, or wide enough for a file."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH
    return console


@click.command()
@files_options
@click.option(
    "--compare",
    "others",
    multiple=True,
    metavar="FILE",
    help="Another set of shaping files: print what differs if these take the place of --shaping.",
)
@click.argument(
    "logs", nargs=-1, required=True, metavar="LOG...", type=click.Path(exists=True, path_type=Path)
)
@expected_errors(TsaError)
def replay(
    shapings: tuple[str, ...],
    with_dns: bool,
    zones: tuple[Path, ...],
    as_json: bool,
    others: tuple[str, ...],
    logs: tuple[Path, ...],
) -> None:
    """Print what rules would have decided about the records in LOG..., when and why.

    LOG is a segment as a node writes it (zstd), also one that is still being written, a file of
    JSON lines, or a folder of these. Files of several nodes are merged by time. All time is the
    records': a day is replayed as fast as it can be read.

    With --compare the same records go through a second set of files, and only what differs is
    printed: decisions that are new or gone, and those with another value, end or count.
    """
    resolver = make_resolver(zones, with_dns=with_dns)
    sets = [shapings, *([others] if others else [])]
    loaded = asyncio.run(_load_all(resolver, sets))
    source = LogSource(find_logs(logs), unwanted_kinds(loaded))
    replays = run_replays(source, loaded)
    for problem in source.tally.problems:
        click.echo(f"left out: {problem}", err=True)
    document: dict[str, Any] = {"records": tally_document(source.tally, replays[0].seen)}
    if others:
        changes = compare(replays[0].episodes, replays[1].episodes)
        document |= changes_document(changes)
        table, found = changes_table(changes), f"{len(changes)} differences"
    else:
        episodes = replays[0].episodes
        document["decisions"] = [episode_document(one) for one in episodes]
        table, found = episodes_table(episodes), f"{len(episodes)} decisions"
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    if table.row_count:
        make_console().print(table)
    records = document["records"]
    span = f" from {records['first']} to {records['last']}" if records["first"] else ""
    click.echo(f"{records['records']:,} records{span}: {found}")


async def _load_all(resolver: DnsResolver | None, sets: Sequence[Sequence[str]]) -> list[Shaping]:
    return [await load_rules(resolver, one) for one in sets]


@click.command()
@files_options
@click.option("--source", default="unspecified", show_default=True, help="The egress source.")
@click.option(
    "--tsa",
    "tsa_url",
    metavar="URL",
    help="A running TSA, as in http://127.0.0.1:8008: what it has decided counts as well.",
)
@click.option(
    "--on",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The date in UTC, for warm-ups.  [default: today]",
)
@click.option("--all", "with_defaults", is_flag=True, help="Name also what nobody sets.")
@click.argument("domain")
@expected_errors(TsaError)
def explain(
    domain: str,
    shapings: tuple[str, ...],
    with_dns: bool,
    zones: tuple[Path, ...],
    as_json: bool,
    source: str,
    tsa_url: str | None,
    on: datetime | None,
    with_defaults: bool,
) -> None:
    """Print the egress path for mail to DOMAIN, option by option, and where each value comes from.

    That is the file and the line of the value that counts in the end or, with --tsa, the rule of
    the decision that overrides it. Also printed are the site and the providers of the domain, where
    the warm-up of the source stands, and what holds or bounces such mail now.
    """
    day = on.date() if on is not None else day_of(Clock().wall())
    found, notes = asyncio.run(
        _explain(
            domain.lower(),
            source,
            day,
            shapings=shapings,
            resolver=make_resolver(zones, with_dns=with_dns),
            tsa_url=tsa_url,
            with_defaults=with_defaults,
        )
    )
    for note in notes:
        click.echo(note, err=True)
    if as_json:
        click.echo(json.dumps(document(found), indent=2, default=str))
        return
    for line in heading(found):
        click.echo(plain(line).plain)
    if found.lines:
        make_console().print(options_table(found))
    else:
        click.echo("no option is set: the defaults hold (--all names them)")
    for line in holding_lines(found):
        click.echo(plain(line).plain)


async def _explain(
    domain: str,
    source: str,
    on: date,
    *,
    shapings: Sequence[str],
    resolver: DnsResolver | None,
    tsa_url: str | None,
    with_defaults: bool,
) -> tuple[Explanation, list[str]]:
    decisions = read_decisions(await fetch_decisions(tsa_url)) if tsa_url else []
    layers = [*shapings, *([overlay_of(decisions)] if decisions else [])]
    shaping = await load_rules(resolver, layers)
    notes: list[str] = []
    site, hosts = "", None
    if resolver is None:
        notes.append("MX hosts are not looked up: what is said of sites and by MX host is left out")
    else:
        try:
            route = await resolve_route(resolver, domain)
            site, hosts = route.site_name, tuple(host.name for host in route.hosts)
            if route.is_null:
                notes.append(f"{domain} takes no mail (null MX)")
        except (DnsFailureError, RouteNotFoundError) as error:
            notes.append(f"the site is not known: {error}")
    subject = Subject(domain, source, site, hosts, on)
    return explain_path(shaping, subject, decisions, with_defaults=with_defaults), notes


async def fetch_decisions(url: str) -> bytes:
    """Return what a running TSA shows of its decisions.

    Raises:
        ConfigurationError: It cannot be had.
    """
    limits = aiohttp.ClientTimeout(total=TSA_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.get(url.rstrip("/") + "/decisions") as response,
        ):
            if response.status != 200:
                raise ConfigurationError(f"{url}: answered with status {response.status}")
            return await response.read()
    except TimeoutError as error:
        raise ConfigurationError(f"{url}: no answer within {TSA_S:g} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise ConfigurationError(f"{url}: cannot be asked: {error}") from error


def run_replays(source: LogSource, shapings: Sequence[Shaping]) -> list[Replay]:
    """Return what each set of rules makes of the records of a source, read once."""
    replays = [Replay(shaping) for shaping in shapings]
    if len(replays) == 1:
        see = replays[0].see
        for record in source.records():
            see(record)
    else:
        for record in source.records():
            for one in replays:
                one.see(record)
    if source.tally.last_at is not None:
        for one in replays:
            one.finish(source.tally.last_at)
    return replays
