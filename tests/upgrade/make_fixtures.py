"""Write a spool and a log segment as this version writes them, for later versions to read.

Run once for each format that was released, in the root of the project::

    .venv/bin/python -m tests.upgrade.make_fixtures

The files that are there stay as they are for good: they are what older nodes left behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from engine.base.clock import Clock
from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    SourceAddress,
    encode_record,
)
from engine.model.message import FLAG_8BIT, FLAG_HELD, FLAG_LOG_RECORD, Message, SpoolId
from engine.model.schedule_window import parse_schedule
from engine.records.segment_file import SegmentFile
from engine.spool.disk_store import DiskStore

HERE = Path(__file__).parent
#: What RocksDB says about itself: of no use to a reader, and full of this machine's ways.
_DIAGNOSTICS = ("LOG", "LOCK")
CREATED_AT = 1_800_000_000.0
#: Both clocks stand still, so that due times are whole.
CLOCK = Clock(lambda: 0.0, lambda: CREATED_AT)
SCHEDULE = {
    "first_attempt": "2027-01-15T08:00:00Z",
    "expires": "2027-01-20T08:00:00Z",
    "dow": "Mon,Tue",
    "tz": "UTC",
    "start": "09:00:00",
    "end": "17:00:00",
}


def spool_id(number: int) -> SpoolId:
    return SpoolId(bytes.fromhex(f"01a3185c50007000800000000000{number:04x}"))


def make(number: int, body: bytes, **changes) -> Message:
    """Return a message whose sender tells its number."""
    recipients = changes.pop("recipients", ["b@y.test"])
    message = Message(
        spool_id(number),
        f"number-{number}@x.test",
        recipients,
        data=body,
        size=len(body),
        created_at=CREATED_AT,
        **changes,
    )
    message.prefix = b"Received: by mx.test\r\n"
    return message


async def fill_tables(folder: Path) -> None:
    """Store what an orderly stop leaves in table files."""
    store = DiskStore(folder, CLOCK, asyncio.get_running_loop())
    store.open()
    plain = make(1, b"Subject: plain\r\n\r\n1\r\n", meta={"tenant": "t", "n": 1, "deep": [1, {}]})
    gone = make(2, b"Subject: gone\r\n\r\n2\r\n")
    shared = [
        make(3 + index, b"Subject: shared\r\n\r\n3\r\n", body_id=spool_id(100))
        for index in range(3)
    ]
    held = make(
        6,
        b"Subject: \xe4\r\n\r\n6\r\n",
        flags=FLAG_8BIT | FLAG_HELD | FLAG_LOG_RECORD,
        attempts=7,
        due_mono=3600.0,
        recipients=["b@y.test", "c@y.test"],
        schedule=parse_schedule(SCHEDULE),
    )
    for messages in ([plain], [gone], shared, [held]):
        await store.commit(messages)
    store.remove(gone)
    store.remove(shared[0])
    await store.close()


async def leave_log(folder: Path) -> None:
    """Store what a crash leaves in the write-ahead log, and die."""
    store = DiskStore(folder, CLOCK, asyncio.get_running_loop())
    store.open()
    late = make(7, b"Subject: late\r\n\r\n7\r\n")
    damaged = make(8, b"Subject: damaged\r\n\r\n8\r\n")
    await store.commit([late])
    await store.commit([damaged])
    late.attempts = 1
    store.update(late)
    store.quarantine(damaged.spool_id)
    os._exit(0)


def make_spool(target: Path) -> None:
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        asyncio.run(fill_tables(Path("spool")))
        child = os.spawnv(
            os.P_WAIT,
            sys.executable,
            [sys.executable, "-c", _CHILD.format(root=str(here))],
        )
        assert child == 0
        os.chdir(here)
        spool = Path(folder) / "spool"
        for name in _DIAGNOSTICS:
            for file in (spool / "db").glob(f"{name}*"):
                file.unlink()
        (spool / "owner").write_text("")
        (spool / "refused").write_bytes(b"\x11b" + spool_id(7)[:15] + b"\xff\0")
        with tarfile.open(target, "w:xz") as archive:
            archive.add(spool, "spool", filter=_anonymous)


_CHILD = """
import asyncio, sys; sys.path.insert(0, {root!r})
from pathlib import Path
from tests.upgrade.make_fixtures import leave_log
asyncio.run(leave_log(Path("spool")))
"""


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def make_segment(target: Path) -> None:
    record = LogRecord(
        kind=RecordKind.DELIVERY,
        record_id="0" * 31 + "1",
        id="a" * 32,
        sender="a@x.test",
        recipient=["b@y.test", "c@y.test"],
        queue="campaign:tenant@y.test",
        site="pool->mx.y.test",
        ready_queue="pool->mx.y.test@smtp_client",
        site_name="mx.y.test",
        size=1234,
        response=Response(250, EnhancedCode(2, 0, 0), "ok", "."),
        peer_address=PeerAddress("mx.y.test", "192.0.2.1"),
        timestamp=1_800_000_000,
        event_time="2027-01-15T08:00:00.123456Z",
        created=1_799_999_999,
        created_time="2027-01-15T07:59:59Z",
        num_attempts=2,
        egress_pool="pool",
        egress_source="source",
        source_address=SourceAddress("192.0.2.9:40000"),
        meta={"tenant": "t"},
        headers={"Subject": "s"},
        delivery_protocol="ESMTP",
        reception_protocol="ESMTP",
        nodeid="00000000-0000-4000-8000-000000000000",
        tls_cipher="TLS_AES_256_GCM_SHA384",
        tls_protocol_version="TLSv1.3",
        tls_peer_subject_name=["CN=mx.y.test"],
        provider_name="provider",
        session_id="s-1",
    )
    rejection = LogRecord(kind=RecordKind.REJECTION, record_id="0" * 31 + "2", recipient="")
    with tempfile.TemporaryDirectory() as folder:
        segment = SegmentFile(Path(folder), "", opened_at=CREATED_AT)
        segment.write(encode_record(record))
        segment.write(encode_record(rejection))
        segment.finish()
        shutil.copyfile(segment.path, target)


if __name__ == "__main__":
    make_spool(HERE / "spool-1.tar.xz")
    make_segment(HERE / "segment-1.zst")
