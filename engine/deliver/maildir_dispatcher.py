"""Delivery into a maildir: one file a recipient, synced before it counts.

Place in flow: started by ``engine.ready.ready_queue`` for queues whose protocol is ``maildir``.

Invariants:
    * A file appears in ``new`` complete or not at all: it is written and synced in ``tmp`` first.
    * No part of a path that comes from a message can leave the folder it stands in.

Standard: the maildir convention (D. J. Bernstein); template names as in the reference.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.work import Circumstances, Services, Work
from engine.model.address import parse_address
from engine.model.disposition import Disposition
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply, make_reply

log = logging.getLogger("cirrus.deliver")

_FIELD = re.compile(
    r"\{\{\s*([a-z_]+(?:\.[A-Za-z0-9_]+)?)\s*\}\}|\{([a-z_]+(?:\.[A-Za-z0-9_]+)?)\}"
)
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")
_serial = itertools.count(1)
STORED = SmtpReply(200, None, "stored")


def expand_path(template: str, message: Message, recipient: str) -> Path:
    """Return the maildir of a recipient.

    Args:
        template: A path with ``{{ name }}`` or ``{name}``: queue, campaign, tenant, domain,
            routing_domain, email, local_part, domain_part, sender_email, sender_local_part,
            sender_domain_part, meta.NAME.
        message: The message.
        recipient: Its recipient.

    Raises:
        ValueError: A name is unknown or has no value.
    """
    parsed = parse_queue_name(message.queue_name)
    to, sender = parse_address(recipient), parse_address(message.sender)
    values: dict[str, Any] = {
        "queue": message.queue_name,
        "campaign": parsed.campaign,
        "tenant": parsed.tenant,
        "domain": parsed.domain,
        "routing_domain": parsed.routing_domain,
        "email": to.email,
        "local_part": to.user,
        "domain_part": to.domain,
        "sender_email": sender.email,
        "sender_local_part": sender.user,
        "sender_domain_part": sender.domain,
    }

    def fill(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        value = message.meta.get(name[5:]) if name.startswith("meta.") else values.get(name)
        if value is None:
            raise ValueError(f"the maildir path needs {name}, which the message has not")
        text = _UNSAFE.sub("_", str(value))
        # "." and ".." as a whole component would name another folder.
        return "_" + text.lstrip(".") if text.strip(".") == "" else text

    return Path(_FIELD.sub(fill, template))


def store_in_maildir(
    folder: Path, content: bytes, dir_mode: int | None, file_mode: int | None
) -> None:
    """Write a message into a maildir, durably. Runs in a thread.

    Raises:
        OSError: It could not be written; nothing is left in ``new``.
    """
    for part in ("tmp", "new", "cur"):
        (folder / part).mkdir(parents=True, exist_ok=True, mode=dir_mode or 0o755)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    name = f"{os.times().elapsed:.6f}".replace(".", "M") + f"P{os.getpid()}Q{next(_serial)}.{host}"
    name = f"{int.from_bytes(os.urandom(4), 'big'):08x}.{name}"
    temporary, final = folder / "tmp" / name, folder / "new" / name
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode or 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        parent = os.open(folder / "new", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


class MaildirDispatcher:
    """Writes messages of one ready queue into maildirs."""

    def __init__(self, work: Work, services: Services) -> None:
        self._work = work
        self._services = services
        self._message: Message | None = None
        self.session_id = ""
        self.started_mono = self.progress_mono = services.clock.mono()
        self.phase = "Starting"

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        work = self._work
        try:
            while work.may_work():
                message = work.take_nowait() or await work.wait_message(work.path.idle_timeout_s)
                if message is None:
                    return
                self._message = message
                self.progress_mono = self._services.clock.mono()
                await self._store(message)
        except asyncio.CancelledError:
            self._give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError:
            self._give_back(InsertReason.SPOOL_UNHEALTHY)

    def _give_back(self, reason: InsertReason) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._services.give_back(message, reason, None)

    async def _store(self, message: Message) -> None:
        services, work = self._services, self._work
        try:
            body = message.data or services.store.load_body(message.body_id)
        except SpoolEntryDamagedError as error:
            self._message = None
            services.drop_damaged(message, str(error))
            return
        content = (message.prefix + body).replace(b"\r\n", b"\n")
        outcomes = [await self._store_one(message, one, content) for one in message.recipients]
        where = Circumstances(work.name, work.site_name, work.source.name, "Maildir")
        self._message = None
        await services.settle(message, outcomes, where, True)

    async def _store_one(
        self, message: Message, recipient: str, content: bytes
    ) -> RecipientOutcome:
        protocol = self._work.protocol
        try:
            folder = expand_path(protocol.path, message, recipient)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(
                None, store_in_maildir, folder, content, protocol.dir_mode, protocol.file_mode
            )
        except (OSError, ValueError) as error:
            log.error("cannot store %s for %s: %s", message.id, recipient, error)
            reply = make_reply(451, "4.3.0 the maildir cannot be written")
            return RecipientOutcome(recipient, reply, "", Disposition.DEFERRED)
        return RecipientOutcome(recipient, STORED, "", Disposition.DELIVERED)
