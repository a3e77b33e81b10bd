"""What init declares differently after an edit is carried out, or reported and left as it was."""

from __future__ import annotations

import contextlib
import http.client
import socket

import pytest

from tests.fakes.node_process import wait_until
from tests.samples.running_node import free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_a_log_folder_that_cannot_be_had_is_reported_and_the_old_one_goes_on(
    make_node, sink, tmp_path
):
    node = make_node()
    (tmp_path / "file").write_text("no folder\n")

    with node.running():
        node.send("before")
        node.wait_records("Delivery", 1)
        text = node.policy.read_text()
        node.policy.write_text(text.replace(str(node.logs), str(tmp_path / "file" / "logs")))
        said = node.wait_log("ERROR")
        node.send("after")
        wait_until("it", lambda: sink.subjects()["after"])
        node.wait_records("Delivery", 2)

    assert str(tmp_path / "file") in said
    assert node.summary() == {"Reception": 2, "Delivery": 2}


def test_records_go_to_the_new_log_folder_after_an_edit_and_none_is_lost(make_node, sink, tmp_path):
    node = make_node()
    old, new = node.logs, tmp_path / "new-logs"

    with node.running():
        node.send("before")
        node.wait_records("Delivery", 1)
        node.policy.write_text(node.policy.read_text().replace(str(old), str(new)))
        wait_until("the new folder", new.is_dir)
        node.send("after")
        node.logs = new
        node.wait_records("Delivery", 1)

    assert node.summary() == {"Reception": 1, "Delivery": 1}
    node.logs = old
    assert node.summary() == {"Reception": 1, "Delivery": 1}


def test_a_listener_that_cannot_be_had_is_reported_and_the_others_stay(make_node, sink):
    node = make_node()
    (extra,) = free_ports(1)

    with socket.socket() as taken, node.running():
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = node.policy.read_text()
        node.policy.write_text(
            text.replace(
                "    mta.start_http_listener(",
                f"    mta.start_esmtp_listener(listen='127.0.0.1:{port}')\n"
                f"    mta.start_esmtp_listener(listen='127.0.0.1:{extra}')\n"
                "    mta.start_http_listener(",
            )
        )
        said = node.wait_log("ERROR")
        node.send("still")
        wait_until("it", lambda: sink.taken)
        wait_until("the other new one", lambda: answers(extra))
        assert node.is_live()

    assert f"127.0.0.1:{port}" in said


def test_an_http_listener_that_changes_goes_on_at_its_port(make_node, sink):
    node = make_node()

    with node.running():
        kept = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
        kept.request("GET", "/api/check-liveness/v1")
        assert kept.getresponse().read() is not None
        text = node.policy.read_text()
        address = f'mta.start_http_listener(listen="127.0.0.1:{node.http_port}"'
        node.policy.write_text(text.replace(address, address + ", request_body_limit=100"))
        body = {"envelope_sender": "a@x.test", "recipients": [], "content": "x" * 500}
        wait_until("the new limit", lambda: status_of(node, body) == 413)
        kept.close()
        assert node.is_live()


def status_of(node, body):
    with contextlib.suppress(OSError):
        return node.http("/api/inject/v1", body)[0]
    return 0


def answers(port):
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=2) as connection,
    ):
        return connection.recv(3) == b"220"
    return False
