"""Calls of a node's administration: answers, refusals, and nodes that are away."""

from __future__ import annotations

import base64
import contextlib
import http.server
import threading
from types import SimpleNamespace

import click
import pytest

from engine.tools.node_call import NodeAwayError, NodeCallError, call_node
from tests.samples.running_node import free_ports

pytestmark = pytest.mark.real_time


@contextlib.contextmanager
def node(status=200, body=b"{}"):
    """Answer every request alike; give its URL and what was asked."""
    seen = SimpleNamespace(asked=[], url="")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            seen.asked.append((self.command, self.path, self.headers, self.rfile.read(length)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_answer_is_plain_values():
    with node(body=b'{"left": 5}') as seen:
        assert call_node(seen.url, "POST", "/api/x", {"a": 1}) == {"left": 5}
        assert call_node(seen.url + "/", "DELETE", "/api/x") == {"left": 5}

    (method, path, headers, body), (other, *_, nothing) = seen.asked
    assert (method, path, body) == ("POST", "/api/x", b'{"a": 1}')
    assert headers["Content-Type"] == "application/json"
    assert (other, nothing) == ("DELETE", b"")


def test_credentials_of_the_endpoint_are_shown_and_not_sent_in_the_path():
    with node() as seen:
        call_node(seen.url.replace("http://", "http://ann:p%40ss@"), "GET", "/api/x")

    ((_, path, headers, _),) = seen.asked
    assert path == "/api/x"
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"ann:p@ss"


def test_the_proxies_of_the_environment_do_not_count(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with node(body=b"[]") as seen:
        assert call_node(seen.url, "GET", "/") == []


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (422, b'{"error": "no such target"}', "the node answers 422: no such target"),
        (500, b"a page", "the node answers 500: Internal Server Error"),
        (404, b'{"other": 1}', "the node answers 404: Not Found"),
    ],
)
def test_a_refusal_is_told_in_the_nodes_own_words(status, body, text):
    with node(status, body) as seen, pytest.raises(NodeCallError) as caught:
        call_node(seen.url, "GET", "/")
    assert caught.value.format_message() == text


def test_what_answers_no_json_is_no_node():
    with node(body=b"<html>") as seen, pytest.raises(NodeCallError, match="is it a node"):
        call_node(seen.url, "GET", "/")


def test_a_node_that_is_away_is_named_without_its_credentials():
    (port,) = free_ports(1)
    with pytest.raises(NodeAwayError) as caught:
        call_node(f"http://ann:s3cret@127.0.0.1:{port}", "GET", "/")

    text = caught.value.format_message()
    assert text == f"no answer of http://127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:8000", "ftp://h", "http://", "http://[::1"])
def test_an_endpoint_that_is_no_url_is_wrong_usage(endpoint):
    with pytest.raises(click.UsageError, match="--endpoint"):
        call_node(endpoint, "GET", "/")
