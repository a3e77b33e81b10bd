"""``cirrus tsa``: the daemon in the foreground; below it, its dry runs.

Place in flow: the entry point of the command; reads settings, runs ``tsa.app``.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click
from click.core import ParameterSource

from engine.base.command_line import LISTEN, expected_errors
from engine.base.http_service import LOOPBACK
from engine.base.run_log import FORMAT_VARIABLE, configure_run_log
from engine.base.run_log_format import FORMATS
from engine.model.cidr import CidrSet
from policy.errors import PolicyLoadError
from tsa.app import Tsa
from tsa.dry_run import explain, replay
from tsa.errors import TsaError
from tsa.settings import LISTEN as DEFAULT_LISTEN
from tsa.settings import STATE, TsaListener, TsaSettings

log = logging.getLogger("cirrus.tsa")


async def serve(tsa: Tsa) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP has it look at its files at once."""
    loop = asyncio.get_running_loop()
    stop, look = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Before the start, which may wait for URLs: without a handler the signal would end the process.
    loop.add_signal_handler(signal.SIGHUP, look.set)
    await tsa.start()
    tsa.supervisor.start(_refresh_when(look, tsa), "reload by signal")
    await stop.wait()
    await tsa.stop()


async def _refresh_when(look: asyncio.Event, tsa: Tsa) -> None:
    while True:
        await look.wait()
        look.clear()
        try:
            await tsa.refresh()
        except Exception:  # boundary: supervisor
            log.exception("looking at the rules met a defect; it goes on")


@click.group(invoke_without_command=True)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A script with tsa_init and load_shaping_data; then no other option is needed.",
)
@click.option(
    "--listen",
    "listens",
    multiple=True,
    type=LISTEN,
    metavar="ADDRESS:PORT",
    help="Where to listen.  [default: 127.0.0.1:8008]",
)
@click.option(
    "--shaping",
    "shapings",
    multiple=True,
    metavar="FILE",
    help="A shaping file, or its URL; later ones are laid over earlier ones.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=STATE,
    show_default=True,
    help="The folder in which decisions are kept.",
)
@click.option(
    "--trust",
    "trusted",
    multiple=True,
    metavar="NETWORK",
    help="Networks of nodes that may publish and read, beside loopback.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much the diagnostic log says.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    envvar=FORMAT_VARIABLE,
    type=click.Choice(FORMATS),
    help="What its lines look like.",
)
@click.pass_context
@expected_errors(TsaError, PolicyLoadError)
def tsa(
    context: click.Context,
    policy: Path | None,
    listens: tuple[tuple[str, int], ...],
    shapings: tuple[str, ...],
    state: Path,
    trusted: tuple[str, ...],
    log_level: str,
    log_format: str,
) -> None:
    """Run the traffic shaping automation daemon in the foreground.

    Nodes send it their log records; it evaluates the rules of the shaping files and tells the nodes
    what to hold, to bounce or to slow down. SIGTERM stops it; rules and script are reloaded when
    their content changes.
    """
    is_state_given = context.get_parameter_source("state") is ParameterSource.COMMANDLINE
    given = bool(listens or shapings or trusted or is_state_given)
    if context.invoked_subcommand is not None:
        if given or policy is not None:
            raise click.UsageError("options of the daemon before a command: they belong behind it")
        return
    if policy is not None and given:
        raise click.UsageError("with --policy, listeners and files are the script's to name")
    if policy is None and not shapings:
        raise click.UsageError("no rules: give --shaping FILE or --policy FILE")
    configure_run_log(log_level, log_format)
    settings = None
    if policy is None:
        settings = settings_of(listens or (DEFAULT_LISTEN,), shapings, state, trusted)
    asyncio.run(serve(Tsa(settings, script=policy)))


def settings_of(
    listens: tuple[tuple[str, int], ...],
    shapings: tuple[str, ...],
    state: Path,
    trusted: tuple[str, ...],
) -> TsaSettings:
    """Return the settings that flags alone make.

    Raises:
        click.UsageError: A network is none.
    """
    try:
        networks = CidrSet.parse([*LOOPBACK, *trusted])
    except ValueError as error:
        raise click.UsageError(f"--trust: {error}") from error
    listeners = tuple(TsaListener(listen, trusted_hosts=networks) for listen in listens)
    return TsaSettings(listeners, shapings, state)


tsa.add_command(replay)
tsa.add_command(explain)

if __name__ == "__main__":
    tsa()
