"""The modules below ``mta`` that reach the network or other processes, joined together.

Place in flow: ``engine.app`` makes one for a node, ``engine.policy_check`` one that only has names;
each exposes itself in the policy's namespace before the first load.

Invariants:
    * Everything that waits is awaited by the script and has a time limit of its own, beside the
      budget of the handler.
    * No object or error of a library reaches a script: only plain values and errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.key_source import KeySourceReader
from engine.base.vault import AskVault, VaultClient
from engine.route.dns_resolver import DnsResolver
from engine.script_modules.amqp_publisher import AmqpPublisher
from engine.script_modules.http_client import HttpClients
from engine.script_modules.kafka_producer import KafkaProducers
from engine.script_modules.key_sources import KeySources
from engine.script_modules.name_lookup import NameLookup
from engine.script_modules.nats_publisher import NatsConnections
from engine.script_modules.open_connections import OpenConnections, StartTask
from engine.script_modules.redis_query import RedisConnections
from engine.script_modules.request_signing import RequestSigning
from engine.script_modules.sqlite_file import SqliteFiles
from engine.settings import Settings
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


def _refuse(*_args: Any) -> Any:
    raise RuntimeError("scripts are only checked here, nothing is reached")


def _say_nothing(_text: str) -> None:
    """Stand in for who takes warnings."""


@dataclass(frozen=True, slots=True)
class NetworkPorts:
    """What the modules need from the node; without one, scripts can only be checked.

    Attributes:
        mono: Monotonic time in seconds.
        wall: Seconds since the epoch.
        start: Run a coroutine as a supervised task.
        resolver: The resolver of the node as it is now.
        folders: Where scripts may keep data files: the policy's own folder first.
        call_function: Call a function of a script and return its answer.
        warn: Note a warning of the script under way.
        connections: Of scripts; made if not given.
        ask_vault: What asks a Vault; HTTP if not given.
    """

    mono: Callable[[], float] = _refuse
    wall: Callable[[], float] = _refuse
    start: StartTask = _refuse
    resolver: Callable[[], DnsResolver] = _refuse
    folders: Callable[[], Sequence[Path]] = _refuse
    call_function: Callable[..., Awaitable[Any]] = _refuse
    warn: Callable[[str], None] = _say_nothing
    connections: OpenConnections | None = None
    ask_vault: AskVault | None = None


class NetworkModules:
    """What scripts reach other machines with.

    Attributes:
        key_sources: Reads secrets, those of a Vault too.
    """

    def __init__(self, ports: NetworkPorts | None = None) -> None:
        ports = ports or NetworkPorts()
        given = ports.connections
        self.connections = given if given is not None else OpenConnections(ports.mono, ports.start)
        vault = VaultClient(ports.mono, ports.ask_vault)
        self.key_sources = KeySourceReader(vault, lambda: ports.folders()[0])
        self._lookup = NameLookup(ports.resolver)
        signing = RequestSigning(self.key_sources.load, ports.wall)
        self._http = HttpClients(self.connections, ports.resolver, ports.mono, signing.make)
        self._redis = RedisConnections(self.connections)
        self._sqlite = SqliteFiles(self.connections, ports.folders, ports.mono)
        load_secret = self.key_sources.load
        self._brokers = (
            NatsConnections(self.connections, load_secret, ports.warn),
            AmqpPublisher(self.connections, load_secret, ports.warn),
            KafkaProducers(self.connections, load_secret),
        )

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make everything here importable by scripts."""
        self._lookup.expose(namespace)
        self._http.expose(namespace)
        self._redis.expose(namespace)
        self._sqlite.expose(namespace)
        for broker in self._brokers:
            broker.expose(namespace)

    async def close(self) -> None:
        """Close every connection, at the stop of the node."""
        await self.connections.close()
        self._sqlite.close()


class _Tasks(Protocol):
    def start(self, work: Coroutine[Any, Any, Any], name: str = "") -> Any:
        """Run a coroutine as a supervised task."""


class _Warnings(Protocol):
    def warn(self, text: str) -> None:
        """Note a warning of the script under way."""


class _Folders(Protocol):
    @property
    def data_folders(self) -> Sequence[Path]:
        """Return the folders that ``init`` allowed."""


class NetworkNode(Protocol):
    """What a node has for these modules."""

    clock: Clock
    settings: Settings
    resolver: DnsResolver
    runtime: PolicyRuntime
    key_sources: KeySources

    @property
    def supervisor(self) -> _Tasks:
        """Return what runs tasks."""

    @property
    def script_api(self) -> _Warnings:
        """Return what takes warnings."""

    @property
    def declared(self) -> _Folders:
        """Return what ``init`` declared, as it is carried out."""


def expose_network(namespace: ScriptNamespace, node: NetworkNode) -> NetworkModules:
    """Make the modules importable by scripts of a node; its stop closes what is returned."""
    network = NetworkModules(
        NetworkPorts(
            mono=node.clock.mono,
            wall=node.clock.wall,
            start=node.supervisor.start,
            resolver=lambda: node.resolver,
            folders=lambda: (node.settings.policy.parent, *node.declared.data_folders),
            call_function=node.runtime.call_function,
            warn=node.script_api.warn,
        )
    )
    network.expose(namespace)
    node.key_sources.load_from_vault = network.key_sources.load_from_vault
    return network
