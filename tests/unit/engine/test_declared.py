"""What init declared, carried out again at each reload: only differences are touched."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.base.disk_guard import DiskGuard, Floor
from engine.declared import Declared
from engine.model.cidr import CidrSet
from engine.model.errors import ConfigurationError, EngineError
from engine.model.listener_options import ListenerOptions
from engine.script_declarations import (
    AutomationDeclaration,
    Declarations,
    HttpListenerDeclaration,
    SharedLimitsDeclaration,
    SpoolDeclaration,
    TracingDeclaration,
)
from tests.fakes.smtp_node import smtp_node


class DeclaringNode:
    """A node's receiving half with the little more that declarations touch."""

    def __init__(self, node: Any) -> None:
        self.resolver_sets: list[Declarations] = []
        self.memory = SimpleNamespace(
            limits=None,
            set_limits=lambda limits: setattr(self.memory, "limits", dict(limits)),
            grow=lambda octets: None,
        )
        self.admin = SimpleNamespace(
            add_to=lambda service: None,
            note_denied=None,
            tracing=SimpleNamespace(add_to=lambda service: None),
        )
        self.transfers = SimpleNamespace(add_to=lambda service: None)
        floors = Floor(None, 0), Floor(None, 0)
        self.disk_guards = [DiskGuard(Path("/"), *floors, lambda: 0.0)]
        self.hostname = "mx.test"
        self.version = "1.2.3"
        self.liveness = lambda: None
        self.automations: list[AutomationDeclaration | None] = []
        self.automation = SimpleNamespace(reconcile=self._reconcile, close=_close)
        self.shared: list[SharedLimitsDeclaration | None] = []
        self.consoles = SimpleNamespace(reconcile=self._open_consoles, close=_close)
        self.shared_limits = SimpleNamespace(reconcile=self._share, close=_close)
        self.traced: list[TracingDeclaration | None] = []
        self.span_tracing = SimpleNamespace(reconcile=self._trace, close=_close)
        self._node = node

    async def _reconcile(self, declared: AutomationDeclaration | None, _spool: Any) -> None:
        self.automations.append(declared)

    async def _open_consoles(self, declared: Any) -> None:
        self.consoles_declared = dict(declared)

    async def _share(self, declared: SharedLimitsDeclaration | None) -> None:
        self.shared.append(declared)

    async def _trace(self, declared: TracingDeclaration | None) -> None:
        self.traced.append(declared)

    def set_resolver(self, declarations: Declarations) -> None:
        self.resolver_sets.append(declarations)

    def submit_hook(self, *args: Any) -> None:
        raise AssertionError("no hook is expected to fire")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


async def _close() -> None:
    return None


@pytest.fixture
async def declared(tmp_path):
    async with smtp_node(tmp_path) as node:
        made = Declared(DeclaringNode(node))
        yield made
        await made.stop_listeners(0.1)
        await made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def declarations(*ports: int, banner: str = "Cirrus", **rest: Any) -> Declarations:
    made = Declarations(spool=SpoolDeclaration(path="x"), **rest)
    for port in ports:
        made.listeners["127.0.0.1", port] = ListenerOptions(
            listen=("127.0.0.1", port), banner=banner, hostname="mx.test"
        )
    return made


async def banner_of(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = await reader.readline()
    writer.close()
    return line.decode().strip()


async def test_listeners_are_added_changed_and_removed(declared):
    one, two = free_port(), free_port()
    await declared.carry_out(declarations(one))
    kept = declared.listeners["127.0.0.1", one]
    reader, writer = await asyncio.open_connection("127.0.0.1", one)
    await reader.readline()

    await declared.carry_out(declarations(one, two, banner="new"))
    assert declared.listeners["127.0.0.1", one] is kept
    assert [await banner_of(one), await banner_of(two)] == ["220 mx.test new"] * 2

    await declared.carry_out(declarations(two))
    with pytest.raises(ConnectionRefusedError):
        await banner_of(one)
    writer.write(b"NOOP\r\n")
    assert (await reader.readline()).startswith(b"250 ")
    writer.close()


async def test_a_listener_that_cannot_be_had_stops_the_first_start_only(declared, caplog):
    good = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bad = taken.getsockname()[1]
        with pytest.raises(EngineError, match="cannot listen"):
            await declared.carry_out(declarations(bad))
        await declared.carry_out(declarations(good))
        await declared.carry_out(declarations(good, bad))

    assert await banner_of(good) == "220 mx.test Cirrus"
    assert "cannot be carried out in full" in caplog.text


async def test_one_bad_listener_does_not_keep_the_others_from_opening(declared, caplog):
    old, good = free_port(), free_port()
    await declared.carry_out(declarations(old))
    with socket.socket() as taken, socket.socket() as too:
        for one in (taken, too):
            one.bind(("127.0.0.1", 0))
            one.listen()
        bad, worse = taken.getsockname()[1], too.getsockname()[1]

        await declared.carry_out(declarations(bad, old, worse, good))

    assert await banner_of(old) == await banner_of(good) == "220 mx.test Cirrus"
    assert f"127.0.0.1:{bad}" in caplog.text
    assert f"127.0.0.1:{worse}" in caplog.text


async def test_an_http_listener_stays_when_the_changed_one_is_no_good(declared, caplog):
    address = ("127.0.0.1", free_port())
    made = declarations()
    made.http_listeners[address] = HttpListenerDeclaration(
        address, "mx.test", CidrSet(["127.0.0.1"])
    )
    await declared.carry_out(made)
    worse = declarations()
    worse.http_listeners[address] = HttpListenerDeclaration(
        address, "mx.test", CidrSet([]), use_tls=True, tls_certificate="/nowhere/cert.pem"
    )

    await declared.carry_out(worse)

    _, writer = await asyncio.open_connection(*address)
    writer.close()
    assert "/nowhere/cert.pem" in caplog.text


async def test_an_http_address_in_use_is_named_with_the_reason(declared):
    made = declarations()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        made.http_listeners[address] = HttpListenerDeclaration(address, "mx.test", CidrSet([]))

        with pytest.raises(ConfigurationError) as caught:
            await declared.carry_out(made)

    assert str(caught.value) == f"cannot listen on 127.0.0.1:{address[1]}: Address already in use"


async def test_a_changed_spool_needs_a_restart_and_says_so(declared, caplog):
    await declared.carry_out(declarations())
    await declared.carry_out(declarations())
    assert "restart" not in caplog.text

    moved = declarations()
    moved.spool = SpoolDeclaration(path="y")
    await declared.carry_out(moved)

    assert "define_spool changed: this needs a restart" in caplog.text


async def test_floors_and_durability_of_the_spool_follow_the_script(declared, caplog):
    (guard,) = declared._node.disk_guards
    found = []
    for floor, durability in ((0, "strict"), (1 << 60, "relaxed"), (0, "strict")):
        made = declarations()
        made.spool = SpoolDeclaration(
            Path("x"), durability, Floor(None, floor), min_free_inodes=Floor(None, 0)
        )
        await declared.carry_out(made)
        found.append((guard.trouble() is None, declared._node.relaxed))

    assert found == [(True, False), (False, True), (True, False)]
    assert "restart" not in caplog.text


async def test_the_resolver_is_replaced_only_when_it_changed(declared):
    node = declared._node
    await declared.carry_out(declarations())
    await declared.carry_out(declarations())
    assert len(node.resolver_sets) == 1

    await declared.carry_out(declarations(nameservers=("127.0.0.1:53",)))

    assert len(node.resolver_sets) == 2


async def test_memory_limits_follow_the_script(declared):
    await declared.carry_out(declarations(memory_limits={"soft_limit": 1 << 30}))
    assert declared._node.memory.limits == {"soft_limit": 1 << 30}

    await declared.carry_out(declarations())

    assert declared._node.memory.limits == {}


async def test_sessions_of_a_removed_listener_are_drained_at_the_stop(declared):
    one, two = free_port(), free_port()
    await declared.carry_out(declarations(one))
    reader, writer = await asyncio.open_connection("127.0.0.1", one)
    await reader.readline()
    await declared.carry_out(declarations(two))

    await declared.stop_listeners(10)

    assert (await reader.read()).startswith(b"421 4.3.2 ")
    writer.close()


@pytest.mark.real_time
async def test_a_reload_that_changes_no_log_keeps_its_segment(declared, tmp_path):
    def with_filter(**rest: Any) -> Declarations:
        made = declarations()
        options = {"log_dir": str(tmp_path / "log"), "filter_event": lambda msg: True, **rest}
        made.local_logs[str(tmp_path / "log")] = options
        return made

    await declared.carry_out(with_filter())
    (sink,) = declared.log_sinks.values()
    await declared.carry_out(with_filter())
    assert list(declared.log_sinks.values()) == [sink]

    await declared.carry_out(with_filter(max_file_size=1000))

    (changed,) = declared.log_sinks.values()
    assert changed is not sink
    assert declared._node.recorder.sinks.count(changed) == 1
    assert sink not in declared._node.recorder.sinks


@pytest.mark.real_time
async def test_logs_stay_as_they_were_when_a_new_one_cannot_be_had(declared, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")

    def logging_to(*names: str) -> Declarations:
        made = declarations()
        for name in names:
            made.local_logs[name] = {"log_dir": str(tmp_path / name)}
        return made

    await declared.carry_out(logging_to("one", "two"))
    before = dict(declared.log_sinks)
    await declared.carry_out(logging_to("one", "three", "file/logs", "four"))

    assert declared.log_sinks == before
    assert set(before.values()) <= set(declared._node.recorder.sinks)
    assert "cannot be carried out in full" in caplog.text

    await declared.carry_out(logging_to("one", "three"))
    assert declared.log_sinks.keys() == {"one", "three"}
    assert before["two"] not in declared._node.recorder.sinks


def with_logs(*folders: Any) -> Declarations:
    made = declarations()
    for folder in folders:
        made.local_logs[str(folder)] = {"log_dir": str(folder)}
    return made


@pytest.mark.real_time
async def test_what_a_reload_opens_during_the_stop_is_closed_by_it(declared, tmp_path):
    await declared.carry_out(with_logs(tmp_path / "one"))

    reload = asyncio.create_task(declared.carry_out(with_logs(tmp_path / "two")))
    await asyncio.sleep(0)
    await asyncio.gather(reload, declared.close())

    for sink in declared.log_sinks.values():
        # It says that it has ended as the last thing it does.
        sink.writer._thread.join(5)
        assert not sink.writer._thread.is_alive()


@pytest.mark.real_time
async def test_a_reload_after_the_stop_began_opens_nothing(declared, tmp_path):
    await declared.carry_out(with_logs(tmp_path / "one"))
    await declared.stop_listeners(0.1)

    await declared.carry_out(with_logs(tmp_path / "two"))

    assert declared.log_sinks.keys() == {str(tmp_path / "one")}


async def test_daemons_of_the_automation_follow_the_script(declared):
    wanted = AutomationDeclaration(publish=("http://tsa.example",))
    await declared.carry_out(declarations(automation=wanted))
    await declared.carry_out(declarations())
    assert declared._node.automations == [wanted, None]


async def test_the_collector_of_traces_follows_the_script(declared):
    wanted = TracingDeclaration("http://collector.example/v1/traces", 0.5)
    await declared.carry_out(declarations(tracing=wanted))
    await declared.carry_out(declarations())
    assert declared._node.traced == [wanted, None]


async def test_transactions_are_counted_and_those_with_recipients_as_receiving(declared):
    port = free_port()
    await declared.carry_out(declarations(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    counts = []
    for command in (b"HELO c.test", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"RSET"):
        writer.write(command + b"\r\n")
        assert (await reader.readline()).startswith(b"250 ")
        counts.append((declared.receiving, sum(declared.transactions().values())))
    writer.close()

    assert counts == [(0, 0), (0, 1), (1, 1), (0, 0)]


async def test_consoles_follow_the_script(declared):
    made = declarations()
    made.consoles["127.0.0.1", 2022] = object()
    await declared.carry_out(made)

    assert declared._node.consoles_declared == made.consoles
