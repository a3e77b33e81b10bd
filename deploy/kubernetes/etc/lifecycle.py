"""What a node does when its pod has started and before it stops: run in the pod by Kubernetes.

A node that is scaled away hands its mail on to one that stays, and only then ends. One that is
restarted, moved or upgraded finds its mail on its volume again, and hands on nothing. Which of the
two it is, the StatefulSet tells: the pods it keeps are those with the lowest numbers.

Failure: when nobody can say how many nodes there are to be, the mail stays on its volume, and is
delivered when the pod is back.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: The standard error of process 1, which is the node.
LOG = Path("/proc/1/fd/2")
#: What the drain is called, so that it is told from one that a person began.
REASON = "scaled away"
#: How long mail may be handed on, seconds; within terminationGracePeriodSeconds, less --drain.
HAND_ON_S = 3600
#: How long clients may take to see that the pod is leaving, seconds.
NOTICE_S = 5
#: How long a node may take to answer after its start, seconds.
START_S = 600


def say(text):
    """Write a line where the node's own go: the output of hooks is kept by nobody."""
    with contextlib.suppress(OSError), LOG.open("a", encoding="utf-8") as log:
        log.write(f"lifecycle: {text}\n")


def peer_of(pod, replicas):
    """Return the URL of the node that gets the mail of a pod; None if the pod stays, or all go."""
    name, _, number = pod.rpartition("-")
    if int(number) < replicas or replicas == 0:
        return None
    return f"http://{name}-{int(number) % replicas}.{name}:8000"


def wanted_replicas(pod):
    """Return how many nodes there are to be, as the cluster's API says."""
    name = pod.rpartition("-")[0]
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    namespace = (ACCOUNT / "namespace").read_text().strip()
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}/scale"
    token = (ACCOUNT / "token").read_text().strip()
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    api = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
    try:
        api.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = api.getresponse()
        if answer.status != 200:
            raise OSError(f"the API answers {answer.status}")
        return json.load(answer)["spec"].get("replicas", 0)
    finally:
        api.close()


def cirrus(*arguments):
    """Run a command of the node's administration; return its status and its output."""
    done = subprocess.run(["cirrus", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.strip()


def stopping():
    """Hand the mail on if the pod is not to come back."""
    pod = socket.gethostname()
    try:
        replicas = wanted_replicas(pod)
    except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
        say(f"cannot ask how many nodes there are to be, the mail stays on its volume: {error}")
        replicas = sys.maxsize
    peer = peer_of(pod, replicas)
    if peer is None:
        time.sleep(NOTICE_S)
        return
    say(f"scaled away: handing mail on to {peer}")
    status, left = cirrus("drain", "--to", peer, "--reason", REASON, "--timeout", f"{HAND_ON_S}s")
    say(f"{'handed on' if status == 0 else 'NOT ALL MAIL WAS HANDED ON'}: {left}")


def started():
    """Take mail again, if the pod was scaled away before and is wanted again."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        _, text = cirrus("drain", "--status", "--json")
        if text:
            report = json.loads(text)
            if report["draining"] and report["reason"] == REASON:
                say("wanted again: the drain is cancelled")
                cirrus("drain", "--cancel")
            return
        time.sleep(1)
    say("the node gives no answer")


if __name__ == "__main__":
    {"started": started, "stopping": stopping}[sys.argv[1]]()
