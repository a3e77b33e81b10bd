"""Mail that a script has signed: what is covered, and what happens when it cannot be signed."""

from __future__ import annotations

import logging

import pytest

from tests.fakes.dkim_oracle import is_verified, rsa_pair, tags_of

pytestmark = pytest.mark.real_time

BODY = b"From: a@example.com\r\nSubject: s\r\n\r\nhello\r\n"
SIGNER = f"""
OPTIONS = dict(domain="example.com", selector="s1", key={{"key_data": {rsa_pair().pem!r}}})

def signer(*more, **changes):
    headers = ["From", "Subject", *more]
    return mta.dkim.rsa_sha256_signer(headers=headers, **{{**OPTIONS, **changes}})
"""
SIGNS = SIGNER + "@on('message_received')\ndef received(msg):\n    msg.dkim_sign(signer())\n"


async def test_what_is_taken_is_signed_in_front_of_all_else(start_node):
    node = await start_node(SIGNS, trace_headers={"supplemental_header": True})
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == 250

    content = node.content()
    assert content.startswith(b"DKIM-Signature: v=1;")
    assert content.index(b"X-KumoRef:") < content.index(b"Received:")
    assert is_verified(content, rsa_pair())
    assert node.taken[0].size == len(content)


async def test_an_edit_after_the_note_is_covered(start_node):
    node = await start_node(
        SIGNER
        + "@on('message_received')\ndef received(msg):\n"
        + "    msg.dkim_sign(signer('X-Late'))\n"
        + "    msg.append_header('X-Late', '1')\n"
        + "    msg.prepend_header('X-Early', '1')\n"
    )
    client = await node.greeted()
    await client.deliver(BODY)

    content = node.content()
    assert is_verified(content, rsa_pair())
    assert content.startswith(b"DKIM-Signature")
    assert not is_verified(content.replace(b"X-Late: 1", b"X-Late: 2"), rsa_pair())


async def test_trace_headers_can_be_signed(start_node):
    node = await start_node(SIGNS.replace("signer()", "signer('Received', 'X-KumoRef')"))
    client = await node.greeted()
    await client.deliver(BODY, to=(b"b@y.test", b"c@y.test"))

    contents = [node.content(0), node.content(1)]
    assert all(is_verified(content, rsa_pair()) for content in contents)
    assert len({tags_of(content)["b"] for content in contents}) == 2


async def test_several_signatures_are_made_in_order(start_node):
    node = await start_node(
        SIGNER
        + "@on('message_received')\ndef received(msg):\n"
        + "    for name in ('one', 'two'):\n"
        + "        msg.dkim_sign(signer(selector=name))\n"
    )
    client = await node.greeted()
    await client.deliver(BODY)

    content = node.content()
    assert [tags_of(content, index)["s"] for index in (0, 1)] == ["two", "one"]
    assert is_verified(content, rsa_pair(), 0) and is_verified(content, rsa_pair(), 1)


@pytest.mark.parametrize("event", ["smtp_data", "smtp_split_transaction"])
async def test_what_is_noted_for_the_whole_signs_each_part(start_node, event):
    node = await start_node(
        SIGNER + f"@on('{event}')\ndef f(msg, conn):\n    msg.dkim_sign(signer())\n"
    )
    client = await node.greeted()
    await client.deliver(BODY, to=(b"b@y.test", b"c@z.test"))

    assert len(node.taken) == 2
    assert all(is_verified(node.content(index), rsa_pair()) for index in (0, 1))


async def test_one_part_can_be_signed_and_another_not(start_node):
    node = await start_node(
        SIGNER
        + "@on('message_received')\ndef received(msg):\n"
        + "    if msg.recipient.domain == 'y.test':\n        msg.dkim_sign(signer())\n"
    )
    client = await node.greeted()
    await client.deliver(BODY, to=(b"b@y.test", b"c@z.test"))

    assert [node.content(index).startswith(b"DKIM-") for index in (0, 1)] == [True, False]


async def test_dots_blanks_and_octets_are_signed_as_they_are_sent(start_node):
    node = await start_node(SIGNS)
    client = await node.greeted()
    await client.deliver(BODY + b"..a\r\n \t\r\n\xe9\xff\r\n...\r\n\r\n\r\n")

    assert node.content().endswith(b".a\r\n \t\r\n\xe9\xff\r\n..\r\n\r\n\r\n")
    assert is_verified(node.content(), rsa_pair())


async def test_bare_line_ends_are_signed_as_they_will_be_sent(start_node):
    node = await start_node(SIGNS, invalid_line_endings="Allow")
    client = await node.greeted()
    await client.deliver(BODY + b"one\ntwo\r\n")

    assert is_verified(node.content().replace(b"one\ntwo", b"one\r\ntwo"), rsa_pair())


class BrokenSigning:
    """Signs nothing."""

    async def sign(self, jobs, wall_s) -> None:
        raise RuntimeError("no thread is left")


async def test_a_message_that_cannot_be_signed_is_451_and_not_taken(start_node, caplog):
    node = await start_node(SIGNS)
    node.admission._signing = BrokenSigning()
    client = await node.greeted()

    with caplog.at_level(logging.ERROR, "cirrus.receive"):
        reply = await client.deliver(BODY)

    assert (reply.code, reply.text) == (451, "4.3.0 policy unavailable, try again later")
    assert node.taken == [] and not node.store.envelopes
    assert "cannot be signed" in caplog.text and "no thread is left" in caplog.text


@pytest.mark.parametrize(
    "line", ["msg.dkim_sign('s1')", "[msg.dkim_sign(signer()) for _ in range(9)]"]
)
async def test_a_wrong_note_is_451_and_not_taken(start_node, line):
    node = await start_node(SIGNER + f"@on('message_received')\ndef r(msg):\n    {line}\n")
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == 451
    assert node.taken == []


async def test_what_goes_nowhere_is_not_signed(start_node):
    node = await start_node(SIGNS + "    msg.set_meta('queue', 'null')\n")
    client = await node.greeted()

    assert (await client.deliver(BODY)).code == 250
    assert node.taken == []
