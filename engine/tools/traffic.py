"""``cirrus traffic``: a load generator.

Place in flow: a command of its own; reads options, runs ``traffic_run``, shows a live line and a
summary.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.base.command_line import DURATION, LISTEN, RATE, Parsed
from engine.tools.sink import run_loop
from engine.tools.traffic_options import TrafficOptions, TrafficProtocol, parse_domains, parse_sizes
from engine.tools.traffic_run import TrafficRun, Watch, run_traffic
from engine.tools.traffic_tally import TrafficSummary

_LIVE_EVERY_S = 0.25
_LINE_EVERY_S = 5.0

_MANUAL = """\
Send generated mail to a server, by SMTP or by HTTP injection, and say how it took it.

Recipients are user.NUMBER@DOMAIN; --local-part and --domains change that, so that the names of
cirrus sink (tempfail, permfail-data, ...) can be used. Connections are kept and commands pipelined
where the server offers it. Without --count and --duration it sends for a minute.

\b
Examples:
  cirrus traffic --target 127.0.0.1:2525 --count 10000
  cirrus traffic --target 127.0.0.1:2525 --duration 5m --rate 200/s --size 2k-100k
  cirrus traffic --target 127.0.0.1:8000 --protocol http --domains a.example:3,b.example

A live line goes to standard error, the summary to standard output. Ctrl-C ends the run after the
messages under way.

Exit status: 0, or 1 when a message was refused (5xx; not with --allow-refusals) or lost, or the
server could not be reached (not with --keep-going).
"""

_SIZES = Parsed("bytes", parse_sizes)
_DOMAINS = Parsed("domain[:weight],...", parse_domains)


def summary_table(summary: TrafficSummary) -> Table:
    """Return a run's outcome, for people."""
    table = Table(title="traffic", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for name in ("messages", "accepted", "deferred", "refused", "lost"):
        table.add_row(name, f"{getattr(summary, name):,}")
    if summary.recipients_refused:
        table.add_row("recipients not taken", f"{summary.recipients_refused:,}")
    table.add_row("messages per second", f"{summary.per_s:,.1f}")
    table.add_row("seconds", f"{summary.elapsed_s:,.1f}")
    table.add_row("megabytes", f"{summary.bytes_sent / 1e6:,.1f}")
    table.add_row("connections", f"{summary.connections:,}")
    if summary.connect_failures:
        table.add_row("failed to connect", f"{summary.connect_failures:,}", style="red")
    table.add_section()
    for name, ms in summary.latency_ms.items():
        table.add_row(f"latency {name}, ms", f"{ms:,.1f}")
    table.add_section()
    for reply, number in summary.replies.items():
        table.add_row(reply, f"{number:,}")
    return table


def live_line(summary: TrafficSummary) -> str:
    """Return a run's state in one line."""
    return (
        f"{summary.elapsed_s:6.1f} s  {summary.messages:,} messages  {summary.per_s:,.0f}/s  "
        f"open {summary.open_connections}  deferred {summary.deferred:,}  "
        f"refused {summary.refused:,}  lost {summary.lost:,}  "
        f"p50 {summary.latency_ms['p50']:.1f} ms  p99 {summary.latency_ms['p99']:.1f} ms"
    )


@contextlib.contextmanager
def _watching(*, quiet: bool) -> Iterator[tuple[Watch | None, float]]:
    """Give the one who shows progress, and how often."""
    console = Console(stderr=True)
    if quiet:
        yield None, 1.0
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda state: live.update(Text(live_line(state)), refresh=True), _LIVE_EVERY_S
    else:
        yield lambda state: click.echo(live_line(state), err=True), _LINE_EVERY_S


async def _send(options: TrafficOptions, *, quiet: bool) -> TrafficSummary:
    loop = asyncio.get_running_loop()

    def stop_on_signals(run: TrafficRun) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, run.stop)

    with _watching(quiet=quiet) as (watch, every_s):
        return await run_traffic(
            options, watch=watch, watch_every_s=every_s, on_start=stop_on_signals
        )


def _check_header(_ctx: click.Context, _param: click.Parameter, lines: Any) -> Any:
    for line in lines:
        name, colon, _ = line.partition(":")
        if not colon or not name.isascii() or not name or set(line) & set("\r\n") or " " in name:
            raise click.BadParameter(f"{line!r} is not written 'Name: value'")
    return lines


@click.command(help=_MANUAL, context_settings={"max_content_width": 100})
@click.option("--target", type=LISTEN, required=True, help="The server, such as 127.0.0.1:2525.")
@click.option(
    "--protocol",
    type=click.Choice([each.value for each in TrafficProtocol]),
    default="smtp",
    show_default=True,
    help="SMTP, or injection by HTTP.",
)
@click.option("--sessions", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("--duration", "duration_s", type=DURATION, help="End after this time.")
@click.option("--rate", "per_s", type=RATE, help="Messages over all sessions: 100/s, 6000/min.")
@click.option(
    "--size", "size_bytes", type=_SIZES, default="2k", show_default=True, help="2048, 2k, 10k-1M."
)
@click.option(
    "--domains",
    type=_DOMAINS,
    default="traffic.example",
    show_default=True,
    help="Recipients' domains, with weights: a.example:3,b.example.",
)
@click.option("--local-part", default="user", show_default=True, help="Recipients' names.")
@click.option(
    "--recipients",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Per message.",
)
@click.option(
    "--messages-per-connection",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="A new connection after so many; 0 keeps it.",
)
@click.option("--sender", default="traffic@sender.example", show_default=True)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="LINE",
    callback=_check_header,
    help="A further header line, 'X-Tenant: a'. May be repeated.",
)
@click.option(
    "--body-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send this text instead of a generated one.",
)
@click.option("--ehlo", default="traffic.example", show_default=True, help="Our name.")
@click.option("--starttls", is_flag=True, help="Insist on STARTTLS; any certificate will do.")
@click.option("--tls-from-first-byte", is_flag=True, help="Begin each connection with TLS.")
@click.option("--auth-user", default="", help="For AUTH PLAIN or HTTP Basic.")
@click.option(
    "--auth-password",
    default="",
    envvar="CIRRUS_TRAFFIC_PASSWORD",
    help="Better given as CIRRUS_TRAFFIC_PASSWORD: others can read a command line.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long one reply may take.",
)
@click.option("--seed", type=int, help="Draw the same domains and sizes each time.")
@click.option("--allow-refusals", is_flag=True, help="5xx replies are part of the test.")
@click.option("--keep-going", is_flag=True, help="Lost connections are part of the test.")
@click.option("--quiet", is_flag=True, help="No live line.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def traffic(
    body_file: Path | None,
    protocol: str,
    *,
    allow_refusals: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Read the command line, send, and report."""
    if given["target"][1] == 0:
        raise click.BadParameter("a target has a port", param_hint="--target")
    options = TrafficOptions(
        protocol=TrafficProtocol(protocol),
        body=body_file.read_bytes() if body_file else None,
        **given,
    )
    summary: TrafficSummary = run_loop(_send(options, quiet=quiet))
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        Console().print(summary_table(summary))
        for text, number in summary.texts.items():
            click.echo(f"{number:,} x {text}", err=True)
    if summary.trouble:
        click.echo(f"the last trouble with a connection: {summary.trouble}", err=True)
    if not summary.is_fine(allow_refusals=allow_refusals, keep_going=options.keep_going):
        raise SystemExit(1)


if __name__ == "__main__":
    traffic()
