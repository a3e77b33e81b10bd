"""The receiving half of a node in the test's own process: listener, admission, script, records.

Everything is real but the spool (in memory) and what comes after it (a list). Time is the loop's,
so a client timeout of an hour passes in a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from engine.base.clock import loop_clock
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.base.trace_hub import Tracing
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import ScriptHelpers
from engine.hooks import HOOKS
from engine.model.listener_options import ListenerOptions
from engine.model.log_record import LogRecord, RecordKind, encode_record
from engine.model.message import Message
from engine.receive.admission import Admission
from engine.receive.smtp_listener import SmtpListener, TlsContexts
from engine.records.record_selection import make_selection
from engine.records.recorder import Recorder
from engine.script_api import ScriptApi
from engine.spool.memory_store import MemoryStore
from engine.throttle.limiter import MemoryLimiter
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace

HEADER = "import mta\nfrom mta import on\n\n"
#: No step of a test takes longer than this, in the loop's (virtual) seconds.
PATIENCE_S = 7200.0


class ListSink:
    """Keeps the records it is given."""

    is_hook = False
    must_wait = False

    def __init__(self) -> None:
        self.selection = make_selection()
        self.records: list[LogRecord] = []

    def wants(self, kind: RecordKind) -> bool:
        return True

    def write(self, record: LogRecord, message: Message | None) -> None:
        self.records.append(record)

    async def wait_capacity(self) -> None:
        return


class GatedStore(MemoryStore):
    """A store whose commits wait while the gate is shut."""

    def __init__(self, wall_of: Callable[[float], float]) -> None:
        super().__init__(wall_of)
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def commit(self, messages: Any, *, relaxed: bool = False) -> None:
        self.entered.set()
        await self.gate.wait()
        await super().commit(messages, relaxed=relaxed)


class SmtpNode:
    """What sessions need from a node, and what they made of it.

    Attributes:
        taken: Messages given to the queues, in order.
    """

    def __init__(self, folder: Path, script: str, listener: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop_clock(loop)
        self.supervisor = Supervisor()
        self.metrics = Metrics(ENGINE_METRICS)
        self.memory = MemoryGuard({"CIRRUS_MEMORY_HARD_LIMIT": str(1 << 50)})
        self.tracing = Tracing()
        self.relaxed = False
        self.node_id = "node-1"
        self.trouble: str | None = None
        self.sink = ListSink()
        self.recorder = Recorder(self.clock, "node-1", "mx.test")
        self.recorder.add_sink(self.sink)
        self.store = GatedStore(self.clock.wall_of)
        self.taken: list[Message] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        limiter = MemoryLimiter(self.clock.mono)
        self.api = ScriptApi(limiter)
        namespace = ScriptNamespace()
        self.api.expose(namespace, version="test")
        self.runtime = PolicyRuntime(
            HOOKS,
            namespace,
            mono=self.clock.mono,
            report=lambda *report: self.reports.append(report),
        )
        ScriptHelpers(self.api, self.runtime, limiter).expose(namespace)
        self._check = DryCheck(self.runtime, self.api)
        self._path = folder / "init.py"
        self._listener_options = {"listen": "127.0.0.1:0", "hostname": "mx.test", **listener}
        self.load(script)
        self._tls = TlsContexts(self.clock.mono)
        self.admission = Admission(self, self.taken.append)
        (options,) = self._check.declarations.listeners.values()
        self.listener = SmtpListener(options, self)

    def load(self, script: str) -> None:
        """Load a script and make it current."""
        declare = f"mta.start_esmtp_listener(**{self._listener_options!r})"
        init = f"\n\n@on('init')\ndef init():\n    {declare}\n"
        self._path.write_text(HEADER + textwrap.dedent(script) + init, encoding="utf-8")
        self.runtime.swap(self.runtime.load(self._path, dry_check=self._check))

    def gate(self) -> str | None:
        return self.trouble

    def tls_context(self, options: ListenerOptions) -> Any:
        return self._tls.context(options)

    # -- what the tests look at

    def records(self, kind: RecordKind) -> list[LogRecord]:
        return [record for record in self.sink.records if record.kind is kind]

    @property
    def rejections(self) -> list[LogRecord]:
        return self.records(RecordKind.REJECTION)

    def records_text(self) -> bytes:
        return b"\n".join(encode_record(record) for record in self.sink.records)

    def content(self, index: int = -1) -> bytes:
        """Return what would be sent of a message taken."""
        message = self.taken[index]
        assert message.data is not None
        return message.prefix + message.data

    def bodies(self) -> list[bytes | None]:
        """Return the content of all messages taken without what was put in front."""
        return [message.data for message in self.taken]

    # -- clients

    async def connect(self, *, tls: bool = False, local: str | None = None) -> Client:
        host, port = self.listener.address
        context = client_tls() if tls else None
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, local_addr=(local, 0) if local else None, limit=1 << 24
        )
        return Client(reader, writer)

    async def greeted(self, *, local: str | None = None, hello: bytes = b"EHLO c.test") -> Client:
        """Return a client after banner and EHLO."""
        client = await self.connect(local=local)
        assert (await client.reply()).code == 220
        if hello:
            assert (await client.command(hello)).code == 250
        return client

    async def over_tls(self) -> Client:
        """Return a client after STARTTLS and a second EHLO."""
        client = await self.greeted()
        assert (await client.command(b"STARTTLS")).code == 220
        await client.start_tls()
        assert (await client.command(b"EHLO c.test")).code == 250
        return client


class Reply:
    """A whole reply: its code and the text of its lines."""

    def __init__(self, code: int, lines: list[str]) -> None:
        self.code = code
        self.lines = lines
        self.text = "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.code} {self.text}"


class Client:
    """One end of a connection, with nothing between the test and the octets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def send_slowly(self, octets: bytes) -> None:
        """Send each octet in a segment of its own."""
        for index in range(len(octets)):
            self.writer.write(octets[index : index + 1])
            # The listener runs on this loop: it reads the octet before the next is written.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def reply(self) -> Reply:
        lines: list[str] = []
        while True:
            async with asyncio.timeout(PATIENCE_S):
                line = await self.reader.readline()
            assert line, f"the connection ended after {lines}"
            assert line.endswith(b"\r\n"), line
            assert len(line) <= 512, line
            text = line[:-2].decode()
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), lines)

    async def command(self, line: bytes) -> Reply:
        await self.send(line + b"\r\n")
        return await self.reply()

    async def codes(self, *lines: bytes) -> list[int]:
        """Return the codes of the replies to commands sent one after the other."""
        return [(await self.command(line)).code for line in lines]

    async def deliver(
        self, body: bytes, *, sender: bytes = b"a@x.test", to: tuple[bytes, ...] = (b"b@y.test",)
    ) -> Reply:
        """Send a message (dots are the caller's) and return the reply to its end."""
        assert (await self.command(b"MAIL FROM:<" + sender + b">")).code == 250
        for recipient in to:
            assert (await self.command(b"RCPT TO:<" + recipient + b">")).code == 250
        assert (await self.command(b"DATA")).code == 354
        await self.send(body + b".\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def start_tls(self) -> None:
        await self.writer.start_tls(client_tls())

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


def client_tls() -> ssl.SSLContext:
    """Return a client's context that takes a self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def smtp_node(folder: Path, script: str = "", **listener: Any) -> AsyncIterator[SmtpNode]:
    """Run a node's receiving half; nothing of it is left afterwards."""
    node = SmtpNode(folder, script, listener)
    await node.listener.start()
    try:
        yield node
    finally:
        node.listener.stop_accepting()
        for session in list(node.listener.sessions):
            session.abort()
        await node.supervisor.wait_empty(5.0)
        await node.supervisor.stop()
        assert node.supervisor.defects == 0, "a session ended with an unknown error"
