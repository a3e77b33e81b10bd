"""``cirrus spool``: the spool of a node that is stopped, looked at, checked and taken out as files.

Place in flow: a command of its own, found by its entry point; reads by
``engine.spool.spool_reader``. It is not among the tools because it needs a stage: the format of the
spool is the spool's own (docs/decisions/0001-layers.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.base.clock import Clock
from engine.base.command_line import FAILED, FINE, Parsed
from engine.model.errors import SpoolEntryDamagedError
from engine.model.header_block import header_end
from engine.model.message import SpoolId, StoredEnvelope
from engine.model.record_line import printable
from engine.spool.spool_check import SpoolCheck
from engine.spool.spool_reader import SpoolReader
from engine.spool.spool_store import DamagedEntry, StoredMessage
from engine.spool_export import ExistsAlreadyError, MailFolder
from engine.spool_message import MessageFilter, describe, list_line

_F = TypeVar("_F", bound=Callable[..., Any])
#: Messages and bodies between two signs of progress.
PROGRESS_EVERY = 10_000

_MANUAL = """\
Look at the spool of a node that is stopped.

PATH is the folder that define_spool names in the policy. It is opened for reading only; while that
lasts no node can start on it, and while a node runs on it these commands refuse: ask the node then
(cirrus messages, cirrus inspect-message).
"""
_LIST_MANUAL = """\
List the messages of a spool, oldest first.

Each line has the spool id, queue, sender, recipients that are still to be reached, age, when it is
due, how often it was tried, and size. The queue is the one that its metadata and first recipient
name. What is damaged is said on standard error.

\b
Examples:
  cirrus spool list /var/spool/cirrus --queue example.com
  cirrus spool list /var/spool/cirrus --json | jq -r .sender | sort | uniq -c

Exit status: 0; 1 when something could not be read, or a node is running.
"""
_SHOW_MANUAL = """\
Show one message of a spool: its envelope, metadata and headers.

Exit status: 0; 1 when there is no such message, it cannot be read, or a node is running.
"""
_EXPORT_MANUAL = """\
Write messages of a spool into files.

Each is written as ID.eml, the content as it would be sent, with ID.json beside it: envelope,
metadata, schedule and the last reply. Files appear whole or not at all, are readable by their owner
only, and never replace others without --force. The spool stays as it is: what a node still
delivers from it is a second copy.

\b
Examples:
  cirrus spool export /var/spool/cirrus 0190b7c1a8f27000b1e64f0a5d2c9e77 --to rescue
  cirrus spool export /var/spool/cirrus --tenant acme --to rescue
  cirrus spool export /var/spool/cirrus --all --to rescue

Exit status: 0; 1 when a message could not be read or written (the others are), or a node is
running; 2 for wrong usage.
"""
_VERIFY_MANUAL = """\
Check that a spool is sound.

Every envelope has to decode and every body to be there, readable and as long as its envelope says;
bodies that belong to no message, and what is kept for messages that are not there, are found too.
Findings are printed one a line: kind, id and text. Nothing is changed. All content is read once;
some 300 octets of memory are needed for each message.

Exit status: 0 when all is well; 1 when there is a finding, or a node is running.
"""

_PATH = click.argument("path", type=click.Path(file_okay=False, path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def _spool_id(text: str) -> SpoolId:
    """Return the id that an operator means.

    Raises:
        ValueError: It is none.
    """
    try:
        spool_id = bytes.fromhex(text)
    except ValueError:
        spool_id = b""
    if len(spool_id) != 16:
        raise ValueError(f"an id has 32 hexadecimal digits, not {text!r}")
    return SpoolId(spool_id)


_ID = Parsed("id", _spool_id)
_FILTERS = (
    ("queue", "NAME", "Messages of this queue."),
    ("domain", "DOMAIN", "Of queues of this domain or routing domain."),
    ("tenant", "NAME", "Of this tenant."),
    ("campaign", "NAME", "Of this campaign."),
    ("sender", "ADDRESS", "From this envelope sender."),
    ("recipient", "ADDRESS", "For this recipient."),
)


def _filter_options(command: _F) -> _F:
    for name, metavar, text in reversed(_FILTERS):
        command = click.option(f"--{name}", metavar=metavar, help=text)(command)
    return command


@click.group("spool", help=_MANUAL, short_help="Look at the spool of a node that is stopped.")
def spool() -> None:
    """Look at the spool of a node that is stopped."""


@spool.command("list", help=_LIST_MANUAL, short_help="List messages.")
@_PATH
@_filter_options
@_JSON
def list_messages(path: Path, as_json: bool, **filters: str | None) -> int:
    """List messages."""
    now_at = Clock().wall()
    losses = _Losses()
    with SpoolReader(path) as reader:
        for found in _wanted(reader, MessageFilter(**filters), losses):
            if as_json:
                click.echo(_json(describe(found.spool_id, found.envelope)))
            else:
                click.echo(list_line(found.spool_id, found.envelope, now_at))
    return losses.status


@spool.command("show", help=_SHOW_MANUAL, short_help="Show a message.")
@_PATH
@click.argument("spool_id", metavar="ID", type=_ID)
@_JSON
def show_message(path: Path, spool_id: SpoolId, as_json: bool) -> int:
    """Show a message."""
    with SpoolReader(path) as reader:
        envelope = _load(reader, spool_id)
        try:
            content = envelope.prefix + reader.load_body(envelope.body_id)
            trouble = None
        except SpoolEntryDamagedError as error:
            content, trouble = envelope.prefix, str(error)
    headers = content[: header_end(content)].decode("utf-8", "replace")
    shown = describe(spool_id, envelope)
    if as_json:
        click.echo(_json({**shown, "headers": headers}))
    else:
        for name, value in shown.items():
            text = value if isinstance(value, str) else _json(value)
            click.echo(f"{name + ':':<17}{printable(text)}")
        click.echo()
        for line in headers.splitlines():
            click.echo(printable(line.expandtabs()))
    if trouble is not None:
        _say(f"{spool_id.hex()}: {trouble}")
    return FINE if trouble is None else FAILED


@spool.command("export", help=_EXPORT_MANUAL, short_help="Write messages into files.")
@_PATH
@click.argument("spool_ids", metavar="[ID]...", nargs=-1, type=_ID)
@click.option("--all", "takes_all", is_flag=True, help="All messages.")
@_filter_options
@click.option(
    "--to",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write into; made if there is none.",
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def export_messages(
    path: Path,
    spool_ids: tuple[SpoolId, ...],
    takes_all: bool,
    folder: Path,
    force: bool,
    **filters: str | None,
) -> int:
    """Write messages into files."""
    given = sum((bool(spool_ids), takes_all, any(filters.values())))
    if given != 1:
        raise click.UsageError("say which: either ids, or --all, or --queue, --sender, ...")
    losses = _Losses()
    with SpoolReader(path) as reader:
        target = MailFolder(folder, overwrites=force)
        found: Iterator[StoredMessage] = (
            _named(reader, spool_ids, losses)
            if spool_ids
            else _wanted(reader, MessageFilter(**filters), losses)
        )
        count = 0
        for one in found:
            try:
                content = one.envelope.prefix + reader.load_body(one.envelope.body_id)
                target.put(one.spool_id.hex(), content, describe(one.spool_id, one.envelope))
                count += 1
            except (SpoolEntryDamagedError, ExistsAlreadyError) as error:
                losses.note(f"{one.spool_id.hex()}: {error}")
    click.echo(f"{count} messages are in {folder}", err=True)
    return losses.status


@spool.command("verify", help=_VERIFY_MANUAL, short_help="Check that it is sound.")
@_PATH
@_JSON
def verify(path: Path, as_json: bool) -> int:
    """Check that a spool is sound."""
    count = 0
    with SpoolReader(path) as reader:
        check = SpoolCheck(reader, _progress if sys.stderr.isatty() else lambda _check: None)
        for finding in check.run():
            count += 1
            if as_json:
                found = {"kind": finding.kind.value, "id": finding.id, "text": finding.text}
                click.echo(_json(found))
            else:
                click.echo(f"{finding.kind:<18} {finding.id or '-':<32} {printable(finding.text)}")
    click.echo(
        f"{check.messages:,} messages, {check.bodies:,} bodies of {check.octets:,} octets: "
        f"{count:,} findings",
        err=True,
    )
    return FAILED if count else FINE


def _progress(check: SpoolCheck) -> None:
    if (check.messages + check.bodies) % PROGRESS_EVERY == 0:
        click.echo(f"\r{check.messages:,} messages, {check.bodies:,} bodies\r", err=True, nl=False)


class _Losses:
    """What could not be read or written.

    Attributes:
        status: The exit status that follows.
    """

    def __init__(self) -> None:
        self.status = FINE

    def note(self, text: str) -> None:
        self.status = FAILED
        _say(text)


def _wanted(reader: SpoolReader, wanted: MessageFilter, losses: _Losses) -> Iterator[StoredMessage]:
    for entry in reader.messages():
        if isinstance(entry, DamagedEntry):
            losses.note(f"{entry.spool_id.hex() or 'some messages'}: {entry.reason}")
        elif wanted.fits(entry.spool_id, entry.envelope):
            yield entry


def _named(
    reader: SpoolReader, spool_ids: tuple[SpoolId, ...], losses: _Losses
) -> Iterator[StoredMessage]:
    for spool_id in spool_ids:
        try:
            yield StoredMessage(spool_id, _load(reader, spool_id))
        except click.ClickException as error:
            losses.note(error.message)


def _load(reader: SpoolReader, spool_id: SpoolId) -> StoredEnvelope:
    try:
        envelope = reader.load(spool_id)
    except SpoolEntryDamagedError as error:
        raise click.ClickException(f"{spool_id.hex()}: {error}") from error
    if envelope is None:
        raise click.ClickException(f"{spool_id.hex()}: there is no such message")
    return envelope


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _say(text: str) -> None:
    click.echo(f"cirrus: {printable(text)}", err=True)
