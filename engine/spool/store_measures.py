"""What the store says of itself: properties of RocksDB, and how long reading takes.

Place in flow: ``engine.spool.disk_store`` has one; ``engine.node_metrics`` asks it.

Invariants: a database that is in trouble is not asked.
"""

from __future__ import annotations

from collections.abc import Callable

from rocksdict import Rdict

#: The gauges, and the property that each of them shows.
PROPERTIES = {
    "rocks_spool_actual_delayed_write_rate": "actual-delayed-write-rate",
    "rocks_spool_cache_total": "block-cache-usage",
    "rocks_spool_compaction_pending": "compaction-pending",
    "rocks_spool_estimate_pending_compaction_bytes": "estimate-pending-compaction-bytes",
    "rocks_spool_mem_table_readers_total": "estimate-table-readers-mem",
    "rocks_spool_mem_table_total": "size-all-mem-tables",
    "rocks_spool_mem_table_unflushed": "cur-size-all-mem-tables",
    "rocks_spool_num_running_compactions": "num-running-compactions",
    "rocks_spool_write_stopped": "is-write-stopped",
}


class StoreMeasures:
    """Measures of one store.

    Args:
        database: Returns the database, or None while there is none to ask.

    Attributes:
        note_body, note_envelope: Ports: told how long each read took, in seconds.
    """

    def __init__(self, database: Callable[[], Rdict | None]) -> None:
        self._database = database
        self.note_body: Callable[[float], None] = lambda _seconds: None
        self.note_envelope: Callable[[float], None] = lambda _seconds: None

    def note_read(self, key: bytes, seconds: float) -> None:
        """Note how long reading an entry took."""
        (self.note_body if key.startswith(b"b") else self.note_envelope)(seconds)

    def property(self, name: str) -> int | None:
        """Return a property of the database by the name of its gauge; None if it has none now."""
        database = self._database()
        if database is None:
            return None
        try:
            value: int | None = database.property_int_value(f"rocksdb.{PROPERTIES[name]}")
        except Exception:  # noqa: BLE001 - record sink boundary: rocksdict's only class
            # It was closed this very moment, by the thread that reopens it.
            return None
        return value
