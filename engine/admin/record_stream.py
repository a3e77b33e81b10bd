"""Log records of a node watched as they happen.

Place in flow: a stream of ``engine.admin.event_stream``; subscribes to ``engine.base.record_hub``.

Each record is a text frame, as it is in log files; ``{"missed": 150}`` says that so many came
faster than they were read.
"""

from __future__ import annotations

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.event_stream import EventStream
from engine.base.event_hub import Subscription
from engine.base.record_hub import SeenRecord
from engine.model.record_filter import RecordFilter, compile_filter

PATH = "/api/admin/records/v1"


def _subscribe(node: AdminNode, wanted: RecordFilter) -> Subscription[SeenRecord]:
    return node.tracing.records.subscribe(compile_filter(wanted, node.clock.wall()))


def _show(seen: SeenRecord, _wanted: RecordFilter) -> str:
    return seen.line.decode().rstrip("\n")


def _show_missed(count: int, _at: float) -> str:
    return msgspec.json.encode({"missed": count}).decode()


#: For ``engine.admin.event_stream.watch``, which leaves an entry in the audit log.
RECORDS = EventStream(
    act="watch-records",
    path=PATH,
    summary="Watch log records, websocket",
    kind=RecordFilter,
    hub=lambda node: node.tracing.records,
    subscribe=_subscribe,
    show=_show,
    show_missed=_show_missed,
)
