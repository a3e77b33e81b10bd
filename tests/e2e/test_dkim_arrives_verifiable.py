"""What a node signs arrives at the next host as it was signed, however it came in."""

from __future__ import annotations

import pytest

from tests.fakes.dkim_oracle import ed25519_pair, is_verified, rsa_pair, tags_of
from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HANDLERS = """
    @on("message_received")
    def message_received(msg):
        headers = ["From", "To", "Subject"]
        common = dict(domain="example.com", headers=headers, over_sign=True, ttl=1)
        msg.dkim_sign(mta.dkim.rsa_sha256_signer(selector="r", key="{folder}/r.key", **common))
        msg.dkim_sign(mta.dkim.ed25519_signer(selector="e", key="{folder}/e.key", **common))
"""
BODY = ".dot\r\n..\r\n\tblanks \t \r\n\r\n" + "x" * 900 + "\r\n caf\u00e9\r\n\r\n\r\n"


@pytest.fixture
def signing_node(make_node, tmp_path):
    (tmp_path / "r.key").write_text(rsa_pair(bits=2048).pem)
    (tmp_path / "e.key").write_text(ed25519_pair().pem)
    return make_node(HANDLERS.format(folder=tmp_path))


def test_signatures_of_both_kinds_verify_where_the_mail_arrives(signing_node, sink):
    header = "From: A <a@example.com>\r\nTo: b@y.test,\r\n  c@y.test\r\nSubject:  two   words \r\n"
    inject = {
        "envelope_sender": "a@example.com",
        "recipients": [{"email": "d@y.test"}],
        "content": {
            "from": {"email": "a@example.com", "name": "\u00c4"},
            "subject": "over HTTP, caf\u00e9",
            "text_body": "Hello\n.\n  \n\n",
            "html_body": "<p>Hello</p>",
        },
    }

    with signing_node.running():
        with signing_node.client() as client:
            client.sendmail(
                "a@example.com", ["b@y.test", "c@y.test"], f"{header}\r\n{BODY}".encode()
            )
        signing_node.json("/api/inject/v1", inject)
        wait_until("all", lambda: len(sink.taken) == 3)

    for message in sink.taken:
        signatures = [tags_of(message.content, index) for index in (0, 1)]
        assert [tags["a"] for tags in signatures] == ["ed25519-sha256", "rsa-sha256"]
        assert is_verified(message.content, ed25519_pair(), 0), message.content
        assert is_verified(message.content, rsa_pair(bits=2048), 1), message.content
        assert not is_verified(b"Subject: forged\r\n" + message.content, rsa_pair(bits=2048), 1)


def test_a_key_replaced_in_its_file_signs_without_a_reload(signing_node, sink, tmp_path):
    header = "From: a@example.com\r\n"

    def arrived_with(number: int) -> bool:
        signing_node.send("s", headers=header)
        wait_until("a message", lambda: len(sink.taken) == before + 1)
        return is_verified(sink.taken[-1].content, rsa_pair(number, bits=2048), 1)

    with signing_node.running():
        before = 0
        assert arrived_with(0)
        (tmp_path / "new").write_text(rsa_pair(1, bits=2048).pem)
        (tmp_path / "new").rename(tmp_path / "r.key")

        def is_new() -> bool:
            nonlocal before
            before = len(sink.taken)
            return arrived_with(1)

        wait_until("the new key", is_new)

    assert "was read anew" in signing_node.log_text()
    assert "BEGIN" not in signing_node.log_text()
