"""What a container does to a node: it is process 1, and its scripts come by symbolic links."""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import time
from pathlib import Path

import pytest

from tests.fakes.node_process import PATIENCE_S, wait_until
from tests.fakes.tsa_process import TsaProcess
from tests.fakes.tsa_world import record_line, rule_text

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
NODE_ID = "6f1ba4c0-6a43-4a9b-8a4c-0d2f4c4e9d11"
TSA_SCRIPT = """
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="{folder}/state")
    mta.tsa.start_http_listener(listen="127.0.0.1:{port}")
    mta.tsa.set_refresh_interval("1s")


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml"]
"""
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")


def child_of(process_id):
    (child,) = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return int(child)


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace is made by root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare on this machine")
def test_as_process_one_a_node_takes_sigterm_and_drains(make_node, sink):
    node = make_node(wrap=ALONE, env={"CIRRUS_NODE_ID": NODE_ID})

    node.start()
    process_id = child_of(node.process.pid)
    node.send("x")
    wait_until("it", lambda: sink.taken)
    os.kill(process_id, signal.SIGTERM)
    status = node.process.wait(PATIENCE_S)

    (up,) = [line for line in node.log_text().splitlines() if " is up, " in line]
    assert status == 0
    assert node.log_text().rstrip().endswith("stopped")
    assert f"node {NODE_ID} is up" in up
    assert {record["nodeid"] for record in node.records()} == {NODE_ID}


def as_config_map(file, version):
    """Have a file come from a folder behind two links, as Kubernetes mounts a ConfigMap."""
    folder = file.parent / f"..{version}"
    folder.mkdir()
    (folder / file.name).write_text(file.read_text())
    swap = file.parent / "..data_tmp"
    swap.symlink_to(folder.name)
    swap.rename(file.parent / "..data")
    link = file.parent / f"{file.name}.link"
    link.symlink_to(f"..data/{file.name}")
    link.rename(file)


def change(file, version, old, new):
    """Change a file as Kubernetes does: another folder, and one link that is put in its place."""
    folder = file.parent / f"..{version}"
    folder.mkdir()
    text = file.read_text()
    assert old in text
    (folder / file.name).write_text(text.replace(old, new))
    swap = file.parent / "..data_tmp"
    before = (file.parent / "..data").resolve()
    swap.symlink_to(folder.name)
    swap.rename(file.parent / "..data")
    shutil.rmtree(before)


def test_a_node_follows_a_script_that_is_a_config_map(make_node):
    node = make_node(
        """
        @on("message_received")
        def message_received(msg):
            mta.reject(550, "5.7.1 the first text")
        """
    )
    as_config_map(node.policy, "2026_1")

    with node.running():
        with pytest.raises(smtplib.SMTPResponseException, match="the first text"):
            node.send("x")
        change(node.policy, "2026_2", "the first text", "another text")
        node.wait_log("policy loaded, epoch 2")
        with pytest.raises(smtplib.SMTPResponseException, match="another text"):
            node.send("x")
        change(node.policy, "2026_3", "mta.reject(", "mta.rejct(")
        node.wait_log("policy rejected")
        with pytest.raises(smtplib.SMTPResponseException, match="another text"):
            node.send("x")


def test_a_tsa_follows_rules_that_are_a_config_map(tmp_path):
    tsa = TsaProcess(tmp_path, rule_text('"Suspend"'), script=TSA_SCRIPT)
    as_config_map(tsa.rules, "2026_1")

    with tsa.running():
        change(tsa.rules, "2026_2", '"Suspend"', '["Suspend", "Bounce"]')
        tsa.wait_log("rules loaded anew")
        assert tsa.publish(record_line(time.time())) == 200
        kinds = {decision["kind"] for decision in tsa.decisions()}

    assert len(kinds) == 2
