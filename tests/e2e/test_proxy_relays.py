"""Clients of other people pass through the proxy: curl, and whoever speaks plain SOCKS5."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from tests.e2e.test_tls_listeners import write_pair
from tests.fakes.proxy_process import ProxyProcess, echoes, read

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
CURL = shutil.which("curl")
BULK = 64 * 1024 * 1024


@pytest.fixture(params=[(), ("--no-splice",)], ids=["splice", "copy"])
def proxy(request, tmp_path):
    with ProxyProcess(tmp_path, request.param).running() as proxy:
        yield proxy


@contextlib.contextmanager
def web_page(text):
    """Run a server of one page; yield its port."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def curl(*arguments):
    """Return status and output of curl."""
    done = subprocess.run(
        [CURL, "--silent", "--show-error", "--max-time", "10", *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(CURL is None, reason="there is no curl here")
def test_curl_gets_a_page(proxy):
    with web_page(b"through the proxy") as port:
        url = f"http://127.0.0.1:{port}/"

        assert curl("-x", f"socks5://127.0.0.1:{proxy.port}", url) == (0, "through the proxy")


@pytest.mark.skipif(CURL is None, reason="there is no curl here")
def test_curl_is_told_that_names_are_not_resolved(proxy):
    status, said = curl("-x", f"socks5h://127.0.0.1:{proxy.port}", "http://localhost:25/")

    assert status == 97
    assert "(8)" in said


def test_a_source_is_left_from(proxy):
    with proxy.destination() as there, proxy.connect(there.port, source="127.0.0.7") as sock:
        assert echoes(sock)
        assert there.came_from()[0] == "127.0.0.7"


def test_bulk_data_arrives_as_it_was_sent_and_its_end_is_passed_on(proxy):
    data = os.urandom(1 << 20)
    found = hashlib.sha256()
    with proxy.destination() as there, proxy.connect(there.port, source="127.0.0.7") as sock:

        def send() -> None:
            for _ in range(BULK // len(data)):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        size = 0
        while piece := sock.recv(1 << 18):
            found.update(piece)
            size += len(piece)
        sending.join()

    assert size == BULK
    assert found.digest() == hashlib.sha256(data * (BULK // len(data))).digest()


def test_many_connections_at_once_do_not_mix(proxy):
    with proxy.destination() as there:
        socks = [
            proxy.connect(there.port, source=f"127.0.0.{number % 9 + 2}") for number in range(200)
        ]
        for number, sock in enumerate(socks):
            sock.sendall(b"%06d" % number)
        answers = [read(sock, 6) for sock in socks]
        for sock in socks:
            sock.close()

    assert answers == [b"%06d" % number for number in range(200)]


@pytest.mark.parametrize("speaks_tls", [False, True])
def test_who_speaks_first_is_heard(tmp_path, speaks_tls):
    write_pair(tmp_path, "proxy.example")
    files = ("--tls-certificate", tmp_path / "cert.pem", "--tls-private-key", tmp_path / "key.pem")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        ProxyProcess(tmp_path, map(str, files) if speaks_tls else ()).running() as proxy,
        proxy.destination(greeting=b"220 mx.example\r\n") as there,
    ):
        for _ in range(20):
            tls = context if speaks_tls else None
            with proxy.connect(there.port, source="127.0.0.7", tls=tls) as sock:
                assert read(sock, 16) == b"220 mx.example\r\n"
                assert echoes(sock, b"EHLO x\r\n")

        assert proxy.metric("proxy_connections_failed_total") == 0
