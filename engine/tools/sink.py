"""``cirrus sink``: a receiving MTA to test senders with.

Place in flow: a command of its own; reads options, runs ``sink_server``, prints what was counted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from engine.base.clock import Clock
from engine.base.command_line import DURATION, LISTEN
from engine.model.errors import ConfigurationError
from engine.tools.sink_options import (
    DEFAULT_EXTENSIONS,
    STAGE_NAMES,
    Extension,
    FailAt,
    SinkOptions,
    SinkStats,
    Stage,
)
from engine.tools.sink_rules import ReplyRules, load_rules
from engine.tools.sink_server import Sink
from engine.tools.sink_store import MaildirStore, MessageStore, NumberedStore
from engine.tools.summary_table import Row, summary_table
from engine.tools.tool_loop import raise_descriptor_limit, run_loop

log = logging.getLogger("cirrus.sink")

#: How often ``--stats-file`` is written, seconds.
STATS_EVERY_S = 1.0
#: Domains, and clients, shown in the table.
_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class _Run:
    """What the command does around the sink."""

    listens: Sequence[tuple[str, int]]
    count: int | None
    limit_s: float | None
    replies: Path | None
    maildir: Path | None
    store: Path | None
    stats_file: Path | None
    as_json: bool


def summary_sections(stats: SinkStats) -> Iterator[list[Row]]:
    """Yield what was counted, for people."""
    counted = stats.as_dict()
    names = ("connections", "connections_peak", "tls_connections", "messages")
    yield [
        *((name.replace("_", " "), f"{counted[name]:,}") for name in names),
        ("messages per second", f"{stats.per_s:,.1f}"),
        ("recipients", f"{counted['recipients']:,}"),
        ("bytes", f"{counted['bytes']:,}"),
    ]
    yield [
        (f"{stage} {code}", f"{number:,}")
        for stage in STAGE_NAMES
        for code, number in sorted(counted["replies"].get(stage, {}).items())
    ]
    yield [
        (f"violation: {what}", f"{number:,}", "red")
        for what, number in sorted(stats.violations.items())
    ]
    yield _busiest("@", stats.domains, "further domains")
    yield _busiest("from ", stats.clients, "further clients")


def _busiest(prefix: str, counts: Mapping[str, int], others: str) -> list[Row]:
    busiest = sorted(counts.items(), key=lambda item: -item[1])
    shown: list[Row] = [(f"{prefix}{name}", f"{number:,}") for name, number in busiest]
    if len(busiest) > _SHOWN_MAX:
        shown[_SHOWN_MAX:] = [(others, f"{len(busiest) - _SHOWN_MAX:,}")]
    return shown


def print_summary(stats: SinkStats, *, as_json: bool) -> None:
    """Print what was counted on standard output."""
    if as_json:
        click.echo(json.dumps(stats.as_dict()))
    else:
        Console().print(summary_table("sink", summary_sections(stats)))


def write_stats(path: Path, stats: SinkStats) -> None:
    """Replace the file by what was counted; a reader sees the old or the new, never a part."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(stats.as_dict()) + "\n", encoding="utf-8")
    fresh.replace(path)


def _open_stores(run: _Run) -> list[MessageStore]:
    wall = Clock().wall
    stores: list[MessageStore] = []
    if run.maildir:
        stores.append(MaildirStore(run.maildir, wall))
    if run.store:
        stores.append(NumberedStore(run.store, wall))
    return stores


async def _serve(options: SinkOptions, run: _Run) -> None:
    rules = load_rules(run.replies, options.seed) if run.replies else None
    sink = Sink(options, rules=rules, stores=_open_stores(run), keep_messages=False)
    if run.stats_file:
        # Before anything else, so that a path that cannot be written is found at once.
        write_stats(run.stats_file, sink.stats)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: print_summary(sink.stats, as_json=run.as_json))
    loop.add_signal_handler(signal.SIGHUP, _read_again, sink, run.replies)
    # After the handlers: who reads that it listens may send a signal at once.
    await _listen(sink, run.listens)
    if run.count is not None:
        sink.supervisor.start(_end_after(sink, run.count, ended), "sink count")
    if run.stats_file:
        sink.supervisor.start(_write_often(run.stats_file, sink.stats), "sink stats")
    try:
        async with asyncio.timeout(run.limit_s):
            await ended.wait()
    except TimeoutError:
        click.echo("the time is over", err=True)
    finally:
        await sink.stop()
        print_summary(sink.stats, as_json=run.as_json)
    if run.stats_file:
        write_stats(run.stats_file, sink.stats)
    if run.count is not None and sink.stats.messages < run.count:
        raise click.ClickException(f"{sink.stats.messages} of {run.count} messages came")


async def _listen(sink: Sink, listens: Sequence[tuple[str, int]]) -> None:
    for host, port in listens:
        shown = f"[{host}]" if ":" in host else host
        try:
            bound = await sink.start(host, port)
        except OSError as error:
            await sink.stop()
            raise click.ClickException(
                f"cannot listen on {shown}:{port}: {os.strerror(error.errno or 0)}"
            ) from error
        click.echo(f"listening on {shown}:{bound}", err=True)


def _read_again(sink: Sink, path: Path | None) -> None:
    if path is None:
        return
    try:
        rules: ReplyRules = load_rules(path, sink.options.seed)
    except ConfigurationError as error:
        click.echo(f"the replies stay as they are: {error}", err=True)
    else:
        sink.script.rules = rules
        click.echo(f"{path} was read again", err=True)


async def _end_after(sink: Sink, count: int, ended: asyncio.Event) -> None:
    await sink.wait_messages(count, limit_s=None)
    ended.set()


async def _write_often(path: Path, stats: SinkStats) -> None:
    is_told = False
    while True:
        await asyncio.sleep(STATS_EVERY_S)
        try:
            write_stats(path, stats)
        except OSError as error:
            if not is_told:
                log.error("the counts cannot be written for now: %s", error)
            is_told = True


def _read_delays(given: Sequence[str]) -> tuple[float, dict[Stage, float]]:
    everywhere_s = 0.0
    stages: dict[Stage, float] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            delay_s = DURATION.convert(value, None, None)
        except click.UsageError as error:
            raise click.BadParameter(error.message, param_hint="--delay") from None
        if not equals:
            everywhere_s = delay_s
        elif name in STAGE_NAMES:
            stages[Stage(name)] = delay_s
        else:
            raise click.BadParameter(
                f"{name!r} is no stage; these are {', '.join(STAGE_NAMES)}", param_hint="--delay"
            )
    return everywhere_s, stages


def _read_accounts(given: Sequence[str]) -> dict[str, str]:
    accounts = {}
    for text in given:
        user, colon, password = text.partition(":")
        if not colon or not user:
            raise click.BadParameter("write USER:PASSWORD", param_hint="--auth")
        accounts[user] = password
    return accounts


def _check_options(options: SinkOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: It does.
    """
    if options.tempfail_percent + options.permfail_percent > 100:
        raise click.UsageError("the percentages add up to more than 100")
    if options.tls_private_key and not options.tls_certificate:
        raise click.UsageError("--tls-private-key needs --tls-certificate")
    if not options.has_tls and (options.require_tls or options.tls_certificate):
        name = "--require-tls" if options.require_tls else "--tls-certificate"
        raise click.UsageError(f"{name} needs --starttls or --tls-from-first-byte")
    if options.require_auth and not options.accounts:
        raise click.UsageError("--require-auth needs --auth USER:PASSWORD")


_MANUAL = """\
Take mail, defer it and refuse it, as a test asks.

It counts what it gets and prints a summary at the end (SIGTERM, SIGINT, --count, --duration)
and whenever SIGUSR1 comes. "listening on ADDRESS:PORT" on standard error says that it is ready.

\b
A recipient's name (the part before @, any ending) may ask for a reply:
  tempfail*  permfail*            451, 550 at RCPT
  tempfail-data*  permfail-data*  the same after the final dot
  reply-450*  reply-550-5.7.26*   this code at RCPT (reply-data-... after the dot)
  421*                            421 at RCPT, then the connection is closed
  drop*  drop-data*               the connection is closed without a reply
  hang*  hang-data*               never a reply
  slow*  slow-7*  slow-data-7*    yes, after 5 (here 7) seconds
  greylist*                       451 for the first attempt of each address

\b
A file of replies holds rules per recipient's domain ("*.example" and "*" too), or per
address that the client connected to:
  [["gmail.example"]]
  when = "rcpt"         connect ehlo starttls auth mail rcpt data dot
  match = "^bob@"       of address, name, user, sender, recipient, sender, message
  reply = "450 4.2.1 slow down"     or "drop", or "hang"
  percent = 20          of the times it matches
  count = 5             only the first so many times
  delay = "2s"          before the reply

The file goes before the names, the names before the percentages.

Exit status: 0, or 1 when it cannot listen or --count was not reached in --duration.
"""

_PERCENT = click.FloatRange(0, 100)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _switches(command: Any) -> Any:
    """Add a switch for each extension."""
    for extension in reversed(Extension):
        name = extension.value
        default = extension in DEFAULT_EXTENSIONS
        command = click.option(
            f"--{name}/--no-{name}",
            f"offers_{name}",
            default=default,
            help=f"Offer {name.upper()}, or do not.  [default: {'yes' if default else 'no'}]",
        )(command)
    return command


@click.command(help=_MANUAL, context_settings={"max_content_width": 100})
@click.option(
    "--listen",
    "listens",
    type=LISTEN,
    multiple=True,
    required=True,
    help="Where to take mail, such as 127.0.0.1:2600; port 0 takes a free one. May be repeated.",
)
@click.option("--hostname", default="sink.example", show_default=True, help="Its own name.")
@click.option("--lmtp", is_flag=True, help="Speak LMTP: one reply per recipient.")
@click.option("--tempfail-percent", type=_PERCENT, default=0.0, help="Defer so many of a hundred.")
@click.option("--permfail-percent", type=_PERCENT, default=0.0, help="Refuse so many of a hundred.")
@click.option(
    "--fail-at",
    type=click.Choice([each.value for each in FailAt]),
    default="rcpt",
    show_default=True,
    help="Where percentages are drawn: for each recipient, or for each message at its end.",
)
@click.option("--seed", type=int, help="Draw the same each time.")
@click.option(
    "--by-name/--no-by-name",
    default=True,
    help="Let recipients' names ask for refusals (below).  [default: yes]",
)
@click.option(
    "--replies",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of replies per domain (below). SIGHUP reads it again.",
)
@click.option(
    "--delay",
    "delays",
    multiple=True,
    metavar="[STAGE=]DURATION",
    help="Wait before each reply, or before those of a stage: 100ms, dot=2s. May be repeated.",
)
@click.option("--starttls", is_flag=True, help="Offer STARTTLS; self-signed without a certificate.")
@click.option("--tls-from-first-byte", is_flag=True, help="Begin each connection with TLS.")
@click.option("--tls-certificate", default="", metavar="FILE", help="PEM chain to show.")
@click.option(
    "--tls-private-key",
    default="",
    metavar="FILE",
    help="Its PEM key, if it is not in the same file.",
)
@click.option("--require-tls", is_flag=True, help="Answer MAIL with 530 without TLS.")
@click.option(
    "--auth", "accounts", multiple=True, metavar="USER:PASSWORD", help="Offer AUTH PLAIN and LOGIN."
)
@click.option("--require-auth", is_flag=True, help="Answer MAIL with 530 without AUTH.")
@_switches
@click.option(
    "--max-message-size",
    type=click.IntRange(1),
    default=50 * 1024 * 1024,
    show_default=True,
    metavar="BYTES",
    help="Answer longer messages with 552.",
)
@click.option(
    "--max-recipients",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Answer further ones of a message with 452.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Answer further ones at the same time with 421.",
)
@click.option(
    "--max-messages-per-connection",
    type=click.IntRange(0),
    default=0,
    help="Answer further ones with 421; 0 for no limit.",
)
@click.option(
    "--idle-timeout",
    "idle_timeout_s",
    type=DURATION,
    default="5m",
    show_default=True,
    help="End connections that say nothing for so long with 421; 0 for never.",
)
@click.option("--store", type=_FOLDER, help="Keep each message in a file, envelopes in a list.")
@click.option("--maildir", type=_FOLDER, help="Keep messages in a maildir.")
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option(
    "--duration", type=DURATION, help="End after this time; with --count, that is a failure."
)
@click.option(
    "--stats-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was counted each second, as JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def sink(**given: Any) -> None:
    """Read the command line and run a sink until it shall end."""
    extensions = frozenset(each for each in Extension if given.pop(f"offers_{each.value}"))
    delay_s, stages = _read_delays(given.pop("delays"))
    run = _Run(
        given.pop("listens"),
        given.pop("count"),
        given.pop("duration"),
        given.pop("replies"),
        given.pop("maildir"),
        given.pop("store"),
        given.pop("stats_file"),
        given.pop("as_json"),
    )
    options = SinkOptions(
        extensions=extensions,
        delay_s=delay_s,
        stage_delays_s=stages,
        accounts=_read_accounts(given.pop("accounts")),
        fail_at=FailAt(given.pop("fail_at")),
        **given,
    )
    _check_options(options)
    raise_descriptor_limit()
    run_loop(_serve(options, run))


if __name__ == "__main__":
    sink()
