"""Delivery into a maildir: one file a recipient, synced before it counts.

Place in flow: started by ``engine.dispatching`` for queues whose protocol is ``maildir``.

Invariants:
    * A file appears in ``new`` complete or not at all: it is written and synced in ``tmp`` first.
    * No part of a path that comes from a message can leave the folder it stands in.
    * Whoever has a file gets no second one because of another recipient's trouble.

Standard: the maildir convention (D. J. Bernstein); template names as in the reference.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.work import Services, Work
from engine.model.address import parse_address
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.model.queue_config import PATH_FIELD
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply, make_reply

log = logging.getLogger("cirrus.deliver")

_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")
_serial = itertools.count(1)
STORED = SmtpReply(200, None, "stored")
#: How long a cancelled dispatcher waits for the file under way, seconds.
CANCEL_WAIT_S = 2.0
#: Threads of their own: a file system that hangs must not hold up who else uses threads.
_threads = ThreadPoolExecutor(8, thread_name_prefix="maildir")


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

    return Path(PATH_FIELD.sub(fill, template))


def store_in_maildir(
    folder: Path, content: bytes, dir_mode: int | None, file_mode: int | None, wall_at: float
) -> None:
    """Write a message into a maildir, durably. Runs in a thread.

    Args:
        folder: The maildir; made if need be, its parents too.
        content: The message with the line ends of this system.
        dir_mode: Mode of the folders of a new maildir.
        file_mode: Mode of the file.
        wall_at: The present, in seconds since the Unix epoch.

    Raises:
        OSError: It could not be written; nothing is left in ``new``.
    """
    for part in ("tmp", "new", "cur"):
        _make_folder(folder / part, dir_mode or 0o755)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    random = int.from_bytes(os.urandom(4), "big")
    second, fraction = divmod(wall_at, 1)
    unique = f"M{int(fraction * 1e6)}P{os.getpid()}Q{next(_serial)}R{random:08x}"
    name = f"{int(second)}.{unique}.{host}"
    temporary, final = folder / "tmp" / name, folder / "new" / name
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode or 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        _sync_folder(final.parent)
    except OSError:
        # After a failed sync nobody knows whether the name is on the disk: it is tried again.
        temporary.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        raise


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder and what is above it, so that the names survive a loss of power."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_folder(folder.parent, mode)
    folder.mkdir(exist_ok=True, mode=mode)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MaildirDispatcher(OutgoingSession):
    """Writes messages of one ready queue into maildirs."""

    def __init__(self, work: Work, services: Services) -> None:
        super().__init__(work, services)
        self._stored: list[RecipientOutcome] = []

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            while (message := await self._next()) is not None:
                self._hand.take(message)
                if not await self._has_turn():
                    return
                self._enter("DeliveringMessage")
                await self._store(message)
                self._gate.use_turn()
        except asyncio.CancelledError:
            await self._give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError:
            await self._give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            await self._give_back(InsertReason.DISPATCHER_DROP)
        finally:
            self._gate.return_turn()

    async def _give_back(self, reason: InsertReason) -> None:
        """Give back what is in hand; who has a file already is noted before."""
        stored, self._stored = self._stored, []
        for message in list(self._hand.messages):
            if stored:
                try:
                    await self._hand.settle(message, stored, self._circumstances(), final=False)
                except Exception:  # boundary: dispatcher
                    log.exception("cannot note what became of %s", message.id)
        self._hand.give_back(reason)

    async def _store(self, message: Message) -> None:
        try:
            body = message.data
            if body is None:
                body = self._services.store.load_body(message.body_id)
        except SpoolEntryDamagedError as error:
            self._hand.drop(message)
            self._services.drop_damaged(message, str(error))
            return
        content = (message.prefix + body).replace(b"\r\n", b"\n")
        for recipient in dict.fromkeys(message.recipients):
            self._stored.append(await self._store_one(message, recipient, content))
            self._enter("DeliveringMessage")
        outcomes, self._stored = self._stored, []
        await self._hand.settle(message, outcomes, self._circumstances())

    def _circumstances(self) -> Circumstances:
        work = self._work
        return Circumstances(
            work.name,
            work.site_name,
            work.source.name,
            "Maildir",
            provider_name=work.path.provider_name,
            session_id=self.session_id,
            began_mono=self._hand.taken_mono,
        )

    async def _store_one(
        self, message: Message, recipient: str, content: bytes
    ) -> RecipientOutcome:
        protocol = self._work.protocol
        try:
            folder = expand_path(protocol.path, message, recipient)
            wall_at = self._services.clock.wall()
            modes = protocol.dir_mode, protocol.file_mode
            await self._in_thread(
                recipient, partial(store_in_maildir, folder, content, *modes, wall_at)
            )
        except (OSError, ValueError) as error:
            log.error("cannot store %s for %s: %s", message.id, recipient, error)
            reply = make_reply(451, "4.3.0 the maildir cannot be written")
            return RecipientOutcome(recipient, reply, "", Disposition.DEFERRED)
        return _stored(recipient)

    async def _in_thread(self, recipient: str, write: Callable[[], None]) -> None:
        """Write in a thread; a cancellation waits for the file, so that nobody gets it twice."""
        writing = asyncio.get_running_loop().run_in_executor(_threads, write)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing], timeout=CANCEL_WAIT_S)
            if writing.done() and writing.exception() is None:
                self._stored.append(_stored(recipient))
            raise


def _stored(recipient: str) -> RecipientOutcome:
    return RecipientOutcome(recipient, STORED, "", Disposition.DELIVERED)
