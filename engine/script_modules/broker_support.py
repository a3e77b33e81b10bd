"""What the modules for message brokers share: optional libraries, TLS, values as octets.

Place in flow: used by ``nats_publisher``, ``amqp_publisher`` and ``kafka_producer``.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.model.duration import parse_duration

#: What one message may hold, octets; brokers allow less by default.
PAYLOAD_BYTES_MAX = 16 << 20
HEADERS_MAX = 200

#: Port: return the secret of a key source.
LoadSecret = Callable[[Any], Awaitable[bytes]]


def require_library(name: str, module: str) -> Any:
    """Return an optional library, read where a script loads and not when mail flows.

    Args:
        name: What is imported.
        module: The module of scripts that needs it, which is also the name of the extra.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"mta.{module} needs a library that is not installed:"
            f" pip install 'cirrus-mta[{module}]'"
        ) from None


def positive(value: Any) -> float:
    """Return a duration above zero, in seconds."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


def freeze(value: Any) -> Any:
    """Return a value of options as something that can be a key."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), freeze(inner)) for name, inner in value.items()))
    if isinstance(value, list | tuple):
        return tuple(freeze(inner) for inner in value)
    return value


def octets_of(name: str, value: Any) -> bytes:
    """Return text or bytes as octets.

    Raises:
        TypeError: It is neither.
        ValueError: It is too large.
    """
    octets = value.encode() if isinstance(value, str) else value
    if not isinstance(octets, bytes):
        raise TypeError(f"{name}: text or bytes are expected")
    if len(octets) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"{name}: more than {PAYLOAD_BYTES_MAX} octets")
    return octets


def headers_of(value: Any) -> dict[str, str]:
    """Return header fields, text by text.

    Raises:
        TypeError: It is no such table.
        ValueError: It has too many, or one of several lines.
    """
    if not isinstance(value, Mapping):
        raise TypeError("headers: a table is expected")
    headers = dict(value)
    if len(headers) > HEADERS_MAX:
        raise ValueError(f"headers: more than {HEADERS_MAX}")
    for name, text in headers.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError("headers: names and values are text")
        if any(end in name + text for end in "\r\n\0"):
            raise ValueError("headers: names and values are of one line")
    return headers


async def make_tls(
    load: LoadSecret, root: Any = None, certificate: Any = None, key: Any = None
) -> ssl.SSLContext:
    """Return how a server is checked, and how we show ourselves to it.

    Args:
        load: Reads key sources.
        root: Authorities, in PEM; those of the system if None.
        certificate: The name of a file with our own chain.
        key: The name of a file with its key.

    Raises:
        ValueError: What is read is no certificate or key.
    """
    try:
        data = (await load(root)).decode() if root is not None else None
        context = ssl.create_default_context(cadata=data)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the certificates cannot be used: {error}") from None
    return context
