"""A node that cannot start says why in one line, with file and line where there is one.

The lines of the script that led to it may follow.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.fakes.node_process import wait_until
from tests.samples.running_node import ROOT

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def failure_of(node):
    """Return the status and the reason of a node that does not start."""
    status = node.launch().wait(20)
    text = node.log_text()
    assert "Traceback" not in text, text
    lines = text.splitlines()
    errors = [line for line in lines if "INFO" not in line and "  at " not in line]
    assert len(errors) <= 2, errors
    return status, errors[-1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import mta\n", "import mta\nimport os\n", "policy.py:2"),
        ("import mta\n", "import mta\nx = (\n", "policy.py:2"),
        ("    mta.define_spool(", "    mta.define_spol(", "policy.py:7"),
        ('hostname="mx.test"', 'hostnam="mx.test"', "hostnam"),
        ("    mta.define_spool(", "    1 / 0\n    mta.define_spool(", "policy.py:7"),
    ],
    ids=["import", "syntax", "function", "keyword", "exception"],
)
def test_a_mistake_in_the_script_is_named(make_node, old, new, said):
    node = make_node()
    text = node.policy.read_text()
    assert old in text
    node.policy.write_text(text.replace(old, new, 1))

    status, line = failure_of(node)

    assert status == 1
    assert said in line


def test_a_port_in_use_is_named(make_node):
    node = make_node()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", node.smtp_port))
        taken.listen()
        status, line = failure_of(node)

    assert status == 1
    assert f"127.0.0.1:{node.smtp_port}" in line


def test_an_http_port_in_use_is_named_and_nothing_is_left_running(make_node):
    node = make_node()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", node.http_port))
        taken.listen()
        status, line = failure_of(node)

    assert status == 1
    assert f"127.0.0.1:{node.http_port}" in line


def test_a_node_id_that_is_none_is_named(make_node):
    node = make_node(env={"CIRRUS_NODE_ID": "node-1"})

    status, line = failure_of(node)

    assert status == 1
    assert line.endswith("CIRRUS_NODE_ID is no UUID: 'node-1'")


def test_a_spool_folder_that_is_a_file_is_named(make_node):
    node = make_node()
    node.spool.write_text("not a folder\n")

    status, line = failure_of(node)

    assert status == 1
    assert str(node.spool) in line


def test_a_log_folder_that_cannot_be_made_is_named(make_node):
    node = make_node()
    node.logs.write_text("not a folder\n")

    status, line = failure_of(node)

    assert status == 1
    assert str(node.logs) in line


def test_a_policy_that_is_not_there_is_named(make_node, tmp_path):
    node = make_node()
    node.policy.unlink()

    status, line = failure_of(node)

    assert status in (1, 2)
    assert str(node.policy) in line


def test_a_diagnostic_log_nobody_reads_any_more_does_not_end_the_node(make_node, sink):
    node = make_node()
    reading, writing = os.pipe()
    node.process = subprocess.Popen(
        [sys.executable, "-m", "engine", "--policy", str(node.policy), "--drain", "3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=writing,
    )
    os.close(writing)
    wait_until("the node", node.is_live)
    os.close(reading)

    node.write("broken (\n")
    node.signal(1)
    node.send("x")
    wait_until("it", lambda: sink.taken)

    assert node.stop() == 0
