"""Operators look into a running node and change it: sessions, rebinding, tracing, audit, access."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from tests.fakes.node_process import submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ACCESS = """
@on("http_auth_basic")
def http_auth_basic(user, password):
    if password != "correct-horse":
        return False
    return {"identities": [user], "groups": ["operators"] if user == "ann" else []}


@on("get_acl_definition")
def get_acl_definition(resource):
    if resource == "http_listener/*/api/admin":
        return mta.make_access_control_list([
            {"criteria": {"Group": "operators"}, "privileges": ["GET", "POST", "DELETE"],
             "access": "Allow"},
        ])
"""


def basic(user: str, password: str) -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def test_a_session_under_way_is_seen_and_ended_and_its_message_goes_again(make_node, sink):
    node = make_node(path="connection_limit=1")
    sink.gate.clear()

    with node.running():
        node.send("stuck")
        wait_until("a delivery under way", lambda: sink.tried)
        (queue,) = node.json("/api/admin/queues/v1")["ready"]
        name = queue["queue_name"]
        shown = node.json(f"/api/admin/inspect-ready-q/v1?queue_name={urllib.parse.quote(name)}")
        (session,) = shown["dispatchers"]
        ended = node.http(
            "/api/admin/abort-ready-q-conn/v1",
            {"queue_name": name, "session_id": session["session_id"]},
        )
        sink.gate.set()
        # What is thrown back comes again within a minute, unless somebody is in a hurry.
        (dropped,) = node.wait_records("Delayed", 1)
        hurried = node.http("/api/admin/send-now/v1", {"id": dropped["id"]})
        node.wait_records("Delivery", 1)

    assert "DispatcherDrop" in dropped["response"]["content"]
    assert hurried[0] == 200
    assert queue["connections"] == 1
    assert (session["phase"], shown["protocol"]) == ("DeliveringMessage", "smtp_client")
    assert ended[0] == 200
    assert node.wait_records("Delivery", 1)[0]["num_attempts"] == 0


def test_mail_for_a_dead_host_is_moved_to_another_one_by_its_routing_domain(make_node, sink):
    node = make_node(queue="retry_interval='1h'")
    sink.judge = lambda stage, address: "451 4.3.2 later" if not moved else None
    moved: list[bool] = []

    with node.running():
        node.send("waits", "b@y.test")
        node.wait_records("TransientFailure", 1)
        moved.append(True)
        answer = node.json(
            "/api/admin/rebind/v1",
            {"reason": "host is dead", "domain": "y.test", "data": {"routing_domain": "z.test"}},
        )
        (record,) = node.wait_records("AdminRebind", 1)
        (delivery,) = node.wait_records("Delivery", 1)

    assert (answer["seen"], answer["moved"]) == (1, 1)
    assert "host is dead (by 127.0.0.1)" in record["response"]["content"]
    assert (delivery["queue"], delivery["num_attempts"]) == ("y.test!z.test", 1)


def test_acts_are_audited_over_a_restart_also_those_that_were_refused(make_node, sink):
    node = make_node(ACCESS)
    suspend = "/api/admin/suspend/v1"
    body = {"reason": "too hot", "domain": "y.test"}

    node.start()
    ann = node.http(suspend, body, headers=basic("ann", "correct-horse"))
    bob = node.http(suspend, body, headers=basic("bob", "correct-horse"))
    eve = node.http(suspend, body, headers=basic("eve", "guessed"))
    anonymous = node.http(suspend, body)
    node.kill()
    with node.running():
        path = "/api/admin/audit/v1?limit=10"
        status, _, text = node.http(path, headers=basic("ann", "correct-horse"))

    assert [one[0] for one in (ann, bob, eve, anonymous)] == [200, 403, 401, 401]
    assert status == 200
    found = [(one["act"], one["identity"], one["result"]) for one in json.loads(text)["entries"]]
    assert ("suspend", "ann", "done") in found
    assert ("POST /api/admin/suspend/v1", "bob", "denied") in found
    assert ("POST /api/admin/suspend/v1", "127.0.0.1", "denied") in found
    for secret in ("correct-horse", "guessed"):
        assert secret not in text.decode() and secret not in node.log_text()


def test_the_machine_its_memory_tasks_and_spool_are_shown_and_tended(make_node, sink):
    node = make_node()

    with node.running():
        node.send("one")
        wait_until("it", lambda: sink.taken)
        machine = node.json("/api/machine-info")
        memory = node.http("/api/admin/memory/stats")[2]
        tasks = node.http("/api/admin/task-dump")[2]
        compacted = node.http("/api/admin/spool-compact/v1", {"name": "data"})
        louder = node.http("/api/admin/set_diagnostic_log_filter/v1", {"filter": "debug"})
        way = node.json("/api/admin/resolve-egress-path/v1?domain=y.test&source=unspecified")
        with node.client() as client:
            submit(client, "two")
        wait_until("it", lambda: len(sink.taken) == 2)

    assert machine["num_cores"] >= 1 and machine["online_since"].endswith("Z")
    assert b"resident" in memory and b"tasks" in tasks
    assert (compacted[0], louder[0]) == (200, 200)
    assert way["queue_name"].startswith("unspecified->")
