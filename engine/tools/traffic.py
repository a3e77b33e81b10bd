"""``cirrus traffic``: a load generator.

Place in flow: a command of its own; reads options, runs ``traffic_run``, shows a live line and a
summary.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from engine.base.command_line import DURATION, LISTEN, RATE, Parsed
from engine.tools.summary_table import Row, printable, summary_table
from engine.tools.tool_loop import raise_descriptor_limit, run_loop
from engine.tools.traffic_options import TrafficOptions, TrafficProtocol, parse_domains, parse_sizes
from engine.tools.traffic_run import TrafficRun, Watch, run_traffic
from engine.tools.traffic_tally import TrafficSummary

_LIVE_EVERY_S = 0.25
_LINE_EVERY_S = 2.0

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
messages under way; a second Ctrl-C ends it at once.

Exit status: 0, or 1 when a message was refused (5xx; not with --allow-refusals) or lost, or a
session could not reach the server five times in a row or within --timeout (neither with
--keep-going, as long as anything was answered at all).
"""

_SIZES = Parsed("bytes", parse_sizes)
_DOMAINS = Parsed("domain[:weight],...", parse_domains)


def summary_sections(summary: TrafficSummary) -> Iterator[list[Row]]:
    """Yield a run's outcome, for people."""
    names = ("messages", "accepted", "deferred", "refused", "lost")
    rows: list[Row] = [(name, f"{getattr(summary, name):,}") for name in names]
    if summary.recipients_refused:
        rows.append(("recipients not taken", f"{summary.recipients_refused:,}"))
    rows += [
        ("messages per second", f"{summary.per_s:,.1f}"),
        ("seconds", f"{summary.elapsed_s:,.1f}"),
        ("megabytes", f"{summary.bytes_sent / 1e6:,.1f}"),
        ("connections", f"{summary.connections:,}"),
    ]
    if summary.connect_failures:
        rows.append(("failed to connect", f"{summary.connect_failures:,}", "red"))
    yield rows
    if summary.messages > summary.lost:
        yield [(f"latency {name}, ms", f"{ms:,.1f}") for name, ms in summary.latency_ms.items()]
    yield [(reply, f"{number:,}") for reply, number in summary.replies.items()]


class LiveLine:
    """The state of a run in one line.

    Args:
        count: The messages wanted, None if time ends the run.
    """

    def __init__(self, count: int | None) -> None:
        self._goal = "" if count is None else f" of {count:,}"
        self._seen = (0, 0.0)

    def tell(self, summary: TrafficSummary) -> str:
        """Return the line; its rate is that since the last one."""
        messages, elapsed_s = self._seen
        self._seen = (summary.messages, summary.elapsed_s)
        now_per_s = (summary.messages - messages) / max(summary.elapsed_s - elapsed_s, 1e-9)
        parts = [
            f"{summary.elapsed_s:6.1f} s",
            f"{summary.messages:,}{self._goal} messages",
            f"{now_per_s:,.0f}/s",
            *(
                f"{name} {getattr(summary, name):,}"
                for name in ("deferred", "refused", "lost")
                if getattr(summary, name)
            ),
            f"open {summary.open_connections}",
            f"p50 {summary.latency_ms['p50']:.1f} ms",
            f"p99 {summary.latency_ms['p99']:.1f} ms",
        ]
        return "  ".join(parts)


@contextlib.contextmanager
def _watching(line: LiveLine, *, quiet: bool) -> Iterator[tuple[Watch | None, float]]:
    """Give the one who shows progress, and how often."""
    console = Console(stderr=True)
    if quiet:
        yield None, 1.0
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:

            def show(state: TrafficSummary) -> None:
                text = Text(line.tell(state), no_wrap=True, overflow="ellipsis")
                live.update(text, refresh=True)

            yield show, _LIVE_EVERY_S
    else:
        yield lambda state: click.echo(line.tell(state), err=True), _LINE_EVERY_S


def _ender(run: TrafficRun) -> Callable[[], None]:
    """Return what a signal calls: it stops the run, and ends it when it is called again."""
    calls = 0

    def end() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            run.abort()
            return
        click.echo("ending after the messages under way; once more ends it now", err=True)
        run.stop()

    return end


async def _send(options: TrafficOptions, *, quiet: bool) -> TrafficSummary:
    loop = asyncio.get_running_loop()

    def stop_on_signals(run: TrafficRun) -> None:
        end = _ender(run)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)

    with _watching(LiveLine(options.count), quiet=quiet) as (watch, every_s):
        return await run_traffic(
            options, watch=watch, watch_every_s=every_s, on_start=stop_on_signals
        )


def _check_header(_ctx: click.Context, _param: click.Parameter, lines: Any) -> Any:
    for line in lines:
        name, colon, _ = line.partition(":")
        if not colon or not name.isascii() or not name or set(line) & set("\r\n") or " " in name:
            raise click.BadParameter(f"{line!r} is not written 'Name: value'")
    return lines


def _check_word(_ctx: click.Context, _param: click.Parameter, word: str) -> str:
    """Refuse what would be another command on the wire."""
    if not word.isascii() or not word.isprintable() or set(word) & set("<> "):
        raise click.BadParameter(f"{word!r}: neither blanks nor '<', '>' nor letters beyond ASCII")
    return word


def _check_options(options: TrafficOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: It does.
    """
    if options.target[1] == 0:
        raise click.BadParameter("a target has a port", param_hint="--target")
    if options.starttls and options.tls_from_first_byte:
        raise click.UsageError("--starttls and --tls-from-first-byte exclude each other")
    if options.protocol is TrafficProtocol.HTTP:
        given = {
            "--starttls": options.starttls,
            "--tls-from-first-byte": options.tls_from_first_byte,
            "--messages-per-connection": options.messages_per_connection,
        }
        for name, is_given in given.items():
            if is_given:
                raise click.UsageError(f"{name} is for --protocol smtp")
        if options.body is not None and not _is_utf8(options.body):
            raise click.UsageError("--body-file is not UTF-8, as --protocol http wants it")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@click.command(
    help=_MANUAL,
    short_help="Send generated mail, and say how it was taken.",
    context_settings={"max_content_width": 100},
)
@click.option("--target", type=LISTEN, required=True, help="The server, such as 127.0.0.1:2525.")
@click.option(
    "--protocol",
    type=click.Choice([each.value for each in TrafficProtocol]),
    default="smtp",
    show_default=True,
    help="SMTP, or injection by HTTP.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Connections at the same time.",
)
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
@click.option(
    "--local-part",
    default="user",
    show_default=True,
    callback=_check_word,
    help="Recipients' names.",
)
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
@click.option(
    "--sender",
    default="traffic@sender.example",
    show_default=True,
    callback=_check_word,
    help="MAIL FROM; empty for the null sender.",
)
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
@click.option(
    "--ehlo", default="traffic.example", show_default=True, callback=_check_word, help="Our name."
)
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
    options = TrafficOptions(
        protocol=TrafficProtocol(protocol),
        body=body_file.read_bytes() if body_file else None,
        **given,
    )
    _check_options(options)
    raise_descriptor_limit()
    summary: TrafficSummary = run_loop(_send(options, quiet=quiet))
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        Console().print(summary_table("traffic", summary_sections(summary)))
        for text, number in summary.texts.items():
            click.echo(f"{number:,} x {printable(text)}", err=True)
    if summary.trouble:
        click.echo(f"the last trouble with a connection: {printable(summary.trouble)}", err=True)
    if not summary.is_fine(allow_refusals=allow_refusals, keep_going=options.keep_going):
        raise SystemExit(1)


if __name__ == "__main__":
    traffic()
