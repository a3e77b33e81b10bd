"""``cirrus run``: one node in the foreground.

Place in flow: the entry point of the command; reads settings, runs ``engine.app``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from engine.app import Node
from engine.base.memory_relief import map_large_blocks
from engine.base.run_log import FORMAT_VARIABLE, configure_run_log
from engine.base.run_log_format import FORMATS
from engine.model.errors import EngineError
from engine.node_identity import NODE_ID_VARIABLE
from engine.settings import Settings
from policy.errors import PolicyLoadError

log = logging.getLogger("cirrus.node")

#: The interpreter hands its lock over after this time, seconds: the flush thread waits for it.
SWITCH_INTERVAL_S = 0.0005


async def serve(settings: Settings) -> None:
    """Run a node until SIGTERM or SIGINT."""
    node = Node(settings)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(
        signal.SIGHUP, lambda: node.supervisor.start(_reload(node), "reload by signal")
    )
    await node.start()
    await stop.wait()
    await node.stop()


async def _reload(node: Node) -> None:
    try:
        await node.reload_policy()
    except PolicyLoadError:
        # The runtime's report has it in the log already.
        return
    except OSError as error:
        # No descriptor was left to read it by.
        log.error("the policy cannot be read, the running one stays: %s", error)


@click.command()
@click.option(
    "--policy",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The policy script.",
)
@click.option("--drain", default=30.0, show_default=True, help="Seconds a stop may take.")
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
def run(policy: Path, drain: float, log_level: str, log_format: str) -> None:
    """Run one MTA node in the foreground.

    Diagnostics go to standard error. SIGTERM drains and stops; SIGHUP reloads the policy. The id
    of the node, which log records carry, is CIRRUS_NODE_ID (a UUID), or kept in the spool.
    """
    configure_run_log(log_level, log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    map_large_blocks()
    try:
        settings = Settings(
            policy.absolute(),
            drain_s=drain,
            log_level=log_level,
            node_id=os.environ.get(NODE_ID_VARIABLE) or None,
        )
        _run_loop(serve(settings))
    except PolicyLoadError as error:
        lines = [f"\n  at {frame}" for frame in error.trace]
        raise click.ClickException(f"{error}{''.join(lines)}") from None
    except EngineError as error:
        raise click.ClickException(str(error)) from None


def _run_loop(main: object) -> None:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]


if __name__ == "__main__":
    run()
