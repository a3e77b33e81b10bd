"""``tail`` at the console: log records of this node as they happen.

Place in flow: a verb of ``engine.console.catalogue``; watches ``engine.admin.record_stream``. The
command line has ``cirrus tail``, which reads files too.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from engine.cli.verb import Session, verb
from engine.model.log_record import LogRecord
from engine.model.record_filter import RecordFilter
from engine.model.record_line import show_record
from engine.model.role import Role
from engine.tools.record_options import filter_options, make_filter

PATH = "/api/admin/records/v1"
_MANUAL = """\
Show log records as they happen, until Ctrl-C or --limit.

Which records are wanted, say the filters: of several values of one option any has to fit, of
several options all. A line shows time (UTC), kind, message id, queue, recipient, way (source->host,
or <-client) and reply; --json shows the records themselves.

\b
Examples:
  tail --type Bounce --type TransientFailure
  tail --domain big.example --code 4xx
"""
_NOTHING = RecordFilter()


@verb("tail", _MANUAL, role=Role.OPERATOR, is_live=True)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N records.")
async def tail(session: Session, *, limit: int | None, **options: Any) -> None:
    """Show log records as they happen."""
    for name in ("since", "until"):
        if options[name] is not None:
            raise click.UsageError(f"--{name} is for files: here is what happens now")
    left = limit
    async for frame in session.node.watch(PATH, _said(make_filter(options))):
        if "missed" in frame:
            await session.note(f"{frame['missed']} records were missed: they came too fast")
            continue
        if session.as_json:
            await session.write_json(frame)
        else:
            await session.write(f"{show_record(msgspec.convert(frame, LogRecord))}\n")
        if left is not None:
            left -= 1
            if not left:
                return


def _said(wanted: RecordFilter) -> dict[str, Any]:
    """Return what was said of a filter: the rest goes without saying."""
    return {
        name: value
        for name in wanted.__struct_fields__
        if (value := getattr(wanted, name)) != getattr(_NOTHING, name)
    }
