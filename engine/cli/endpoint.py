"""The endpoint of a node, as operators give it: a URL in which user and password may stand.

Place in flow: whoever speaks HTTP with a node for a command reads its URL here.

Invariants:
    * No credential is in any text.
"""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit

import click


def parse_endpoint(endpoint: str) -> tuple[str, dict[str, str]]:
    """Return the URL of a node without user and password, and the headers that say who calls.

    Raises:
        click.UsageError: It is no URL of HTTP.
    """
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        is_usable = has_port = False
    if not is_usable or not has_port:
        raise click.UsageError("--endpoint: a URL is expected, as in http://127.0.0.1:8000")
    headers = {"User-Agent": "cirrus"}
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    return shown_endpoint(endpoint) + parts.path.rstrip("/"), headers


def shown_endpoint(endpoint: str) -> str:
    """Return the URL of a node as it may be shown."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
