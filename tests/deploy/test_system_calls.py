"""What the units forbid is nothing that the daemons need: their system calls, as they make them."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess

import pytest

from tests.deploy.deployment import DEPLOY
from tests.fakes.failing_disk import find_strace
from tests.fakes.node_process import wait_until

ANALYZE = shutil.which("systemd-analyze")
pytestmark = [
    pytest.mark.real_time,
    pytest.mark.slow,
    pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine"),
]


@functools.cache
def members(name):
    """Return the system calls of a set, sets in it resolved."""
    done = subprocess.run(
        [ANALYZE, "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    )
    found = set()
    for word in re.findall(r"^\s+(@?[\w-]+)\s*$", done.stdout, re.M):
        found |= members(word) if word.startswith("@") else {word}
    return frozenset(found)


@functools.cache
def allowed():
    """Return what the filter of the units leaves."""
    unit = (DEPLOY / "systemd" / "cirrus-node.service").read_text()
    left = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.M):
        names = line.lstrip("~").split()
        for name in names:
            left = left - members(name) if line.startswith("~") else left | members(name)
    return left


def test_a_node_makes_no_system_call_that_its_unit_forbids(make_node, sink, tmp_path):
    summary = tmp_path / "calls"
    wrap = (*find_strace(), "-D", "-f", "-qq", "-c", "-U", "name", "-o", str(summary))
    node = make_node(wrap=wrap)

    with node.running():
        for number in range(20):
            node.send(str(number))
        wait_until("them", lambda: len(sink.taken) >= 20)
        node.policy.write_text(node.policy.read_text() + "\n# another text\n")
        node.wait_log("policy loaded, epoch 2")
    wait_until("the summary", lambda: summary.is_file() and summary.stat().st_size)

    made = {line.split()[0] for line in summary.read_text().splitlines() if line.strip()}
    made = {name for name in made if re.fullmatch(r"[a-z]\w+", name)} - {"syscall", "total"}
    assert {"accept4", "fdatasync", "epoll_wait"} & made, made
    assert made - allowed() == set()
