"""What is injected by HTTP is delivered as mail, byte for byte as it was built."""

from __future__ import annotations

import email
import email.policy
import json

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

INJECT = "/api/inject/v1"


def test_a_message_for_each_recipient_arrives_with_its_own_words(make_node, sink):
    node = make_node("""
        @on("message_received")
        def message_received(msg):
            if msg.recipient.user == "unwanted":
                mta.reject(550, "5.7.1 not this one")
            msg.set_meta("tenant", msg.get_meta("extra")["team"])
    """)
    body = {
        "envelope_sender": "bounce@x.test",
        "recipients": [
            {"email": "anna@y.test", "substitutions": {"name": "Anna"}, "metadata": {"team": "t1"}},
            {"email": "bert@y.test", "substitutions": {"name": "Bert"}, "metadata": {"team": "t2"}},
            {"email": "unwanted@y.test", "substitutions": {"name": "X"}},
        ],
        "content": {
            "from": {"email": "news@x.test", "name": "News"},
            "subject": "Dear {{ name }}, caf\u00e9",
            "text_body": "Hello {{ name }}\n.\nbye\n",
            "html_body": "<p>Hello {{ name }}</p>",
        },
    }

    with node.running():
        answer = node.json(INJECT, body)
        wait_until("both", lambda: len(sink.taken) == 2)
        node.wait_records("Delivery", 2)

    assert (answer["success_count"], answer["fail_count"]) == (2, 1)
    assert answer["failed_recipients"] == ["unwanted@y.test"]
    parsed = {
        message.recipients[0]: email.message_from_bytes(
            message.content, policy=email.policy.default
        )
        for message in sink.taken
    }
    assert parsed["anna@y.test"]["Subject"] == "Dear Anna, caf\u00e9"
    plain = parsed["bert@y.test"].get_body(("plain",)).get_content()
    assert plain.replace("\r\n", "\n") == "Hello Bert\n.\nbye\n"
    assert {message.sender for message in sink.taken} == {"bounce@x.test"}
    queues = {record["queue"] for record in node.records("Delivery")}
    assert queues == {"t1@y.test", "t2@y.test"}
    assert {record["reception_protocol"] for record in node.records("Reception")} == {"HTTP"}


def test_wrong_requests_name_the_field_and_leave_nothing(make_node, sink):
    node = make_node()
    good = {"envelope_sender": "a@x.test", "recipients": [{"email": "b@y.test"}], "content": "x"}

    with node.running():
        for change, field in [
            ({"recipients": [{"mail": "b@y.test"}]}, "mail"),
            ({"envelope_sender": 5}, "envelope_sender"),
            ({"content": "{{ open"}, "content"),
            ({"surprise": 1}, "surprise"),
        ]:
            status, headers, text = node.http(INJECT, {**good, **change})
            assert status == 422, (change, status, text)
            assert headers["Content-Type"].startswith("application/json")
            assert field in json.dumps(json.loads(text))
        assert node.http(INJECT, method="GET")[0] == 405
        assert node.is_live()

    assert sink.taken == []
    assert node.records() == []


def test_a_handler_that_cannot_judge_credentials_is_no_wrong_password(make_node):
    node = make_node("""
        @on("http_auth_bearer")
        def http_auth_bearer(token):
            if token == "broken":
                1 // 0
            return token == "right"
    """)
    body = {"envelope_sender": "", "recipients": [{"email": "a@y.test"}], "content": "A: b\n\nc"}

    with node.running():
        answers = {
            token: node.http(INJECT, body, headers={"Authorization": f"Bearer {token}"})[0]
            for token in ("right", "wrong", "broken")
        }

    assert answers == {"right": 200, "wrong": 401, "broken": 503}
    assert "ZeroDivisionError" in node.wait_log("handler of http_auth_bearer failed")
    assert "Traceback" not in node.log_text()
