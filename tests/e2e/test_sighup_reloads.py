"""SIGHUP loads the policy again; sessions and listeners that did not change go on."""

from __future__ import annotations

import signal
import smtplib
import socket

import pytest

from tests.fakes.node_process import wait_until
from tests.samples.running_node import free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_the_policy_is_loaded_again_also_when_it_did_not_change(make_node, sink):
    node = make_node()

    with node.running(), node.client() as client:
        client.ehlo()
        node.signal(signal.SIGHUP)
        node.wait_log("policy loaded", 2)
        assert client.docmd("NOOP")[0] == 250
        node.send("after")
        wait_until("it", lambda: sink.taken)


def test_a_broken_policy_is_named_and_the_node_goes_on(make_node, sink):
    node = make_node()

    with node.running():
        node.write("this is no Python\n")
        node.signal(signal.SIGHUP)
        said = node.wait_log("policy rejected")
        node.send("after")
        wait_until("it", lambda: sink.taken)

    assert f"{node.policy}:" in said
    assert "Traceback" not in node.log_text()


def test_listeners_are_added_changed_and_removed_without_dropping_sessions(make_node, sink):
    (extra,) = free_ports(1)
    node = make_node(init=f"mta.start_esmtp_listener(listen='127.0.0.1:{extra}', relay_hosts=[])")
    text = node.policy.read_text()

    with node.running():
        old = smtplib.SMTP("127.0.0.1", extra, timeout=10)
        old.ehlo()
        node.policy.write_text(text.replace(f"127.0.0.1:{extra}", f"127.0.0.2:{extra}"))
        node.signal(signal.SIGHUP)
        wait_until("the new one", lambda: accepts("127.0.0.2", extra))
        wait_until("the old one's end", lambda: not accepts("127.0.0.1", extra))
        assert old.docmd("NOOP")[0] == 250
        changed = node.policy.read_text().replace('hostname="mx.test"', 'hostname="new.test"')
        node.policy.write_text(changed)
        node.signal(signal.SIGHUP)
        wait_until("the new name", lambda: b"new.test" in banner(node.smtp_port))
        assert old.docmd("NOOP")[0] == 250
        old.close()


def test_a_spool_that_moves_is_reported_as_needing_a_restart(make_node, sink, tmp_path):
    node = make_node()

    with node.running():
        text = node.policy.read_text().replace(str(node.spool), str(tmp_path / "elsewhere"))
        node.policy.write_text(text)
        node.signal(signal.SIGHUP)
        said = node.wait_log("restart")
        node.send("after")
        wait_until("it", lambda: sink.taken)

    assert "spool" in said
    assert not (tmp_path / "elsewhere").exists()


def accepts(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def banner(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(1000)
