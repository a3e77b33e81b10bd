"""What ``init`` says of traces of messages: ``mta.configure_tracing``.

Place in flow: ``engine.script_api`` exposes it; ``engine.span_tracing`` carries it out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from engine.model.duration import parse_duration
from engine.model.keyword_options import flag, text
from engine.script_declarations import Declarations, TracingDeclaration
from policy.script_api import ScriptNamespace

_OWNER = "configure_tracing"
_LIBRARIES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
#: Where a collector on the same machine takes traces.
ENDPOINT = "http://127.0.0.1:4318/v1/traces"
_PATH = "/v1/traces"
HEADERS_MAX = 50
TIMEOUT_MAX_S = 60.0


class TracingDeclarations:
    """The function of ``init`` about traces.

    Args:
        open_declarations: Returns what ``init`` declares now; raises outside of it.
    """

    def __init__(self, open_declarations: Callable[[str], Declarations]) -> None:
        self._open = open_declarations

    def configure_tracing(
        self,
        *,
        endpoint: str = ENDPOINT,
        sample: float = 0.01,
        headers: Mapping[str, str] | None = None,
        service_name: str = "cirrus",
        resource: Mapping[str, str] | None = None,
        addresses: bool = False,
        timeout: Any = "10s",
    ) -> None:
        """Send traces of messages to a collector of OpenTelemetry (OTLP over HTTP).

        Args:
            endpoint: The URL of the collector; without a path, /v1/traces is asked for.
            sample: The share of messages that is traced, 0 to 1.
            headers: Of each request, such as those with the key of a hosted collector.
            service_name: What the node is called there.
            resource: More that describes the node, such as {"deployment.environment.name": "eu"}.
            addresses: Whether traces show senders, recipients and replies.
            timeout: How long a request may take.
        """
        declarations = self._open(_OWNER)
        if declarations.tracing is not None:
            raise ValueError("the collector of traces is declared twice")
        timeout_s = parse_duration(timeout)
        if not 0.0 < timeout_s <= TIMEOUT_MAX_S:
            raise ValueError(f"timeout: above zero and at most {TIMEOUT_MAX_S:g} s is expected")
        declared = TracingDeclaration(
            endpoint=_endpoint(endpoint),
            sample=_share(sample),
            headers=_table("headers", headers),
            service_name=_named("service_name", text, service_name),
            resource=_table("resource", resource),
            addresses=_named("addresses", flag, addresses),
            timeout_s=timeout_s,
        )
        _require_libraries()
        declarations.tracing = declared

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the function importable by scripts."""
        namespace.expose(_OWNER, self.configure_tracing)


def _require_libraries() -> None:
    """Read the library where a script loads, and not when mail flows.

    Raises:
        ImportError: It is not installed.
    """
    try:
        for name in _LIBRARIES:
            importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"mta.{_OWNER} needs a library that is not installed: pip install 'cirrus-mta[otel]'"
        ) from None


def _endpoint(value: Any) -> str:
    given: str = _named("endpoint", text, value)
    parts = urlsplit(given)
    # Not the value: it may hold a password.
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("endpoint: http://host:port or https://host:port is expected")
    if parts.username is not None or parts.password is not None:
        raise ValueError("endpoint: credentials go into headers")
    return parts._replace(path=_PATH).geturl() if parts.path in ("", "/") else parts.geturl()


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"sample: a share from 0 to 1 is expected, not {value!r}")
    return float(value)


def _table(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or len(value) > HEADERS_MAX:
        raise ValueError(f"{name}: a table of at most {HEADERS_MAX} texts is expected")
    pairs = list(value.items())
    for key, inner in pairs:
        if not isinstance(key, str) or not key.isascii() or not isinstance(inner, str):
            raise ValueError(f"{name}: a table of texts is expected")
        if any(sign in key + inner for sign in "\r\n\0"):
            raise ValueError(f"{name}: {key!r} is of several lines")
    return tuple(sorted(pairs))


def _named(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
