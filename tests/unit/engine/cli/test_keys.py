"""Keys, as terminals send them."""

from __future__ import annotations

import pytest

from engine.cli.keys import KeyDecoder

SENT = {
    b"q": ["q"],
    b"\t": ["tab"],
    b"\x1b[Z": ["shift-tab"],
    b"\x1b[A": ["up"],
    b"\x1bOA": ["up"],
    b"\x1b[1;5B": ["down"],
    b"\x1b[C\x1b[D": ["right", "left"],
    b"\x1b[5~\x1b[6~": ["pgup", "pgdn"],
    b"\x1b[H\x1bOF": ["home", "end"],
    b"\x1b[1~\x1b[4~\x1b[7~\x1b[8~": ["home", "end", "home", "end"],
    b"\x1b[3~": ["delete"],
    b"\r\n": ["enter", "enter"],
    b"\x7f\x08": ["backspace", "backspace"],
    b"\x03\x04\x0c\x15": ["ctrl-c", "ctrl-d", "ctrl-l", "ctrl-u"],
    "ü本".encode(): ["ü", "本"],
}


@pytest.mark.parametrize("octets", SENT, ids=repr)
def test_a_key_has_its_name(octets):
    assert KeyDecoder().feed(octets) == SENT[octets]


@pytest.mark.parametrize("octets", SENT, ids=repr)
def test_a_key_may_come_octet_by_octet(octets):
    decoder = KeyDecoder()

    keys = [key for octet in octets for key in decoder.feed(bytes([octet]))]

    assert keys == SENT[octets]
    assert not decoder.is_halfway


def test_an_escape_alone_is_a_key_when_nothing_follows():
    decoder = KeyDecoder()

    assert decoder.feed(b"\x1b") == []
    assert decoder.is_halfway
    assert decoder.flush() == ["esc"]
    assert not decoder.is_halfway
    assert decoder.feed(b"q") == ["q"]


def test_an_escape_before_another_one_is_a_key():
    decoder = KeyDecoder()

    assert decoder.feed(b"\x1b\x1b[A") == ["esc", "up"]


@pytest.mark.parametrize(
    "octets",
    [b"\x1b[15~", b"\x1b[200~", b"\x1b[?1;2c", b"\x1bq", b"\x1bOP", b"\x00\x01", b"\x1b[I"],
)
def test_what_is_no_known_key_is_nothing(octets):
    decoder = KeyDecoder()

    assert decoder.feed(octets + b"x") == ["x"]


def test_a_sequence_that_breaks_off_is_nothing():
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[1;")

    assert decoder.flush() == []
    assert not decoder.is_halfway


def test_a_sequence_without_an_end_is_not_kept():
    decoder = KeyDecoder()

    keys = decoder.feed(b"\x1b[" + b"1" * 100_000)

    # What is behind the bound counts as typed; nothing waits for more.
    assert set(keys) == {"1"}
    assert not decoder.is_halfway


def test_octets_that_are_no_utf_8_do_no_harm():
    assert KeyDecoder().feed(b"\xff\xfeq")[-1] == "q"
