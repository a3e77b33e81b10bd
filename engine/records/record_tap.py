"""Shows log records to those who watch while they happen; nothing is in the way while nobody does.

Place in flow: a sink of ``engine.records.recorder`` while ``engine.base.record_hub`` has readers.

Invariants:
    * While nobody watches the recorder does not know of it: that costs a record nothing.
    * Nobody who watches makes a producer wait: what is too much is missed by its reader.
    * Who watches sees the metadata that other sinks have when the first begins to; never headers,
      for which bodies would have to be read.
"""

from __future__ import annotations

from engine.base.record_hub import RecordHub, SeenRecord
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message
from engine.records.record_selection import RecordSelection
from engine.records.recorder import Recorder


class RecordTap:
    """Joins a recorder and those who watch.

    Args:
        recorder: Makes the records.
        hub: Who watches.
    """

    is_hook = False
    must_wait = False

    def __init__(self, recorder: Recorder, hub: RecordHub) -> None:
        self.selection = RecordSelection()
        self._recorder = recorder
        self._hub = hub
        hub.on_switch = self._switch

    def _switch(self, is_on: bool) -> None:
        if is_on:
            self.selection = metadata_of([sink.selection for sink in self._recorder.sinks])
            self._recorder.add_sink(self)
        else:
            self._recorder.remove_sink(self)

    def wants(self, _kind: RecordKind) -> bool:
        """Return that it takes all kinds."""
        return True

    def write(self, record: LogRecord, _message: Message | None) -> None:
        """Show a record to those who want it."""
        self._hub.publish(SeenRecord(record))

    async def wait_capacity(self) -> None:
        """Return at once: nobody waits for readers."""


def metadata_of(selections: list[RecordSelection]) -> RecordSelection:
    """Return what selects all metadata that any of the selections does, and no header."""
    names = [name for one in selections for name in one.meta_names]
    prefixes = [prefix for one in selections for prefix in one.meta_prefixes]
    return RecordSelection(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(prefixes)))
