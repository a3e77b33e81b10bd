"""The hosts of the shapes: they reach each other and nothing else, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.shapes import hosts
from tests.shapes.daemons import ROOT, SHAPE, run_on, wait_until

pytestmark = SHAPE

KILLED = """
import os, signal, subprocess
from tests.shapes.hosts import Network
host = Network().add_host("a", "192.0.2.1/24")
with host.inside():
    child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(host.namespace, child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def two(world):
    first = world.add_host("a", "192.0.2.1/24", "2001:db8::1/64")
    return first, world.add_host("b", "192.0.2.2/24", "2001:db8::2/64")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_hosts_reach_each_other_by_their_addresses(two, family):
    first, second = two
    own, other = (one.addresses[family == socket.AF_INET6] for one in two)
    with second.inside():
        listening = socket.create_server((other, 25), family=family)
    with listening, first.inside(), socket.create_connection((other, 25), timeout=5):
        accepted, peer = listening.accept()
        accepted.close()

    assert peer[0] == own


def test_nothing_but_other_hosts_is_reached_and_the_machine_has_no_link_to_them(two):
    first, _ = two

    assert run_on(first, "ip", "route", "get", "198.51.100.1").returncode != 0
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    assert "br0" not in links.stdout
    assert "to-a" not in links.stdout
    with pytest.raises(OSError, match="tried to reach"):
        socket.create_connection(("192.0.2.1", 25), timeout=1)


def test_nothing_is_left_of_a_closed_world(two, world):
    first, _ = two
    with first.inside():
        child = subprocess.Popen(["sleep", "600"])

    world.close()

    assert child.wait(10) == -signal.SIGKILL
    assert first.namespace not in hosts.namespaces()


def test_what_a_killed_run_left_is_removed_and_what_others_use_is_not(two):
    first, _ = two
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    namespace, child = done.stdout.split()
    assert done.returncode == -signal.SIGKILL

    hosts.remove_leftovers()

    # Another test run may be removing them at the same time.
    wait_until("the removal", lambda: namespace not in hosts.namespaces())
    wait_until("the end of what ran there", lambda: not is_running(int(child)))
    assert first.namespace in hosts.namespaces()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
