"""The dialogue without a socket: every message at every cut, every mistake at its first octet."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ProtocolError, ProxyError, ReplyCode, UnsupportedAddressError
from proxy.socks5 import (
    FEED_MAX,
    Command,
    Credentials,
    Greeting,
    Method,
    Request,
    Socks5Dialogue,
    format_reply,
    pick_method,
)

GREETING = b"\5\2\0\2"
CREDENTIALS = b"\1\4node\6secret"
BIND = b"\5\2\0\1\xc0\0\2\7\0\0"
CONNECT = b"\5\1\0\1\xc6\x33\x64\x09\0\x19"
CONNECT_6 = b"\5\1\0\4\x20\1\x0d\xb8" + bytes(11) + b"\x09\2\x4b"
CONNECT_NAME = b"\5\1\0\3\x0amx.example\0\x19"
WHOLE = GREETING + CREDENTIALS + BIND + CONNECT + b"EHLO x\r\n"


class Script:
    """The server's side of a whole dialogue: answers what comes, and keeps a record of it."""

    def __init__(self, method=Method.PASSWORD):
        self.dialogue = Socks5Dialogue()
        self.method = method
        self.messages = []
        self.answers = b""
        self.is_connected = False

    def feed(self, data):
        self.dialogue.feed(data)
        while not self.is_connected and (message := self.dialogue.next_message()) is not None:
            self.messages.append(message)
            self.answers += self.answer(message)

    def answer(self, message):
        match message:
            case Greeting():
                return self.dialogue.choose_method(self.method)
            case Credentials():
                return self.dialogue.answer_credentials(is_good=True)
            case Request(command=Command.BIND):
                return self.dialogue.answer_request(ReplyCode.SUCCEEDED, "192.0.2.7")
        self.is_connected = True
        return self.dialogue.answer_request(ReplyCode.SUCCEEDED, "192.0.2.7", 4711)


MESSAGES = [
    Greeting(frozenset({0, 2})),
    Credentials(b"node", b"secret"),
    Request(Command.BIND, "192.0.2.7", 0),
    Request(Command.CONNECT, "198.51.100.9", 25),
]
ANSWERS = b"\5\2\1\0" + b"\5\0\0\1\xc0\0\2\7\0\0" + b"\5\0\0\1\xc0\0\2\7\x12\x67"


def test_a_dialogue_in_one_piece_is_read_message_by_message():
    script = Script()
    script.feed(WHOLE)

    assert script.messages == MESSAGES
    assert script.answers == ANSWERS
    assert script.dialogue.take_rest() == b"EHLO x\r\n"
    assert script.dialogue.take_rest() == b""


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_a_cut_anywhere_changes_nothing(cut):
    script = Script()
    script.feed(WHOLE[:cut])
    script.feed(WHOLE[cut:])

    assert (script.messages, script.answers) == (MESSAGES, ANSWERS)
    assert script.dialogue.take_rest() == b"EHLO x\r\n"


def test_octets_one_by_one_change_nothing():
    script = Script()
    for octet in WHOLE:
        script.feed(bytes([octet]))

    assert (script.messages, script.answers) == (MESSAGES, ANSWERS)


def asked(request, method=Method.NONE):
    """Return the request that octets are after a greeting."""
    dialogue = Socks5Dialogue()
    dialogue.feed(GREETING + request)
    dialogue.next_message()
    dialogue.choose_method(method)
    return dialogue.next_message()


@pytest.mark.parametrize(
    ("octets", "request_"),
    [
        (CONNECT_6, Request(1, "2001:db8::9", 587)),
        (CONNECT_NAME, Request(1, "mx.example", 25, is_name=True)),
        (b"\5\1\0\4" + bytes(10) + b"\xff\xff\x7f\0\0\1\0\x19", Request(1, "127.0.0.1", 25)),
        (b"\5\3\0\1\0\0\0\0\0\0", Request(3, "0.0.0.0", 0)),
        (b"\5\x77\0\1\1\2\3\4\0\x50", Request(0x77, "1.2.3.4", 80)),
        (b"\5\1\xff\1\1\2\3\4\0\x50", Request(1, "1.2.3.4", 80)),
    ],
    ids=["IPv6", "name", "mapped", "UDP", "no command", "reserved"],
)
def test_a_request_says_what_is_wanted(octets, request_):
    assert asked(octets) == request_


@pytest.mark.parametrize(
    "name",
    [b"", b"a b", b"a\0b", b"x\xc3\xa4", b"a/b", b"[::1]"],
)
def test_a_host_name_that_is_none_is_answered_as_such(name):
    with pytest.raises(UnsupportedAddressError):
        asked(b"\5\1\0\3" + bytes([len(name)]) + name + b"\0\x19")


def test_an_unknown_kind_of_address_is_answered_before_it_is_complete():
    dialogue = Socks5Dialogue()
    dialogue.feed(GREETING + b"\5\1\0\7")
    dialogue.next_message()
    dialogue.choose_method(Method.NONE)

    with pytest.raises(UnsupportedAddressError) as caught:
        dialogue.next_message()

    assert dialogue.answer_request(caught.value.reply)[:2] == b"\5\x08"


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        (b"\4", 0),
        (b"GET / HTTP/1.1\r\n", 0),
        (b"\x16\x03\x01", 0),
        (GREETING + b"\5", 1),
        (GREETING + CREDENTIALS + b"\1", 2),
        (GREETING + CREDENTIALS + BIND + b"\1", 3),
    ],
)
def test_what_is_no_socks5_is_refused_at_its_first_octet(said, steps):
    script = Script()

    with pytest.raises(ProtocolError):
        script.feed(said)

    assert len(script.messages) == steps


def test_after_a_refusal_nothing_more_is_read():
    dialogue = Socks5Dialogue()
    dialogue.feed(GREETING + CREDENTIALS)
    dialogue.next_message()

    assert dialogue.choose_method(None) == b"\5\xff"
    with pytest.raises(ValueError, match="NOTHING"):
        dialogue.next_message()


def test_after_wrong_credentials_nothing_more_is_read():
    dialogue = Socks5Dialogue()
    dialogue.feed(GREETING + CREDENTIALS + CONNECT)
    dialogue.next_message()
    dialogue.choose_method(Method.PASSWORD)
    dialogue.next_message()

    assert dialogue.answer_credentials(is_good=False) == b"\1\1"
    with pytest.raises(ValueError, match="NOTHING"):
        dialogue.next_message()


@pytest.mark.parametrize("octets", [BIND, CONNECT])
def test_after_a_reply_that_reports_a_failure_nothing_more_is_read(octets):
    dialogue = Socks5Dialogue()
    dialogue.feed(GREETING + octets + CONNECT)
    dialogue.next_message()
    dialogue.choose_method(Method.NONE)
    dialogue.next_message()

    assert dialogue.answer_request(ReplyCode.NOT_ALLOWED) == b"\5\2\0\1\0\0\0\0\0\0"
    with pytest.raises(ValueError, match="NOTHING"):
        dialogue.next_message()


def test_answers_out_of_turn_are_defects():
    dialogue = Socks5Dialogue()

    with pytest.raises(ValueError, match="METHOD_CHOICE while GREETING"):
        dialogue.choose_method(Method.NONE)
    with pytest.raises(ValueError, match="VERDICT"):
        dialogue.answer_credentials(is_good=True)
    with pytest.raises(ValueError, match="REPLY"):
        dialogue.answer_request(ReplyCode.SUCCEEDED)


def test_more_than_a_dialogue_can_need_is_not_held():
    dialogue = Socks5Dialogue()
    dialogue.feed(bytes([5]) * FEED_MAX)
    dialogue.feed(bytes([5]) * FEED_MAX)

    with pytest.raises(ValueError, match="more octets"):
        dialogue.feed(b"\5")


def test_a_password_does_not_show_where_messages_are_printed():
    assert "secret" not in repr(Credentials(b"node", b"secret"))


def test_a_reply_in_ipv6_has_the_address_in_full():
    assert format_reply(ReplyCode.SUCCEEDED, "2001:db8::9", 25) == (
        b"\5\0\0\4\x20\1\x0d\xb8" + bytes(11) + b"\x09\0\x19"
    )


@pytest.mark.parametrize(
    ("offered", "can_judge", "is_required", "picked"),
    [
        ({0}, False, False, Method.NONE),
        ({0}, True, False, Method.NONE),
        ({0}, True, True, None),
        ({0, 2}, True, False, Method.PASSWORD),
        ({0, 2}, False, False, Method.NONE),
        ({2}, True, True, Method.PASSWORD),
        ({2}, False, False, None),
        ({1, 3}, True, False, None),
        (set(), False, False, None),
    ],
)
def test_a_password_that_is_offered_is_asked_for(offered, can_judge, is_required, picked):
    assert pick_method(offered, can_judge=can_judge, is_required=is_required) is picked


def play(pieces, method):
    """Feed pieces; return whether they ended in an error of the protocol."""
    script = Script(method)
    try:
        for piece in pieces:
            if script.is_connected:
                break
            script.feed(piece)
    except ProxyError:
        return True
    return False


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=12), st.sampled_from(Method))
def test_random_octets_make_no_other_error(pieces, method):
    assert play(pieces, method) in (True, False)


def test_damaged_dialogues_make_no_other_error():
    chance = random.Random(7)
    ended = {True: 0, False: 0}
    for _ in range(5_000):
        method = chance.choice(list(Method))
        parts = [GREETING, CREDENTIALS] if method is Method.PASSWORD else [GREETING]
        data = bytearray(
            b"".join([*parts, BIND, chance.choice([CONNECT, CONNECT_6, CONNECT_NAME])])
        )
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(3)]
                case _:
                    data[place:place] = chance.randbytes(chance.randrange(4))
        cut = chance.randrange(len(data) + 1)
        ended[play([bytes(data[:cut]), bytes(data[cut:])], method)] += 1

    assert ended[True] > 200
    assert ended[False] > 200
