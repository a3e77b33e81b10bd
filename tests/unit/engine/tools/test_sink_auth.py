"""The sink's AUTH exchanges."""

from __future__ import annotations

import base64

import pytest

from engine.tools.sink_auth import SinkAuth


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def codes(*lines: str) -> list[str]:
    auth = SinkAuth({"ann": "secret", "böb": "gehéim"})
    return [auth.begin(lines[0])[:3], *(auth.take(line)[:3] for line in lines[1:])]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["PLAIN " + b64("\0ann\0secret")], ["235"]),
        (["plain " + b64("someone\0ann\0secret")], ["235"]),
        (["PLAIN", b64("\0böb\0gehéim")], ["334", "235"]),
        (["PLAIN " + b64("\0ann\0wrong")], ["535"]),
        (["PLAIN " + b64("\0nobody\0secret")], ["535"]),
        (["PLAIN " + b64("ann secret")], ["501"]),
        (["PLAIN ="], ["501"]),
        (["PLAIN !!!"], ["501"]),
        (["PLAIN", "*"], ["334", "501"]),
        (["PLAIN", "\udcff"], ["334", "501"]),
        (["LOGIN", b64("ann"), b64("secret")], ["334", "334", "235"]),
        (["LOGIN " + b64("ann"), b64("secret")], ["334", "235"]),
        (["LOGIN", b64("ann"), b64("wrong")], ["334", "334", "535"]),
        (["LOGIN", b64("ann"), "*"], ["334", "334", "501"]),
        (["CRAM-MD5"], ["504"]),
        ([""], ["504"]),
    ],
)
def test_each_exchange_ends_with_its_code(lines, expected):
    assert codes(*lines) == expected


def test_who_was_named_is_known():
    auth = SinkAuth({})
    auth.begin("PLAIN " + b64("\0ann\0x"))
    assert auth.user == "ann"


def test_an_exchange_begins_anew():
    auth = SinkAuth({"ann": "secret"})
    auth.begin("LOGIN")
    auth.take(b64("eve"))
    auth.begin("LOGIN")
    auth.take(b64("ann"))
    assert auth.take(b64("secret"))[:3] == "235"
