"""What a run of ``init`` declares: spool, listeners, logs, hooks, limits.

Place in flow: gathered by ``engine.script_api``, carried out by ``engine.declared``; compared at
each reload, so that what did not change is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.base.disk_guard import FLOOR_BYTES_MAX, FLOOR_INODES_MAX, Floor
from engine.model.cidr import CidrSet
from engine.model.console_options import ConsoleOptions
from engine.model.listener_options import ListenerOptions
from engine.model.log_record import RecordKind
from engine.model.redis_options import RedisOptions
from engine.model.shaping_rule_set import SKIPPED_KINDS
from engine.route.resolver_options import ResolverOptions
from policy.hook import CallLimits

_SPACE_FLOOR = Floor(0.1, FLOOR_BYTES_MAX)
_INODES_FLOOR = Floor(0.1, FLOOR_INODES_MAX)


@dataclass(frozen=True, slots=True)
class SpoolDeclaration:
    """Where and how accepted mail is kept."""

    path: Path
    durability: str = "strict"
    min_free_space: Floor = _SPACE_FLOOR
    min_free_inodes: Floor = _INODES_FLOOR


@dataclass(frozen=True, slots=True)
class HttpListenerDeclaration:
    """One HTTP listener. The body limit is in octets after decompression."""

    listen: tuple[str, int]
    hostname: str
    trusted_hosts: CidrSet
    request_body_limit: int = 2 << 20
    use_tls: bool = False
    tls_certificate: Any = None
    tls_private_key: Any = None


@dataclass(frozen=True, slots=True)
class LogHookDeclaration:
    """Records become messages for a function of the script."""

    name: str
    back_pressure: int = 128_000
    meta: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    per_record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AutomationDeclaration:
    """Which daemons of the traffic shaping automation get records, and whose decisions count.

    Attributes:
        publish: URLs that records are sent to, each of them all.
        subscribe: URLs whose decisions are obeyed: the first that can be reached.
        skipped: Kinds of records that are not sent.
        pre_filter: Whether only records are sent that a rule of the node's own files could count.
        publish_timeout_s: How long a request may take.
        back_pressure: Records that may wait in memory for the disk.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    skipped: frozenset[RecordKind] = SKIPPED_KINDS
    pre_filter: bool = True
    publish_timeout_s: float = 60.0
    back_pressure: int = 100_000


@dataclass(frozen=True, slots=True)
class SharedLimitsDeclaration:
    """By way of which Redis this node shares limits with others.

    Attributes:
        redis: Where it is and how long it may take.
        nodes: How many nodes to assume before any was seen.
        share_directives: Whether suspensions and bounces of operators are shared too.
    """

    redis: RedisOptions
    nodes: int = 1
    share_directives: bool = True


@dataclass(frozen=True, slots=True)
class TracingDeclaration:
    """Which collector gets traces of messages, and of how many.

    Attributes:
        endpoint: URL of the collector's traces.
        sample: The share of messages that is traced.
        headers: Of each request; never shown.
        service_name: What the node is called there.
        resource: What else describes the node.
        addresses: Whether senders, recipients and replies are shown.
        timeout_s: How long a request may take.
    """

    endpoint: str
    sample: float
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    service_name: str = "cirrus"
    resource: tuple[tuple[str, str], ...] = ()
    addresses: bool = False
    timeout_s: float = 10.0


@dataclass(slots=True)
class Declarations:
    """What one run of ``init`` declared."""

    spool: SpoolDeclaration | None = None
    listeners: dict[tuple[str, int], ListenerOptions] = field(default_factory=dict)
    http_listeners: dict[tuple[str, int], HttpListenerDeclaration] = field(default_factory=dict)
    consoles: dict[tuple[str, int], ConsoleOptions] = field(default_factory=dict)
    local_logs: dict[str, dict[str, Any]] = field(default_factory=dict)
    log_hooks: dict[str, LogHookDeclaration] = field(default_factory=dict)
    automation: AutomationDeclaration | None = None
    shared_limits: SharedLimitsDeclaration | None = None
    tracing: TracingDeclaration | None = None
    memory_limits: dict[str, int] = field(default_factory=dict)
    handler_limits: dict[str | None, CallLimits] = field(default_factory=dict)
    test_resolver: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    nameservers: tuple[str, ...] | None = None
    resolver_options: ResolverOptions = field(default_factory=ResolverOptions)
    data_folders: tuple[Path, ...] = ()
    has_default_access_lists: bool = True
    warnings: list[str] = field(default_factory=list)
