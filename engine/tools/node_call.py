"""Calls of a node's administration, for commands: one request, its answer as plain values.

Place in flow: ``xfer`` and ``drain`` call it.

Invariants:
    * A refusal is one line with the node's own words. No credential is in any text.

Failure: ``NodeCallError`` for a refusal, ``NodeAwayError`` when there is no answer; both end a
command with status 1.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

import click

ENDPOINT_VARIABLE = "CIRRUS_ENDPOINT"
DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
#: How long a node may take for an answer, seconds.
ANSWER_S = 60.0


class NodeCallError(click.ClickException):
    """The node said no."""


class NodeAwayError(click.ClickException):
    """The node gave no answer."""


#: The option that says which node is meant.
endpoint_option = click.option(
    "--endpoint",
    envvar=ENDPOINT_VARIABLE,
    default=DEFAULT_ENDPOINT,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="The node's HTTP listener; user and password may stand in it.",
)
#: Nothing of the environment stands between a command and its node.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call_node(endpoint: str, method: str, path: str, body: Any = None) -> Any:
    """Return what a node answers.

    Args:
        endpoint: Its URL.
        method: The HTTP method.
        path: The path of the act.
        body: Sent as JSON, unless None.

    Raises:
        NodeCallError: It refused, or what answered is no node.
        NodeAwayError: Nobody answered.
    """
    request = _request(endpoint, method, path, body)
    try:
        # A scheme other than http and https was refused before.
        with _opener.open(request, timeout=ANSWER_S) as answer:
            raw = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise NodeCallError(_words_of(error)) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise NodeAwayError(f"no answer of {shown_endpoint(endpoint)}: {text}") from error
    try:
        return json.loads(raw)
    except ValueError as error:
        raise NodeCallError(f"{shown_endpoint(endpoint)} answers no JSON: is it a node?") from error


def _request(endpoint: str, method: str, path: str, body: Any) -> urllib.request.Request:
    base, headers = parse_endpoint(endpoint)
    return urllib.request.Request(  # noqa: S310 - the scheme was looked at
        base + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
        method=method,
    )


def parse_endpoint(endpoint: str) -> tuple[str, dict[str, str]]:
    """Return the URL of a node without user and password, and the headers that say who calls.

    Raises:
        click.UsageError: It is no URL of HTTP.
    """
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise click.UsageError("--endpoint: a URL is expected, as in http://127.0.0.1:8000")
    netloc = parts.netloc.rpartition("@")[2]
    headers = {"User-Agent": "cirrus"}
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}", headers


def _words_of(error: urllib.error.HTTPError) -> str:
    try:
        text = str(json.loads(error.read(1 << 20))["error"])
    except (ValueError, KeyError, TypeError, OSError):
        text = str(error.reason)
    return f"the node answers {error.code}: {text}"


def shown_endpoint(endpoint: str) -> str:
    """Return the URL of a node as it may be shown."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
