"""The client's side of SOCKS5, octet by octet."""

from __future__ import annotations

import random

import pytest

from engine.deliver.socks_dialogue import (
    SocksDestinationError,
    SocksError,
    SocksSourceError,
    begin_steps,
    connect_steps,
)

TARGET = ("192.0.2.1", 25)
OK_V4 = b"\x05\x00\x00\x01\x0a\x00\x00\x07\x9c\x40"


def talk(answers: bytes, *args, **options) -> tuple[bytes, str, bytes]:
    """Return what was sent, the address that is seen, and the answers that were not read."""
    begun, bound, left = run(begin_steps(*args, **options), answers)
    asked, used, left = run(connect_steps(TARGET), left)
    return begun + asked, bound or used, left


def run(steps, answers: bytes) -> tuple[bytes, str, bytes]:
    sent, left = b"", answers
    step = next(steps)
    try:
        while True:
            if isinstance(step, bytes):
                sent += step
                step = next(steps)
            else:
                assert len(left) >= step, "it asks for more than there is"
                got, left = left[:step], left[step:]
                step = steps.send(got)
    except StopIteration as end:
        return sent, end.value, left


def test_without_a_source_it_connects_and_tells_the_address_used():
    sent, used, left = talk(b"\x05\x00" + OK_V4 + b"220 hello")
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19"
    assert used == "10.0.0.7"
    assert left == b"220 hello"


def test_a_source_is_bound_before_the_connect():
    sent, used, _ = talk(b"\x05\x00" + OK_V4 + OK_V4, "10.0.0.7")
    bind, connect = (
        b"\x05\x02\x00\x01\x0a\x00\x00\x07\x00\x00",
        b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19",
    )
    assert sent == b"\x05\x01\x00" + bind + connect
    assert used == "10.0.0.7"


def test_the_password_is_sent_to_a_proxy_that_asks():
    sent, _, _ = talk(b"\x05\x02\x01\x00" + OK_V4, credentials=("me", "pässword"))
    assert sent.startswith(b"\x05\x02\x00\x02\x01\x02me\x09p\xc3\xa4ssword")


def test_the_password_is_not_sent_to_a_proxy_that_does_not_ask():
    sent, _, _ = talk(b"\x05\x00" + OK_V4, credentials=("me", "secret"))
    assert b"secret" not in sent


def test_an_answer_may_hold_a_name_or_an_ipv6_address():
    name = b"\x05\x00\x00\x03\x04host\x00\x19"
    assert talk(b"\x05\x00" + name)[1] == "host"
    v6 = b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x00\x19"
    assert talk(b"\x05\x00" + v6)[1] == "::1"


def test_an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address():
    mapped = b"\x05\x00\x00\x04" + bytes(10) + b"\xff\xff\x0a\x00\x00\x07\x00\x19"
    assert talk(b"\x05\x00" + mapped)[1] == "10.0.0.7"


@pytest.mark.parametrize("name", [b"", b"a\r\nX: y", b"a b", b"\xc3\xa4", b"\0"])
def test_a_name_that_is_none_tells_nothing_and_stops_nothing(name):
    answer = b"\x05\x00\x00\x03" + bytes([len(name)]) + name + b"\x00\x19"
    assert talk(b"\x05\x00" + answer)[1] == ""


def test_the_version_of_an_answer_to_a_password_may_be_that_of_socks():
    _, used, _ = talk(b"\x05\x02\x05\x00" + OK_V4, credentials=("me", "secret"))
    assert used == "10.0.0.7"


@pytest.mark.parametrize("source", ["::ffff:10.0.0.7", "10.0.0.7"])
def test_a_source_may_be_spelled_either_way(source):
    assert talk(b"\x05\x00" + OK_V4 + OK_V4, source)[1] == source


def test_a_proxy_that_binds_to_a_name_does_not_give_the_source():
    name = b"\x05\x00\x00\x03\x02\r\n\x00\x19"
    with pytest.raises(SocksSourceError, match="it gives no address"):
        talk(b"\x05\x00" + name, "10.0.0.7")


@pytest.mark.parametrize("answer", [b"\x00\x00", b"H\x00"])
def test_what_is_no_answer_to_a_password_is_none(answer):
    with pytest.raises(SocksError, match="answer to user and password is none"):
        talk(b"\x05\x02" + answer, credentials=("me", "secret"))


@pytest.mark.parametrize(
    ("code", "name"),
    [(3, "ENETUNREACH"), (4, "EHOSTUNREACH"), (5, "ECONNREFUSED"), (6, "ETIMEDOUT")],
)
def test_trouble_of_the_destination_is_named_as_a_direct_connection_would(code, name):
    answer = b"\x05" + bytes([code]) + OK_V4[2:]
    with pytest.raises(SocksDestinationError, match=name):
        talk(b"\x05\x00" + answer)


def test_a_source_that_is_not_given_is_told_apart():
    with pytest.raises(SocksSourceError, match=r"10\.0\.0\.9: a general failure"):
        talk(b"\x05\x00\x05\x01" + OK_V4[2:], "10.0.0.9")


@pytest.mark.parametrize(
    ("bound", "named"),
    [
        (b"\x01\x0a\x00\x00\x08", "10.0.0.8"),
        (b"\x03\x04host", "host"),
        (b"\x04" + bytes(15) + b"\x01", "::1"),
    ],
)
def test_a_source_that_is_swapped_for_another_is_not_given(bound, named):
    with pytest.raises(SocksSourceError, match=f"10.0.0.7: it gives {named}$"):
        talk(b"\x05\x00" + b"\x05\x00\x00" + bound + b"\x9c\x40" + OK_V4, "10.0.0.7")


@pytest.mark.parametrize(
    "bound",
    [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x04" + bytes(10) + b"\xff\xff\x0a\x00\x00\x07"],
)
def test_a_source_that_is_given_need_not_be_named(bound):
    answers = b"\x05\x00" + b"\x05\x00\x00" + bound + b"\x00\x00" + OK_V4
    assert talk(answers, "10.0.0.7")[1] == "10.0.0.7"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (b"HTTP", "does not speak SOCKS5"),
        (b"\x05\xff", "none of the ways"),
        (b"\x05\x02", "not offered"),
        (b"\x05\x01", "not offered"),
        (b"\x05\x00\x04\x00\x00\x01", "no SOCKS5"),
        (b"\x05\x00\x05\x00\x00\x09", "unknown kind"),
        (b"\x05\x00\x05\x02" + OK_V4[2:], "rules do not allow"),
        (b"\x05\x00\x05\x63" + OK_V4[2:], "code 99"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_said(answers, reason):
    with pytest.raises(SocksError, match=reason):
        talk(answers)


def test_a_wrong_password_is_said():
    with pytest.raises(SocksError, match="does not take user and password"):
        talk(b"\x05\x02\x01\x01", credentials=("me", "wrong"))


def test_whatever_a_proxy_sends_ends_in_an_address_or_an_error_of_ours():
    rng = random.Random(7)
    good = b"\x05\x00" + OK_V4 + OK_V4
    for _ in range(20_000):
        octets = bytearray(rng.choice([good, rng.randbytes(24)]))
        for _ in range(rng.randrange(4)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        try:
            talk(bytes(octets) + bytes(300), rng.choice([None, "10.0.0.7"]))
        except SocksError:
            continue
