"""A pod for lifecycle.py: an API on loopback that says how many nodes there are to be."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import os
import ssl
import sys
import threading
import time
from types import SimpleNamespace

from engine.base.tls_files import make_self_signed
from tests.deploy.deployment import DEPLOY, ROOT

SCRIPT = DEPLOY / "kubernetes" / "etc" / "lifecycle.py"
POD = "cirrus-node-2"


class Pod:
    """The script as in a pod: an API on loopback, and a ``cirrus`` that notes what it is told."""

    def __init__(self, folder, monkeypatch):
        spec = importlib.util.spec_from_file_location("lifecycle", SCRIPT)
        self.script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.script)
        self.noted, self.log = folder / "noted", folder / "log"
        self.log.touch()
        self.account = folder / "account"
        self.account.mkdir()
        certificate, self._key = make_self_signed("127.0.0.1")
        (self.account / "namespace").write_text("mail")
        (self.account / "token").write_text("secret\n")
        (self.account / "ca.crt").write_bytes(certificate)
        (folder / "key.pem").write_bytes(self._key)
        self.slept = []
        self._folder = folder
        monkeypatch.setattr(self.script, "ACCOUNT", self.account)
        monkeypatch.setattr(self.script, "LOG", self.log)
        seen = SimpleNamespace(sleep=self.slept.append, monotonic=time.monotonic)
        monkeypatch.setattr(self.script, "time", seen)
        monkeypatch.setattr(self.script, "socket", SimpleNamespace(gethostname=lambda: POD))
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
        self._monkeypatch = monkeypatch
        self.answers_with("")

    def answers_with(self, text, status=0):
        """Have ``cirrus`` answer so."""
        program = self._folder / "cirrus"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(self.noted)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
            f"print({text!r})\nsys.exit({status})\n"
        )
        program.chmod(0o755)

    def runs_cirrus(self, endpoint):
        """Have ``cirrus`` be the real one, beside a node that is at an endpoint."""
        program = self._folder / "cirrus"
        program.write_text(
            f"#!/bin/sh\nCIRRUS_ENDPOINT={endpoint} PYTHONPATH={ROOT} exec {sys.executable} -c "
            "'from engine.base.command_line import main; main()' \"$@\"\n"
        )

    @contextlib.contextmanager
    def api(self, spec, status=200):
        """Answer as the API of a cluster whose set of nodes is so large."""
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers["Authorization"]))
                body = json.dumps({"spec": spec}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.account / "ca.crt", self._folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self._monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def told(self):
        return (
            [json.loads(line) for line in self.noted.read_text().splitlines()]
            if (self.noted.exists())
            else []
        )
