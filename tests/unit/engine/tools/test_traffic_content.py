"""The load generator's messages."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter

import pytest

from engine.tools.traffic_content import MessageMaker, stuff_dots
from engine.tools.traffic_options import TrafficOptions


def maker(**given) -> MessageMaker:
    return MessageMaker(TrafficOptions(("127.0.0.1", 25), **given), lambda: 1_000_000_000.0)


def body_of(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[2]


def test_a_message_is_one_for_every_parser():
    message = maker(headers=["X-Tenant: a"]).make(7)

    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert parsed.defects == []
    assert (parsed["From"], parsed["To"]) == (
        "traffic@sender.example",
        "user.7@traffic.example",
    )
    assert (parsed["Subject"], parsed["X-Tenant"]) == ("traffic 7", "a")
    assert parsed["Date"].datetime.timestamp() == 1_000_000_000.0
    assert message.recipients == ("user.7@traffic.example",)


def test_mail_without_a_sender_still_has_a_from():
    assert b"From: <postmaster@traffic.example>\r\n" in maker(sender="").make(1).content


def test_messages_differ():
    make = maker().make
    ids = {re.search(rb"Message-ID: (\S+)", make(number).content)[1] for number in range(100)}
    assert len(ids) == 100


def test_several_recipients_share_a_domain():
    message = maker(recipients=3, local_part="tempfail").make(1)
    assert message.recipients == tuple(f"tempfail.1.{n}@traffic.example" for n in (1, 2, 3))


def test_domains_come_by_their_weights():
    make = maker(domains=(("a", 3.0), ("b", 1.0)), seed=1).make
    seen = Counter(make(number).recipients[0].rpartition("@")[2] for number in range(4000))
    assert seen["a"] == pytest.approx(3000, rel=0.05)
    assert seen["a"] + seen["b"] == 4000


@pytest.mark.parametrize("size", [2, 3, 76, 77, 78, 79, 2048, 100_000])
def test_bodies_have_the_size_asked_for_and_whole_lines(size):
    body = body_of(maker(size_bytes=(size, size)).make(1).content)
    assert len(body) == size
    assert body.endswith(b"\r\n")
    assert body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r")
    assert max(map(len, body.split(b"\r\n"))) <= 998
    assert not any(line.startswith(b".") for line in body.split(b"\r\n"))


def test_sizes_are_spread_over_their_range():
    make = maker(size_bytes=(100, 200), seed=1).make
    sizes = {len(body_of(make(number).content)) for number in range(2000)}
    assert (min(sizes), max(sizes)) == (100, 200)


def test_the_same_seed_makes_the_same():
    one, two = (
        maker(seed=5, size_bytes=(10, 9999), domains=(("a", 1.0), ("b", 1.0))) for _ in "12"
    )
    assert [len(one.make(n).content) for n in range(50)] == [
        len(two.make(n).content) for n in range(50)
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"a\nb", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"", b"\r\n"),
        (b"\xff\r", b"\xff\r\n"),
    ],
)
def test_a_given_body_is_sent_with_line_ends_of_the_wire(given, sent):
    assert body_of(maker(body=given).make(1).content) == sent


@pytest.mark.parametrize(
    ("content", "stuffed"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed(content, stuffed):
    assert stuff_dots(content) == stuffed
