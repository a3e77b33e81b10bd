"""A tenant sends as its own domains only, whatever way somebody tries to get around it."""

from __future__ import annotations

import pytest

from engine.script_refusals import SmtpRefusal
from tests.fakes.helper_world import HelperWorld, make_message

SCRIPT = """
queues.setup({
    "default_tenant": "shop",
    "tenant": {"shop": {
        "allowed_from_domains": ["shop.example", "*.mail.example", "bücher.example"],
        "allowed_mail_from_domains": ["bounce.example", "*.bounce.example"],
    }},
})

@on("message_received")
def message_received(msg):
    queues.apply(msg)
"""


@pytest.fixture
def world(tmp_path):
    made = HelperWorld(tmp_path)
    made.load(SCRIPT)
    return made


def send(world, header="From: a@shop.example\r\n", sender="a@bounce.example"):
    message = make_message(header, sender=sender)
    world.handle("message_received", message)
    return message


@pytest.mark.parametrize(
    "header",
    [
        "From: a@shop.example\r\n",
        "From: The Shop <a@SHOP.Example.>\r\n",
        "From: a@b.mail.example\r\n",
        "From: a@c.b.mail.example\r\n",
        "From: a@bücher.example\r\n",
        "From: a@xn--bcher-kva.example\r\n",
        "From: a@shop.example, b@x.mail.example\r\n",
        'From: "evil@other.example" <a@shop.example>\r\n',
        "From: =?utf-8?q?evil=40other.example=2C?= <a@shop.example>\r\n",
    ],
)
def test_mail_of_an_own_domain_goes(world, header):
    assert send(world, header).meta["tenant"] == "shop"


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        ("From: a@other.example\r\n", "other.example"),
        ("From: a@mail.example\r\n", "mail.example"),
        ("From: a@xshop.example\r\n", "xshop.example"),
        ("From: a@sub.shop.example\r\n", "sub.shop.example"),
        ("From: a@shop.example, b@other.example\r\n", "other.example"),
        ("From: a@shop.example\r\nFrom: b@other.example\r\n", "other.example"),
        ("From: a@shop.example\r\nfrom : b@other.example\r\n", "other.example"),
        ("From:\r\n a@other.example\r\n", "other.example"),
        ('From: "a@shop.example" <b@other.example>\r\n', "other.example"),
        ("From: a@shop.example (<b@shop.example>) <c@other.example>\r\n", None),
        ("From: staff: a@shop.example, b@other.example;\r\n", "other.example"),
    ],
)
def test_mail_of_another_domain_is_refused_with_its_name(world, header, domain):
    with pytest.raises(SmtpRefusal) as caught:
        send(world, header)

    assert caught.value.reply.code == 550
    assert domain is None or domain in caught.value.reply.one_line()
    assert caught.value.reply.one_line().startswith("550 5.7.1")


@pytest.mark.parametrize(
    "header",
    [
        "Subject: nobody\r\n",
        "From:\r\n",
        "From: nobody\r\n",
        "From: undisclosed:;\r\n",
        "From: a@shop.example\r\n" * 21,
        "From: <a@shop.example\r\n",
    ],
)
def test_mail_whose_origin_cannot_be_read_is_refused(world, header):
    with pytest.raises(SmtpRefusal, match=r"550 5\.7\.1 the From header"):
        send(world, header)


@pytest.mark.parametrize("sender", ["a@bounce.example", "a@x.bounce.example", ""])
def test_a_sender_of_an_own_domain_and_a_bounce_go(world, sender):
    assert send(world, sender=sender).meta["tenant"] == "shop"


@pytest.mark.parametrize("sender", ["a@shop.example", "a@xbounce.example", "a@[10.0.0.1]"])
def test_a_sender_of_another_domain_is_refused(world, sender):
    with pytest.raises(SmtpRefusal, match=r"550 5\.7\.1 .*MAIL FROM"):
        send(world, sender=sender)


def test_an_empty_list_allows_nothing(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(SCRIPT.replace('["bounce.example", "*.bounce.example"]', "[]"))

    with pytest.raises(SmtpRefusal):
        send(world)


def test_who_has_no_lists_sends_as_anybody(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(
        'queues.setup({"default_tenant": "x", "tenant": {"x": {}}})\n'
        '@on("message_received")\ndef f(msg):\n    queues.apply(msg)\n'
    )

    assert send(world, "Subject: none\r\n", "a@any.example").meta["tenant"] == "x"
