"""The parsers that meet the world first, with very many random and damaged octets."""

from __future__ import annotations

import random

import pytest

from engine.model.proxy_header import (
    HEADER_MAX,
    ProxyHeaderError,
    format_proxy_header,
    parse_proxy_header,
)
from proxy.errors import ProxyError, ReplyCode
from proxy.socks5 import Credentials, Greeting, Method, Socks5Dialogue

#: Of each kind. Ten times as many were run once.
SEQUENCES = 100_000
DIALOGUE = (
    b"\5\2\0\2\1\4node\6secret\5\2\0\1\xc0\0\2\7\0\0",
    b"\5\1\0\1\xc6\x33\x64\x09\0\x19",
    b"\5\1\0\4\x20\1\x0d\xb8" + bytes(12) + b"\0\x19",
    b"\5\1\0\3\x0amx.example\0\x19",
)
V4 = format_proxy_header(("192.0.2.7", 4711), ("198.51.100.9", 25))
V6 = format_proxy_header(("2001:db8::7", 4711), ("2001:db8:1::9", 25))
HEADERS = (
    b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 25\r\n",
    b"PROXY TCP6 2001:db8::7 2001:db8:1::9 4711 25\r\n",
    b"PROXY UNKNOWN\r\n",
    V4,
    V6,
    V4[:15] + bytes([V4[15] + 10]) + V4[16:] + b"\x04\x00\x02ab\x20\x00\x02cd",
)


def mutate(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(64))
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(changed) or 1)
        match chance.randrange(4):
            case 0 if changed:
                changed[place] = chance.randrange(256)
            case 1:
                del changed[place : place + chance.randrange(4)]
            case 2 if changed:
                changed[place] ^= 1 << chance.randrange(8)
            case _:
                changed[place:place] = chance.randbytes(chance.randrange(6))
    return bytes(changed)


def converse(dialogue: Socks5Dialogue, method: Method) -> None:
    """Answer whatever is understood, up to the end of the dialogue."""
    for _ in range(8):
        message = dialogue.next_message()
        if message is None:
            return
        match message:
            case Greeting():
                dialogue.choose_method(method)
            case Credentials():
                dialogue.answer_credentials(is_good=True)
            case _:
                dialogue.answer_request(ReplyCode.SUCCEEDED, "192.0.2.7")
                if message.command != 2:
                    return


@pytest.mark.slow
def test_a_dialogue_ends_in_an_answer_or_in_an_error_of_the_protocol():
    chance = random.Random(1)
    errors = 0
    for _ in range(SEQUENCES):
        method = chance.choice(list(Method))
        data = mutate(chance, DIALOGUE[0] + chance.choice(DIALOGUE[1:]))
        cut = chance.randrange(len(data) + 1)
        dialogue = Socks5Dialogue()
        try:
            dialogue.feed(data[:cut])
            converse(dialogue, method)
            dialogue.feed(data[cut:])
            converse(dialogue, method)
        except ProxyError:
            errors += 1
        except ValueError as error:
            # The dialogue is over: nothing more is read, which is the caller's to know.
            assert "is expected" in str(error)

    assert SEQUENCES / 10 < errors < SEQUENCES


@pytest.mark.slow
def test_a_header_is_read_waited_for_or_refused():
    chance = random.Random(2)
    seen = {"read": 0, "waiting": 0, "refused": 0}
    for _ in range(SEQUENCES):
        data = mutate(chance, chance.choice(HEADERS))
        try:
            found = parse_proxy_header(data)
        except ProxyHeaderError:
            seen["refused"] += 1
            continue
        seen["waiting" if found is None else "read"] += 1
        if found is None:
            assert len(data) < HEADER_MAX
        else:
            assert 0 < found[1] <= len(data)

    assert min(seen.values()) > SEQUENCES / 100
