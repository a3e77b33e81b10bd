"""What governs a scheduled queue: retries, pool, rate and protocol.

Place in flow: the ``get_queue_config`` handler makes one (``make_queue_config``);
``engine.schedule`` keeps it for the queue and refreshes it.

Invariants:
    * Frozen; exactly one protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from engine.model.address import normal_domain
from engine.model.duration import parse_duration
from engine.model.egress_options import MemoryReductionPolicy, RefreshStrategy
from engine.model.keyword_options import (
    Option,
    choice,
    closest,
    flag,
    function_of,
    ip_address,
    list_of,
    read_options,
    show_options,
    text,
    whole,
)
from engine.model.option_error import OptionError
from engine.model.retry_schedule import RetrySchedule
from engine.model.throttle_spec import ThrottleSpec, parse_throttle
from engine.model.transfer_target import LABEL as TRANSFER_LABEL
from engine.model.transfer_target import TransferTarget, parse_target


class QueueStrategy(Enum):
    """Which structure holds the messages that are not due; all behave alike here."""

    SINGLETON_TIMER_WHEEL = "SingletonTimerWheel"
    TIMER_WHEEL = "TimerWheel"
    SKIP_LIST = "SkipList"
    SINGLETON_TIMER_WHEEL_V2 = "SingletonTimerWheelV2"


@dataclass(frozen=True, slots=True)
class MxListEntry:
    """One host of a list that takes the place of the MX lookup.

    Attributes:
        name: Host name, or the address itself.
        port: Port, if it differs from the path's.
        addresses: Its addresses, if they are not to be looked up.
        written: The entry as the operator wrote it, which names the site.
    """

    name: str
    port: int | None = None
    addresses: tuple[str, ...] | None = None
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.written:
            return self.written
        return self.name if self.port is None else f"{self.name}:{self.port}"


def parse_mx_entry(value: Any) -> MxListEntry:
    """Return the entry that ``host``, ``host:port``, ``[ip]``, ``[ip]:port`` or a table names.

    Raises:
        ValueError: The value names no host.
    """
    if isinstance(value, MxListEntry):
        return value
    if isinstance(value, Mapping):
        return _entry_of_table(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"a host is expected, not {value!r}")
    host, port = split_port(value)
    address = _literal_address(host)
    if address is not None:
        return MxListEntry(f"[{address}]", port, (address,), value)
    return MxListEntry(normal_domain(host), port, written=value)


def split_port(value: str) -> tuple[str, int | None]:
    """Return host and port of ``host``, ``host:port``, ``[ip]`` or ``[ip]:port``.

    Raises:
        ValueError: The port is no port, or the brackets do not close.
    """
    if value.startswith("["):
        host, bracket, rest = value.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"not an address in brackets: {value[:100]!r}")
        return host + bracket, _port(rest[1:]) if rest else None
    host, colon, port = value.partition(":")
    if ":" in port:
        raise ValueError(f"an IPv6 address is written in brackets: {value[:100]!r}")
    return host, _port(port) if colon else None


def _port(digits: str) -> int:
    if not digits.isascii() or not digits.isdigit() or len(digits) > 5:
        raise ValueError(f"not a port: {digits[:20]!r}")
    return whole(1, 65535)(int(digits))


def _literal_address(host: str) -> str | None:
    inner = host.strip("[]")
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    try:
        return ip_address(inner)
    except ValueError:
        if host.startswith("["):
            raise
        return None


def _parse_addr(value: Any) -> MxListEntry:
    try:
        # A bare IPv6 address is all colons, and none of them leads a port.
        bare = ip_address(value)
    except ValueError:
        return parse_mx_entry(value)
    return MxListEntry(f"[{bare}]", None, (bare,))


def _entry_of_table(value: Mapping[str, Any]) -> MxListEntry:
    # Name or address may come with a port: {"name": "mx.example", "addr": "10.0.0.1:2525"}.
    values = read_options("entry", value, {"name": Option(text), "addr": Option(_parse_addr)})
    if len(values) != 2:
        raise ValueError(f"an entry is {{name, addr}}, not {dict(value)!r}")
    addr: MxListEntry = values["addr"]
    if addr.addresses is None:
        raise ValueError(f"addr: an IP address is expected, not {value['addr']!r}")
    host, port = split_port(values["name"])
    if port is not None and addr.port not in (None, port):
        raise ValueError(f"an entry has one port, not {port} and {addr.port}")
    return MxListEntry(normal_domain(host), port or addr.port, addr.addresses)


@dataclass(frozen=True, slots=True)
class SmtpProtocol:
    """Delivery by SMTP, to the domain's MX hosts or to a given list."""

    mx_list: tuple[MxListEntry, ...] | None = None
    treat_mx_list_as_secure: bool = False

    @property
    def label(self) -> str:
        """Return the protocol as ready queues are named by it."""
        return "smtp_client"

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as operators write it."""
        if self.mx_list is None:
            return {"smtp": {}}
        return {"smtp": {"mx_list": [str(entry) for entry in self.mx_list]}}


#: A name in the path of a maildir: ``{{ name }}`` or ``{name}``.
PATH_FIELD = re.compile(
    r"\{\{\s*([a-z_]+(?:\.[A-Za-z0-9_]+)?)\s*\}\}|\{([a-z_]+(?:\.[A-Za-z0-9_]+)?)\}"
)
_PATH_NAMES = [
    "queue",
    "campaign",
    "tenant",
    "domain",
    "routing_domain",
    "email",
    "local_part",
    "domain_part",
    "sender_email",
    "sender_local_part",
    "sender_domain_part",
]


def _maildir_path(value: Any) -> str:
    path = text(value)
    for match in PATH_FIELD.finditer(path):
        name = match[1] or match[2]
        if name not in _PATH_NAMES and not name.startswith("meta."):
            raise OptionError(
                f"no name {name!r} in the path of a maildir; known: meta.NAME, "
                + ", ".join(_PATH_NAMES)
            )
    return path


@dataclass(frozen=True, slots=True)
class MaildirProtocol:
    """Delivery into a maildir whose path is a template."""

    path: str
    dir_mode: int | None = None
    file_mode: int | None = None

    @property
    def label(self) -> str:
        """Return the protocol as ready queues are named by it."""
        return f"maildir:{self.path}"

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as operators write it."""
        return {"maildir": {"path": self.path}}


@dataclass(frozen=True, slots=True)
class ScriptProtocol:
    """Delivery by a function of the operator's script.

    Attributes:
        sender: Takes a message, or a list of them when ``batch_size`` is above 1.
        batch_size: The most messages that it is given at once.
        min_batch_size: How many are waited for.
        max_batch_latency_s: How long they are waited for.
    """

    sender: Callable[..., Any]
    batch_size: int = 1
    min_batch_size: int = 1
    max_batch_latency_s: float = 0.0

    @property
    def label(self) -> str:
        """Return the protocol as ready queues are named by it."""
        return f"script:{getattr(self.sender, '__name__', 'sender')}"

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as operators see it."""
        return {"script": {"sender": self.label, "batch_size": self.batch_size}}


@dataclass(frozen=True, slots=True)
class TransferProtocol:
    """Transfer to another node, which goes on with the mail as it is."""

    target: TransferTarget

    @property
    def label(self) -> str:
        """Return the protocol as ready queues are named by it."""
        return TRANSFER_LABEL

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as operators see it: without credentials."""
        return {"xfer": {"target": self.target.url}}


@dataclass(frozen=True, slots=True)
class NullProtocol:
    """Mail is dropped."""

    @property
    def label(self) -> str:
        """Return the protocol as ready queues are named by it."""
        return "null"

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as operators write it."""
        return {"null": {}}


Protocol = SmtpProtocol | MaildirProtocol | ScriptProtocol | TransferProtocol | NullProtocol


_PROTOCOLS: dict[str, tuple[Callable[..., Protocol], dict[str, Option], str]] = {
    "smtp": (
        SmtpProtocol,
        {"mx_list": Option(list_of(parse_mx_entry)), "treat_mx_list_as_secure": Option(flag)},
        "",
    ),
    "maildir": (
        MaildirProtocol,
        {
            "path": Option(_maildir_path),
            "dir_mode": Option(whole(0, 0o7777)),
            "file_mode": Option(whole(0, 0o7777)),
        },
        "path",
    ),
    "script": (
        ScriptProtocol,
        {
            "sender": Option(function_of(1)),
            "batch_size": Option(whole(1, 100_000)),
            "min_batch_size": Option(whole(1, 100_000)),
            "max_batch_latency": Option(parse_duration, "max_batch_latency_s"),
        },
        "sender",
    ),
    "xfer": (TransferProtocol, {"target": Option(parse_target)}, "target"),
    "null": (NullProtocol, {}, ""),
}


def parse_protocol(value: Any) -> Protocol:
    """Return the protocol that a name or ``{name: {options}}`` describes.

    Raises:
        ValueError: The protocol or one of its options is unknown or wrong.
    """
    if isinstance(value, Protocol):
        return value
    name, options = _protocol_parts(value)
    known = _PROTOCOLS.get(name)
    if known is None:
        raise ValueError(f"unknown protocol {name!r}{closest(name, _PROTOCOLS)}")
    make, table, required = known
    values = read_options(name, options, table)
    if required and required not in values:
        raise ValueError(f"{name}: {required} is missing")
    made = make(**values)
    if isinstance(made, ScriptProtocol) and made.min_batch_size > made.batch_size:
        raise ValueError(f"{name}: min_batch_size is above batch_size")
    if isinstance(made, SmtpProtocol) and made.mx_list == ():
        raise ValueError(f"{name}: mx_list is empty")
    return made


def _protocol_parts(value: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(value, str):
        return value.lower(), {}
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, options),) = value.items()
        if isinstance(name, str) and isinstance(options, Mapping):
            return name.lower(), options
    raise ValueError(f"a protocol is {{name: {{options}}}}, not {value!r}")


_DEFAULT_RETRY = RetrySchedule()
_DEFAULT_PROTOCOL = SmtpProtocol()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """The configuration of one scheduled queue; attributes are named as the options."""

    retry: RetrySchedule = _DEFAULT_RETRY
    egress_pool: str | None = None
    max_message_rate: ThrottleSpec | None = None
    protocol: Protocol = _DEFAULT_PROTOCOL
    reap_interval_s: float = 600.0
    refresh_interval_s: float = 60.0
    refresh_strategy: RefreshStrategy = RefreshStrategy.TTL
    provider_name: str | None = None
    strategy: QueueStrategy = QueueStrategy.SINGLETON_TIMER_WHEEL
    timerwheel_tick_interval_s: float | None = None
    shrink_policy: tuple[tuple[float, MemoryReductionPolicy], ...] = ()

    @property
    def retry_interval_s(self) -> float:
        """Return the base of the retry schedule."""
        return self.retry.retry_interval_s

    @property
    def max_retry_interval_s(self) -> float | None:
        """Return the cap of the retry schedule."""
        return self.retry.max_retry_interval_s

    @property
    def max_age_s(self) -> float:
        """Return when a message is given up."""
        return self.retry.max_age_s

    @staticmethod
    def unsupported(kw: Mapping[str, Any]) -> list[str]:
        """Return what was asked for that is known and not yet in force."""
        names = ("strategy", "timerwheel_tick_interval", "shrink_policy")
        asked = [name for name in names if kw.get(name) is not None]
        protocol = kw.get("protocol")
        smtp = protocol.get("smtp") if isinstance(protocol, Mapping) else None
        if isinstance(smtp, Mapping) and smtp.get("treat_mx_list_as_secure"):
            asked.append("treat_mx_list_as_secure")
        return [f"{name} is known but not yet in force" for name in asked]


def _shrink_entry(value: Any) -> tuple[float, MemoryReductionPolicy]:
    table = {"interval": Option(parse_duration), "policy": Option(choice(MemoryReductionPolicy))}
    values = read_options("entry", value if isinstance(value, Mapping) else {}, table)
    if len(values) != 2:
        raise ValueError(f"an entry is {{interval, policy}}, not {value!r}")
    return values["interval"], values["policy"]


def _positive(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("the duration must be above zero")
    return seconds


OPTIONS: dict[str, Option] = {
    "retry_interval": Option(_positive, "retry_interval_s"),
    "max_retry_interval": Option(_positive, "max_retry_interval_s"),
    "max_age": Option(parse_duration, "max_age_s"),
    "egress_pool": Option(text),
    "max_message_rate": Option(parse_throttle),
    "protocol": Option(parse_protocol),
    "reap_interval": Option(parse_duration, "reap_interval_s"),
    "refresh_interval": Option(parse_duration, "refresh_interval_s"),
    "refresh_strategy": Option(choice(RefreshStrategy)),
    "provider_name": Option(text),
    "strategy": Option(choice(QueueStrategy)),
    "timerwheel_tick_interval": Option(parse_duration, "timerwheel_tick_interval_s"),
    "shrink_policy": Option(list_of(_shrink_entry)),
}
_RETRY_FIELDS = ("retry_interval_s", "max_retry_interval_s", "max_age_s")


def make_queue_config(**kw: Any) -> QueueConfig:
    """Return the configuration of a scheduled queue.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit its option.
    """
    values = read_options("make_queue_config", kw, OPTIONS)
    retry = {name: values.pop(name) for name in _RETRY_FIELDS if name in values}
    return QueueConfig(retry=RetrySchedule(**retry), **values)


#: How often a transfer that failed is tried again, seconds.
TRANSFER_RETRY_S = 10.0
#: Of mail that waits for another node. It does not grow too old here: the other node is the judge.
_TRANSFER_RETRY = RetrySchedule(TRANSFER_RETRY_S, TRANSFER_RETRY_S, float("inf"))


def transfer_queue_config(target: TransferTarget) -> QueueConfig:
    """Return the configuration of the queue of mail that goes to a node; no script is asked."""
    return QueueConfig(retry=_TRANSFER_RETRY, protocol=TransferProtocol(target))


def to_json(config: QueueConfig) -> dict[str, Any]:
    """Return the options that a configuration holds, for operators."""
    return show_options(config, OPTIONS)
