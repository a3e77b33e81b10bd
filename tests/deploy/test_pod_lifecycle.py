"""lifecycle.py of the Kubernetes manifests: mail is handed on when a pod goes for good."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import os
import ssl
import sys
import threading

import pytest

from engine.base.tls_files import make_self_signed
from tests.deploy.deployment import DEPLOY, NEEDS_DRAIN, parse_command, read_yaml

SCRIPT = DEPLOY / "kubernetes" / "etc" / "lifecycle.py"
PATH = "/apis/apps/v1/namespaces/mail/statefulsets/cirrus-node/scale"
DRAIN = ["drain", "--to", "http://cirrus-node-0.cirrus-node:8000"]
DRAIN += ["--reason", "scaled away", "--timeout", "3600s"]
STATUS, CANCEL = ["drain", "--status", "--json"], ["drain", "--cancel"]

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


@pytest.fixture
def pod(tmp_path, monkeypatch):
    return Pod(tmp_path, monkeypatch)


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
        monkeypatch.setattr(self.script.time, "sleep", self.slept.append)
        monkeypatch.setattr(self.script.socket, "gethostname", lambda: "cirrus-node-2")
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


def test_a_pod_too_many_hands_its_mail_on_to_one_that_stays(pod):
    pod.answers_with("left 0; transferred 12")
    with pod.api({"replicas": 2}) as asked:
        pod.script.stopping()

    assert asked == [(PATH, "Bearer secret")]
    assert pod.told == [DRAIN]
    assert "handed on: left 0; transferred 12" in pod.log.read_text()


@pytest.mark.parametrize("spec", [{"replicas": 3}, {"replicas": 9}])
def test_a_pod_that_is_to_come_back_keeps_its_mail(pod, spec):
    with pod.api(spec):
        pod.script.stopping()

    assert pod.told == []
    # Clients are given the time to see that it leaves.
    assert pod.slept == [pod.script.NOTICE_S]


@pytest.mark.parametrize("spec", [{}, {"replicas": 0}])
def test_when_all_go_there_is_nobody_to_hand_mail_to(pod, spec):
    with pod.api(spec):
        pod.script.stopping()

    assert pod.told == []


def test_when_nobody_can_be_asked_the_mail_stays(pod):
    with pod.api({"replicas": 1}, status=403):
        pod.script.stopping()
    assert "cannot ask" in pod.log.read_text()
    pod.script.stopping()

    assert pod.told == []
    assert pod.log.read_text().count("the mail stays on its volume") == 2


def test_mail_that_is_left_is_said_aloud(pod):
    pod.answers_with("left 7", status=1)
    with pod.api({"replicas": 2}):
        pod.script.stopping()

    assert "NOT ALL MAIL WAS HANDED ON: left 7" in pod.log.read_text()


@pytest.mark.parametrize(
    ("name", "replicas", "peer"),
    [
        ("cirrus-node-5", 3, "http://cirrus-node-2.cirrus-node:8000"),
        ("cirrus-node-4", 3, "http://cirrus-node-1.cirrus-node:8000"),
        ("cirrus-node-1", 1, "http://cirrus-node-0.cirrus-node:8000"),
        ("cirrus-node-0", 1, None),
    ],
)
def test_pods_that_go_at_once_share_those_that_stay(pod, name, replicas, peer):
    assert pod.script.peer_of(name, replicas) == peer


def test_the_peer_is_a_name_and_a_port_of_the_set(pod):
    service = next(
        one
        for one in read_yaml(DEPLOY / "kubernetes" / "node.yaml")
        if one["kind"] == "Service" and one["spec"].get("clusterIP") == "None"
    )
    (port,) = [one["port"] for one in service["spec"]["ports"] if one["name"] == "http"]

    assert pod.script.peer_of("cirrus-node-1", 1).endswith(f".{service['metadata']['name']}:{port}")


def test_a_pod_that_is_wanted_again_takes_mail_again(pod):
    pod.answers_with(json.dumps({"draining": True, "reason": "scaled away"}), status=1)
    pod.script.started()

    assert pod.told == [STATUS, CANCEL]


@pytest.mark.parametrize(
    "report", [{"draining": False, "reason": None}, {"draining": True, "reason": "by hand"}]
)
def test_a_drain_that_a_person_began_goes_on(pod, report):
    pod.answers_with(json.dumps(report))
    pod.script.started()

    assert pod.told == [STATUS]


@NEEDS_DRAIN
@pytest.mark.parametrize("command", [DRAIN, STATUS, CANCEL], ids=lambda command: command[1])
def test_each_command_is_one_of_ours(command):
    assert parse_command(command)
