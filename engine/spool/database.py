"""RocksDB as the spool uses it: its options, its batches, and what its errors mean.

Place in flow: under ``engine.spool.disk_store`` and its neighbours; nothing outside this package
knows rocksdict.

Known limit: rocksdict raises one class of exception and holds the interpreter lock in ``write``,
``get``, iteration and opening; ``flush_wal`` and ``close`` release it. Errors are told apart by the
first words of RocksDB's status, which are constant; paths and causes follow later in the text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rocksdict import AccessType, DBCompressionType, Options, Rdict, WriteBatch

#: Octets of one memtable. Mail is mostly gone before it is full, so dead messages never reach a
#: table file; several may wait while a slow disk writes one. Their logs stay on disk as long, hence
#: less on a small disk: it would be full of logs while the spool is empty.
MEMTABLE_BYTES_MAX = 32 << 20
MEMTABLE_BYTES_MIN = 1 << 20
MEMTABLE_PART_OF_DISK = 128
MEMTABLES_MAX = 6
#: A table file is compacted when so many of so many neighbouring entries are deletions. Without
#: this, delivered mail keeps its space until much more mail has come: a full disk stays full.
DELETIONS_WINDOW, DELETIONS_TRIGGER = 128, 64
#: Free space below which it is short: well above the floor at which no mail is taken.
SHORT_PART_OF_DISK, SHORT_BYTES = 4, 8 << 30

#: Keys and values to write; None deletes.
Writes = dict[bytes, bytes | None]


def open_database(folder: Path) -> Rdict:
    """Return the database of a folder; made when there is none."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_memtable_bytes(folder))
    options.set_max_write_buffer_number(MEMTABLES_MAX)
    options.set_level_zero_slowdown_writes_trigger(40)
    options.set_level_zero_stop_writes_trigger(80)
    options.add_compact_on_deletion_collector_factory(DELETIONS_WINDOW, DELETIONS_TRIGGER, 0.0)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.none())
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(4 << 20)
    options.set_max_open_files(512)
    return Rdict(str(folder), options)


def open_read_only(folder: Path) -> Rdict:
    """Return the database of a folder for reading: nothing in the folder is changed."""
    options = Options(raw_mode=True)
    options.create_if_missing(False)
    options.set_max_open_files(512)
    return Rdict(str(folder), options, access_type=AccessType.read_only())


def _memtable_bytes(folder: Path) -> int:
    disk = os.statvfs(folder.parent)
    part = disk.f_blocks * disk.f_frsize // MEMTABLE_PART_OF_DISK
    return max(MEMTABLE_BYTES_MIN, min(MEMTABLE_BYTES_MAX, part))


def is_short_of_space(folder: Path) -> bool:
    """Return whether so little is free that dead mail should give its space back now."""
    disk = os.statvfs(folder)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return free < min(total // SHORT_PART_OF_DISK, SHORT_BYTES)


def batch_of(writes: Mapping[bytes, bytes | None]) -> WriteBatch:
    """Return one atomic batch of writes."""
    batch = WriteBatch(raw_mode=True)
    for key, value in writes.items():
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def is_stall(error: Exception) -> bool:
    """Return whether a write was turned away because the disk does not follow; nothing is wrong."""
    return str(error).startswith("Result incomplete")


def is_corruption(error: Exception) -> bool:
    """Return whether what is stored is damaged, as opposed to out of reach."""
    return str(error).startswith("Corruption")
