"""Headers of the PROXY protocol: read at any cut, refused early, written as proxies read them."""

from __future__ import annotations

import ipaddress
import random
import struct

import pytest

from engine.model.proxy_header import (
    HEADER_MAX,
    ProxyHeader,
    ProxyHeaderError,
    crc32c,
    format_proxy_header,
    parse_proxy_header,
    spell_address,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = ("192.0.2.7", 4711), ("198.51.100.9", 25)
V6 = ("2001:db8::7", 4711), ("2001:db8:1::9", 25)
V4_BODY = bytes([192, 0, 2, 7, 198, 51, 100, 9]) + struct.pack(">HH", 4711, 25)
LINES = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 25\r\n", V4),
    (b"PROXY TCP6 2001:db8::7 2001:DB8:1:0::9 4711 25\r\n", V6),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.9 4711 25\r\n", V4),
    (b"PROXY UNKNOWN\r\n", (None, None)),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", (None, None)),
    (b"PROXY TCP4 192.0.2.7 198.51.100.9 0 65535\r\n", (("192.0.2.7", 0), ("198.51.100.9", 65535))),
]


def binary(body=V4_BODY, command=0x21, kind=0x11, length=None):
    length = len(body) if length is None else length
    return SIGNATURE + struct.pack(">BBH", command, kind, length) + body


def extension(number, value):
    return struct.pack(">BH", number, len(value)) + value


def with_checksum(extra=b""):
    blank = binary(V4_BODY + extra + extension(3, bytes(4)))
    return blank[:-4] + struct.pack(">I", crc32c(blank))


WHOLE = [
    *(line for line, _ in LINES),
    format_proxy_header(*V4),
    format_proxy_header(*V6),
    binary(V4_BODY + extension(4, bytes(300)) + extension(2, b"mx.example")),
    binary(b"", command=0x20, kind=0),
    with_checksum(extension(1, b"h2")),
]


@pytest.mark.parametrize(("line", "ends"), LINES)
def test_a_line_names_both_ends(line, ends):
    header, size = parse_proxy_header(line + b"EHLO x\r\n")

    assert (header.source, header.destination) == ends
    assert (header.version, size) == (1, len(line))


@pytest.mark.parametrize("ends", [V4, V6])
def test_what_is_written_is_read_back(ends):
    data = format_proxy_header(*ends)

    assert parse_proxy_header(data + b"rest") == (ProxyHeader(*ends), len(data))


def test_the_octets_written_are_those_of_the_specification():
    assert format_proxy_header(*V4) == SIGNATURE + b"\x21\x11\x00\x0c" + V4_BODY


def test_a_mapped_address_is_written_as_the_address_it_is():
    data = format_proxy_header(("::ffff:192.0.2.7", 4711), ("198.51.100.9", 25))

    assert data == format_proxy_header(*V4)


@pytest.mark.parametrize(
    ("source", "destination"), [(V4[0], V6[1]), (("mx.example", 1), V4[1]), (V4[0], ("", 25))]
)
def test_ends_that_fit_in_no_header_are_an_error_of_the_caller(source, destination):
    with pytest.raises(ValueError, match="famil|address"):
        format_proxy_header(source, destination)


@pytest.mark.parametrize(
    "data",
    [
        binary(b"", command=0x20, kind=0x00),
        binary(V4_BODY, command=0x20),
        binary(b"what ever", command=0x21, kind=0x00),
    ],
    ids=["local", "local with addresses", "unspecified"],
)
def test_a_header_that_knows_no_client_says_so(data):
    assert parse_proxy_header(data) == (ProxyHeader(None, None), len(data))


def test_extensions_come_out_as_they_are():
    data = binary(V4_BODY + extension(2, b"mx.example") + extension(4, b""))

    header, _ = parse_proxy_header(data)

    assert header.extensions == ((2, b"mx.example"), (4, b""))
    assert header.source == V4[0]


def test_a_checksum_is_the_one_that_everybody_computes():
    assert crc32c(b"123456789") == 0xE3069283


def test_a_header_with_the_right_checksum_is_taken_and_a_damaged_one_is_not():
    good = with_checksum()

    assert parse_proxy_header(good)[0].source == V4[0]
    # But for the octet that says it is a checksum.
    for position in {*range(16, len(good))} - {28}:
        damaged = bytearray(good)
        damaged[position] ^= 1
        with pytest.raises(ProxyHeaderError):
            parse_proxy_header(bytes(damaged))


def test_two_checksums_are_refused_even_if_the_first_is_right():
    blank = binary(V4_BODY + extension(3, bytes(4)) + extension(3, bytes(4)))
    start = len(blank) - 11
    data = blank[:start] + struct.pack(">I", crc32c(blank)) + blank[start + 4 :]

    with pytest.raises(ProxyHeaderError, match="several checksums"):
        parse_proxy_header(data)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_spelling(address, text):
    assert spell_address(ipaddress.ip_address(address)) == text


@pytest.mark.parametrize("data", WHOLE)
def test_every_beginning_of_a_header_is_waited_on(data):
    assert [parse_proxy_header(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"E",
        b"\r\nQ",
        b"PROXX",
        b"\x05\x01\x00",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 25\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.9 4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 25 \r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.9 4711 25\r\n",
        b"PROXY TCP4 192.0.2.007 198.51.100.9 4711 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::9 4711 25\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.9 4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 04711 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 65536\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 +711 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.9 \xc2\xb2 25\r\n",
        b"PROXY TCP6 fe80::1%eth0 fe80::2 4711 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.9 4711 25\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 101,
        SIGNATURE + b"\x11",
        SIGNATURE + b"\x31\x11\x00\x0c",
        binary(command=0x22),
        SIGNATURE + b"\x22",
        binary(V4_BODY + extension(4, b"") + extension(3, b"sums") + extension(3, b"sums")),
        binary(kind=0x12),
        binary(b"/run/x" + bytes(210), kind=0x31),
        binary(b"", length=HEADER_MAX),
        binary(V4_BODY[:-1]),
        binary(V4_BODY, kind=0x21),
        binary(V4_BODY + b"\x04\x00"),
        binary(V4_BODY + b"\x04\x00\x05abcd"),
    ],
)
def test_what_can_become_no_header_is_refused_at_once(data):
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


def test_no_more_than_the_bound_is_ever_waited_for():
    for data in (b"PROXY " + b"9" * 5000, SIGNATURE + b"\x21\x11\x10\x00" + bytes(5000)):
        decided = next(size for size in range(len(data)) if not is_waiting(data[:size]))
        assert decided <= HEADER_MAX


def is_waiting(data):
    try:
        return parse_proxy_header(data) is None
    except ProxyHeaderError:
        return False


def test_damaged_and_random_octets_make_no_other_error():
    chance = random.Random(5)
    for _ in range(20_000):
        data = bytearray(chance.choice(WHOLE))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(data) or 1)
            match chance.randrange(3):
                case 0 if data:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place:]
                    data += chance.randbytes(chance.randrange(30))
                case _:
                    data.insert(place, chance.choice(b" \r\n0:.\xff"))
        try:
            found = parse_proxy_header(bytes(data))
        except ProxyHeaderError:
            continue
        assert found is None or 0 < found[1] <= min(len(data), HEADER_MAX)
