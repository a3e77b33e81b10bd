"""lifecycle.py of the Kubernetes manifests: mail is handed on when a pod goes for good."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.deploy.deployment import DEPLOY, parse_command, read_yaml
from tests.deploy.pod import Pod
from tests.fakes.node_process import wait_until

PATH = "/apis/apps/v1/namespaces/mail/statefulsets/cirrus-node/scale"
DRAIN = ["drain", "--to", "http://cirrus-node-0.cirrus-node:8000"]
DRAIN += ["--reason", "scaled away", "--timeout", "3600s"]
ALIVE, LIVENESS = "/api/check-alive/v1", "/api/check-liveness/v1"
SOON = "retry_interval='2s', max_retry_interval='2s'"
STATUS, CANCEL = ["drain", "--status", "--json"], ["drain", "--cancel"]

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


@pytest.fixture
def pod(tmp_path, monkeypatch):
    return Pod(tmp_path, monkeypatch)


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


@pytest.mark.parametrize("command", [DRAIN, STATUS, CANCEL], ids=lambda command: command[1])
def test_each_command_is_one_of_ours(command):
    assert parse_command(command)


def test_what_a_pod_held_is_delivered_by_another(pod, make_node, sink, tmp_path, monkeypatch):
    later = {"now": True}
    sink.judge = lambda _stage, _address: "451 4.3.2 later" if later["now"] else None
    goes = make_node(folder=folder_of(tmp_path, "goes"), queue=SOON)
    stays = make_node(folder=folder_of(tmp_path, "stays"), queue=SOON)
    monkeypatch.setattr(
        pod.script, "peer_of", lambda _pod, _count: f"http://127.0.0.1:{stays.http_port}"
    )
    pod.runs_cirrus(f"http://127.0.0.1:{goes.http_port}")

    with stays.running():
        with goes.running(), pod.api({"replicas": 2}):
            for number in range(5):
                goes.send(str(number))
            goes.wait_records("TransientFailure", 5)
            pod.script.stopping()
            assert goes.http(LIVENESS)[0] == 503
            assert goes.http(ALIVE)[0] == 200
        later["now"] = False
        stays.wait_records("Delivery", 5)
        with contextlib.ExitStack() as stack:
            # Wanted again: it begins by being drained, and takes mail once it was told.
            goes.launch()
            stack.callback(goes.kill)
            wait_until("an answer", lambda: answers(goes))
            assert goes.http(LIVENESS)[0] == 503
            pod.script.started()
            wait_until("200", lambda: goes.http(LIVENESS)[0] == 200)
            goes.stop()

    assert "handed on: left 0" in pod.log.read_text()
    assert len(sink.taken) == 5


def folder_of(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return folder


def answers(node):
    with contextlib.suppress(OSError):
        return node.http(ALIVE)[0] == 200
    return False
