"""``cirrus tail``: log records as they are written, from segments or from a running node.

Place in flow: a command of its own; ``tail_files`` follows files, ``tail_node`` a node.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from engine.base.clock import Clock
from engine.base.command_line import DURATION, FAILED, FINE
from engine.cli.verb import endpoint_option
from engine.model.record_filter import RecordFilter, RecordMatcher
from engine.model.record_line import printable
from engine.tools.record_options import filter_options, make_filter, make_matcher
from engine.tools.record_printer import RecordPrinter
from engine.tools.segment_series import LogDirectories, Position
from engine.tools.tail_checkpoint import Checkpoint, CheckpointError, checkpoint_path
from engine.tools.tail_files import FileTail, TailOptions
from engine.tools.tail_node import NodeTail
from engine.tools.tool_loop import run_loop

_MANUAL = """\
Print log records as they are written.

With DIR, the segments of these log directories are read and followed: into the segment that is
being written, over rotation, restarts of the node and segments that are deleted. Without, the
records of a running node are shown as they happen (--endpoint); that needs no access to its files,
but shows nothing of the past.

Which records are wanted, say the filters: of several values of one option any has to fit, of
several options all. A line shows time (UTC), kind, message id, queue, recipient, way
(source->host, or <-client) and reply; --json prints the records themselves, one a line.

Reading begins where the checkpoint says, if there is one. Else it begins at the oldest segment if
--checkpoint, --since or --no-follow is given, and at the end if not; --from-start and --tail say it
outright, and then a checkpoint is not looked at.

A checkpoint is saved after the output was flushed, at least after each --batch-size records: what
reads the output gets each record at least once, and some again after a crash. A NAME is a hidden
file in the first DIR; with a slash in it, it is a path. Where a segment of the checkpoint is gone,
that is said, and the oldest one is next.

\b
Examples:
  cirrus tail /var/log/cirrus --type Bounce --domain example.com
  cirrus tail /var/log/cirrus --since 2h --no-follow --code 4xx --json | jq .response.content
  cirrus tail /var/log/cirrus --checkpoint shipper --json | ship-records
  cirrus tail --endpoint http://10.0.0.2:8000 --recipient ann@example.com

Exit status: 0; 1 when records could not be read (damaged or deleted segments, said on standard
error), the output was closed, or the node refused or went away; 2 for wrong usage.
"""
_FILE_OPTIONS = {
    "checkpoint": "--checkpoint",
    "from_start": "--from-start",
    "at_end": "--tail",
    "no_follow": "--no-follow",
    "pattern": "--pattern",
    "batch_size": "--batch-size",
    "batch_latency": "--batch-latency",
}


@click.command("tail", help=_MANUAL, short_help="Print log records as they are written.")
@click.argument(
    "log_dirs",
    metavar="[DIR]...",
    nargs=-1,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N records.")
@click.option("--json", "as_json", is_flag=True, help="Print the records themselves.")
@click.option("--from-start", is_flag=True, help="Begin at the oldest segment.")
@click.option("--tail", "at_end", is_flag=True, help="Begin at the end.")
@click.option("--no-follow", is_flag=True, help="Stop at the end.")
@click.option("--checkpoint", metavar="NAME|FILE", help="Go on where an earlier run ended.")
@click.option("--pattern", default="*", show_default=True, metavar="GLOB", help="Which segments.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Save the checkpoint after so many records.",
)
@click.option(
    "--batch-latency",
    type=DURATION,
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="Save it after so long, while records come.",
)
@endpoint_option
def tail(
    log_dirs: tuple[Path, ...],
    limit: int | None,
    as_json: bool,
    endpoint: str,
    **options: Any,
) -> int:
    """Print log records as they are written."""
    _check_usage(click.get_current_context(), log_dirs, options)
    wanted = make_filter(options)
    clock = Clock()
    matcher = make_matcher(wanted, clock.wall())
    out = sys.stdout.buffer
    if log_dirs:
        printer = RecordPrinter(out, matcher, as_json=as_json, limit=limit, is_screen=out.isatty())
        return _tail_files(log_dirs, matcher, printer, options, clock)
    # What comes fits already.
    everything = make_matcher(RecordFilter(), 0.0)
    printer = RecordPrinter(out, everything, as_json=as_json, limit=limit, is_screen=out.isatty())
    try:
        run_loop(_tail_node(endpoint, wanted, printer, clock))
    except KeyboardInterrupt:
        return FINE
    return FINE


def _check_usage(ctx: click.Context, log_dirs: tuple[Path, ...], options: dict[str, Any]) -> None:
    def is_given(name: str) -> bool:
        return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if log_dirs and is_given("endpoint"):
        raise click.UsageError("either directories or --endpoint")
    if options["from_start"] and options["at_end"]:
        raise click.UsageError("either --from-start or --tail")
    if not log_dirs:
        wrong = [option for name, option in _FILE_OPTIONS.items() if is_given(name)]
        if wrong:
            raise click.UsageError(f"{wrong[0]} is for directories: say which")
        for name in ("since", "until"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is for directories: a node shows what happens")


async def _tail_node(
    endpoint: str, wanted: RecordFilter, printer: RecordPrinter, clock: Clock
) -> None:
    await NodeTail(endpoint, wanted, printer, _say, clock=clock).run()


def _tail_files(
    log_dirs: tuple[Path, ...],
    matcher: RecordMatcher,
    printer: RecordPrinter,
    options: dict[str, Any],
    clock: Clock,
) -> int:
    losses = 0

    def tell(text: str, is_lost: bool) -> None:
        nonlocal losses
        losses += is_lost
        _say(text)

    checkpoint, position = None, None
    if options["checkpoint"] is not None:
        checkpoint = Checkpoint(checkpoint_path(options["checkpoint"], log_dirs[0]))
        if not (options["from_start"] or options["at_end"]):
            position = _load(checkpoint, tell)
    starts_early = options["since"] or options["no_follow"] or checkpoint or options["from_start"]
    files = LogDirectories(log_dirs, tell, pattern=options["pattern"], begin=position)
    how = TailOptions(
        is_at_end=bool(options["at_end"] or not starts_early),
        must_follow=not options["no_follow"],
        batch_size=options["batch_size"],
        batch_s=options["batch_latency"],
    )
    following = FileTail(
        files, matcher, printer, how, clock=clock, sleep=time.sleep, checkpoint=checkpoint
    )
    with _stopped_by_signals(lambda: setattr(following, "is_stopping", True)):
        following.run()
    files.close()
    if printer.strange:
        _say(f"{printer.strange} lines are no records; no filter fits them")
    return FAILED if losses else FINE


def _load(checkpoint: Checkpoint, tell: Callable[[str, bool], None]) -> Position | None:
    try:
        return checkpoint.load()
    except CheckpointError as error:
        tell(f"{error}; going on with the oldest segment", True)
        return None


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have a first signal stop what is done after the record at hand, a second at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def stop_once(_number: int, _frame: object) -> None:
        stop()
        for number in numbers:
            signal.signal(number, signal.default_int_handler)

    for number in numbers:
        signal.signal(number, stop_once)
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _say(text: str) -> None:
    click.echo(f"cirrus: {printable(text)}", err=True)
