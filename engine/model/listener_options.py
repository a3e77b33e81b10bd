"""Options of an SMTP listener: read from what a script wrote, layered per connection.

Place in flow: ``engine.script_api`` reads them at ``init``; ``engine.receive.smtp_session``
lays the ``peer``, ``via`` and ``get_listener_parameters`` layers over them at its connection.

Invariants: an unknown option or a wrong type raises when the options are read, not at a connection.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from engine.model.cidr import CidrMap, CidrSet
from engine.model.duration import parse_duration

#: Options of the socket, which no layer can change.
_FIXED = frozenset({"listen", "max_connections"})
#: Options of capabilities that this node does not have yet: off is what they are, on is a warning.
_NOT_YET = ("deferred_queue",)
#: Unread input of a session beyond which its socket is not read, octets.
DATA_BUFFER_SIZE = 256 << 10
LINE_ENDINGS = ("Deny", "Allow", "Fix")
BATCH_HANDLING = ("BifurcateAlways", "BatchByDomain")


@dataclass(frozen=True, slots=True)
class TraceHeaders:
    """Which trace fields a message gets."""

    received_header: bool = True
    supplemental_header: bool = True
    header_name: str = "X-KumoRef"
    include_meta_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Options of a listener as they hold for one connection. Durations in seconds."""

    listen: tuple[str, int] = ("127.0.0.1", 2025)
    max_connections: int = 32768
    hostname: str = "localhost"
    banner: str = "Cirrus"
    relay_hosts: CidrSet = field(default_factory=lambda: CidrSet(["127.0.0.1", "::1"]))
    tls_certificate: Any = None
    tls_private_key: Any = None
    tls_required_client_ca: Any = None
    tls_from_first_byte: bool = False
    deferred_spool: bool = False
    require_proxy_protocol: bool = False
    allow_xclient: bool = False
    trace_headers: TraceHeaders = TraceHeaders()
    client_timeout_s: float = 60.0
    data_processing_timeout_s: float = 300.0
    max_messages_per_connection: int = 10_000
    max_recipients_per_message: int = 1024
    max_message_size_bytes: int = 20 << 20
    data_buffer_size_bytes: int = DATA_BUFFER_SIZE
    invalid_line_endings: str = "Deny"
    line_length_hard_limit: int = 998
    batch_handling: str = "BifurcateAlways"
    meta: Mapping[str, Any] = field(default_factory=dict)
    peer: CidrMap[Mapping[str, Any]] | None = None
    via: CidrMap[Mapping[str, Any]] | None = None

    def overlay(self, given: Mapping[str, Any]) -> ListenerOptions:
        """Return these options with others laid over them; ``meta`` is merged.

        Raises:
            TypeError: An option is unknown or belongs to the socket.
            ValueError: A value does not fit.
        """
        fixed = sorted(_FIXED & given.keys())
        if fixed:
            raise TypeError(f"{fixed[0]} cannot be changed for one connection")
        values = _read(given)
        if "meta" in values:
            values["meta"] = {**self.meta, **values["meta"]}
        return replace(self, **values)

    def for_connection(self, peer_ip: str, local_ip: str) -> ListenerOptions:
        """Return the options for a connection: ``peer`` laid over the base, ``via`` over both."""
        options = self
        for layer, address in ((self.peer, peer_ip), (self.via, local_ip)):
            found = layer.lookup(address) if layer is not None else None
            if found is not None:
                options = replace(options.overlay(found), peer=self.peer, via=self.via)
        return options


def make_listener_options(given: Mapping[str, Any], *, hostname: str) -> ListenerOptions:
    """Return listener options from a script's keyword arguments.

    Args:
        given: The options as written.
        hostname: The node's own name, for a listener that names none.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit, also one inside ``peer`` or ``via``.
    """
    options = replace(ListenerOptions(hostname=hostname), **_read(given))
    for layer in ("peer", "via"):
        for overrides in given.get(layer, {}).values():
            if nested := sorted({"peer", "via"} & overrides.keys()):
                raise TypeError(f"{nested[0]} cannot stand inside {layer}")
            options.overlay(overrides)
    return options


def parse_listen(value: object) -> tuple[str, int]:
    """Return host and port of ``"127.0.0.1:25"`` or ``"[::1]:25"``.

    Raises:
        ValueError: The text is neither.
    """
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if colon and port.isascii() and port.isdigit() and int(port) < 65536:
            return host or "0.0.0.0", int(port)  # noqa: S104 - ":25" means every address
    raise ValueError(f'wants "address:port", not {value!r}')


def format_listen(address: tuple[str, int]) -> str:
    """Return an address as scripts see it; the inverse of ``parse_listen``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in given.items():
        reader = _READERS.get(name) or _NOT_YET_READERS.get(name)
        if reader is None:
            raise TypeError(_unknown(name))
        key, read = reader
        try:
            values[key] = read(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: {error}") from error
    for name in _NOT_YET_READERS:
        values.pop(name, None)
    return values


def unsupported(given: Mapping[str, Any]) -> list[str]:
    """Return what was asked for that is known and not yet in force, in every layer."""
    notes = [f"{name} is known but not yet in force" for name in _NOT_YET if given.get(name, False)]
    for layer in ("peer", "via"):
        for overrides in given.get(layer, {}).values():
            notes += [note for note in unsupported(overrides) if note not in notes]
    return notes


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _READERS, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown listener option {name!r}{hint}"


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"wants a whole number from 1, not {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"wants text on one line, not {value!r}")
    return value


def _host_name(value: object) -> str:
    name = _text(value)
    if not all(char.isascii() and (char.isalnum() or char in "-._[]:") for char in name):
        raise ValueError(f"wants a host name, not {value!r}")
    return name


def _header_name(value: object) -> str:
    name = _text(value)
    if not all(33 <= ord(char) <= 126 and char != ":" for char in name):
        raise ValueError(f"wants the name of a header, not {value!r}")
    return name


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"wants True or False, not {value!r}")  # noqa: TRY004 - one class for bad values
    return value


def _one_of(choices: tuple[str, ...]) -> Any:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"wants one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return read


def _meta(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("wants a dict with names of text")
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"wants plain values: {error}") from None
    return dict(value)


def _layers(value: object) -> CidrMap[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError("wants a dict from networks to options")  # noqa: TRY004 - one class for bad values
    return CidrMap({network: dict(options) for network, options in value.items()})


def _key_source(value: object) -> Any:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("key_data"), str):
        return dict(value)
    raise ValueError('wants a file name or {"key_data": "PEM text"}')


def read_trace_headers(value: object) -> TraceHeaders:
    """Return trace header options from a dict as scripts and injections write it.

    Raises:
        TypeError: A key is unknown.
        ValueError: A value does not fit.
    """
    if not isinstance(value, Mapping):
        raise ValueError("wants a dict")  # noqa: TRY004 - one class for bad values
    values: dict[str, Any] = {}
    for name, item in value.items():
        match name:
            case "received_header" | "supplemental_header":
                values[name] = _switch(item)
            case "header_name":
                values[name] = _header_name(item)
            case "include_meta_names":
                if not isinstance(item, list | tuple):
                    raise ValueError(f"{name} wants a list of names, not {item!r}")  # noqa: TRY004 - one class for bad values
                values[name] = tuple(_text(entry) for entry in item)
            case _:
                raise TypeError(f"unknown key {name!r}")
    return TraceHeaders(**values)


_READERS: dict[str, tuple[str, Any]] = {
    "listen": ("listen", parse_listen),
    "max_connections": ("max_connections", _number),
    "hostname": ("hostname", _host_name),
    "banner": ("banner", _text),
    "relay_hosts": ("relay_hosts", CidrSet.parse),
    "tls_certificate": ("tls_certificate", _key_source),
    "tls_private_key": ("tls_private_key", _key_source),
    "tls_required_client_ca": ("tls_required_client_ca", _key_source),
    "tls_from_first_byte": ("tls_from_first_byte", _switch),
    "deferred_spool": ("deferred_spool", _switch),
    "require_proxy_protocol": ("require_proxy_protocol", _switch),
    "allow_xclient": ("allow_xclient", _switch),
    "trace_headers": ("trace_headers", read_trace_headers),
    "client_timeout": ("client_timeout_s", parse_duration),
    "data_processing_timeout": ("data_processing_timeout_s", parse_duration),
    "max_messages_per_connection": ("max_messages_per_connection", _number),
    "max_recipients_per_message": ("max_recipients_per_message", _number),
    "max_message_size": ("max_message_size_bytes", _number),
    "data_buffer_size": ("data_buffer_size_bytes", _number),
    "invalid_line_endings": ("invalid_line_endings", _one_of(LINE_ENDINGS)),
    "line_length_hard_limit": ("line_length_hard_limit", _number),
    "batch_handling": ("batch_handling", _one_of(BATCH_HANDLING)),
    "meta": ("meta", _meta),
    "peer": ("peer", _layers),
    "via": ("via", _layers),
}
_NOT_YET_READERS: dict[str, tuple[str, Any]] = {
    "deferred_queue": ("deferred_queue", _switch),
}
