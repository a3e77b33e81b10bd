"""Log hooks: records become queued messages for a sender of the script.

Place in flow: a sink of the recorder; gives the messages it makes to the spool and the queues
through ports.

Invariants:
    * A record about a message that was itself made from a record makes none: no loop.
    * At most ``back_pressure`` records wait; beyond that producers wait too. The end of a hook
      leaves no producer waiting, and no record in hand.
    * The message is written unsynced: losing the last second of hooks in a power cut is accepted,
      as it is for the records themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from engine.base.clock import Clock
from engine.model.errors import ConfigurationError, SpoolUnavailableError
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import FLAG_LOG_RECORD, Message, new_spool_id
from engine.records.record_selection import RecordSelection, make_selection
from engine.records.record_template import ANY_KIND, make_render

log = logging.getLogger("cirrus.records")

#: Pause before a record that the spool could not take is tried again, seconds.
RETRY_S = 1.0


class HookRecord(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is special about the records of one kind."""

    enable: bool = True
    template: str | None = None


def parse_hook_records(value: Any) -> dict[str, HookRecord]:
    """Return ``per_record`` of a log hook, checked.

    Raises:
        ValueError: A kind or an option is unknown, or a template has a mistake.
    """
    known = (ANY_KIND, *(kind.value for kind in RecordKind))
    try:
        records = msgspec.convert(value, dict[str, HookRecord])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    for kind, entry in records.items():
        if kind not in known:
            raise ValueError(f"no record type {kind!r}; known: {', '.join(known)}")
        try:
            make_render(entry.template)
        except ConfigurationError as error:
            raise ValueError(f"{kind}: {error}") from error
    return records


#: Port: ask the script, name the queue, store and insert; returns when the message is safe.
SubmitHook = Callable[[Message, str], Awaitable[None]]


class LogHookSink:
    """Makes a message of each record of one hook.

    Attributes:
        backlogged: Records that met the back pressure.
    """

    is_hook = True

    def __init__(
        self,
        name: str,
        clock: Clock,
        submit: SubmitHook,
        *,
        back_pressure: int,
        meta: tuple[str, ...],
        headers: tuple[str, ...],
        records: Mapping[str, HookRecord],
    ) -> None:
        self.name = name
        self.selection: RecordSelection = make_selection(list(meta), list(headers))
        self._clock = clock
        self._submit = submit
        self._limit = back_pressure
        default = records.get(ANY_KIND, HookRecord())
        entries = {kind: records.get(kind.value, default) for kind in RecordKind}
        self._renders = {
            kind: make_render(entry.template) for kind, entry in entries.items() if entry.enable
        }
        self._waiting: asyncio.Queue[Message] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._submitting = asyncio.Lock()
        self._is_closing = False
        self.backlogged = 0

    def wants(self, kind: RecordKind) -> bool:
        """Return whether records of this kind become messages."""
        return kind in self._renders

    def write(self, record: LogRecord, message: Message | None) -> None:
        """Make a message of a record."""
        recipients = [record.recipient] if isinstance(record.recipient, str) else record.recipient
        body = self._renders[record.kind](record)
        now = self._clock.wall()
        meta: dict[str, Any] = dict(record.meta)
        meta["log_record"] = msgspec.to_builtins(record)
        meta["reception_protocol"] = "LogRecord"
        made = Message(
            new_spool_id(int(now * 1e9)),
            record.sender,
            [one for one in recipients if one] or ["log-record@localhost"],
            data=body,
            size=len(body),
            created_at=now,
            due_mono=self._clock.mono(),
            meta=meta,
            flags=FLAG_LOG_RECORD,
        )
        self._waiting.put_nowait(made)
        if self.must_wait:
            self.backlogged += 1
            self._room.clear()

    @property
    def must_wait(self) -> bool:
        """Return whether producers should wait before making more records."""
        return self._waiting.qsize() >= self._limit

    async def wait_capacity(self) -> None:
        """Wait until there is room again."""
        await self._room.wait()

    async def run(self) -> None:
        """Submit messages until cancelled."""
        while True:
            message = await self._waiting.get()
            async with self._submitting:
                await self._hand_on(message)
            if not self.must_wait:
                self._room.set()

    async def _hand_on(self, message: Message) -> None:
        while True:
            try:
                await self._submit(message, self.name)
            except SpoolUnavailableError as error:
                if self._is_closing:
                    log.error("the log hook %s lost a record: %s", self.name, error)
                    return
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:  # boundary: record sink
                log.exception("the log hook %s lost a record", self.name)
            return

    async def drain(self) -> None:
        """Submit what still waits, for the hook's end; ``run`` may be cancelled afterwards."""
        self._is_closing = True
        # Whoever waits for room waits for nothing from now on.
        self._room.set()
        while not self._waiting.empty():
            await self._hand_on(self._waiting.get_nowait())
        # What ``run`` has in hand would be lost with it.
        async with self._submitting:
            pass
