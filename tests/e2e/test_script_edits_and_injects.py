"""A script rewrites the mail that passes and sends mail of its own; both arrive as made."""

from __future__ import annotations

import email
import email.policy

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HANDLERS = """
    from mta import mimepart

    rate = mta.make_throttle("notices", "100/s")


    @on("message_received")
    async def message_received(msg):
        msg.check_fix_conformance("", "MISSING_DATE_HEADER|MISSING_MESSAGE_ID_HEADER")
        msg.append_text_plain("\\n-- \\nfooter: \\u00fc\\n")
        await rate.sleep_if_throttled()
        builder = mimepart.builder()
        builder.text_plain("seen: " + (msg.get_first_named_header_value("Subject") or ""))
        builder.attach("application/json", b"{}", file_name="facts.json")
        root = builder.build()
        root.headers.set_from("node@x.test")
        root.headers.set_subject("notice")
        await mta.inject_message(mta.make_message("node@x.test", "watcher@y.test", root))
"""


def test_both_messages_arrive(make_node, sink):
    node = make_node(HANDLERS)

    with node.running():
        node.send("hello", "anna@y.test")
        wait_until("both", lambda: len(sink.taken) == 2)
        node.wait_records("Delivery", 2)

    found = {
        taken.recipients[0]: email.message_from_bytes(taken.content, policy=email.policy.default)
        for taken in sink.taken
    }
    passed, made = found["anna@y.test"], found["watcher@y.test"]
    assert "footer: \u00fc" in passed.get_content()
    assert passed["Subject"] == "hello" and passed["Date"] and passed["Message-ID"]
    assert made.get_body().get_content().strip() == "seen: hello"
    assert [part.get_filename() for part in made.iter_attachments()] == ["facts.json"]
    receptions = node.records("Reception")
    assert {record["reception_protocol"] for record in receptions} == {"ESMTP", "Script"}
