"""The header of a balancer: read to its last octet and not one further."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.proxy_header import format_proxy_header
from proxy.balancer import read_proxy_header
from proxy.errors import ProtocolError, StalledError
from tests.fakes.proxy_world import connected_pair

pytestmark = pytest.mark.real_time
ENDS = ("192.0.2.7", 4711), ("198.51.100.9", 1080)
HEADERS = [
    b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 1080\r\n",
    format_proxy_header(*ENDS),
]


@pytest.fixture
def ends():
    near, far = connected_pair()
    yield near, far
    near.close()
    far.close()


@pytest.mark.parametrize("header", HEADERS, ids=["line", "binary"])
async def test_what_follows_the_header_stays_in_the_socket(ends, header):
    near, far = ends
    far.sendall(header + b"\x16\x03\x01")

    found = await read_proxy_header(near)

    assert (found.source, found.destination) == ENDS
    assert near.recv(100) == b"\x16\x03\x01"


@pytest.mark.parametrize("header", HEADERS, ids=["line", "binary"])
async def test_a_header_in_single_octets_is_read(ends, header):
    near, far = ends
    reading = asyncio.get_running_loop().create_task(read_proxy_header(near))
    for octet in header + b"\5":
        far.sendall(bytes([octet]))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        found = await reading

    assert found.source == ENDS[0]
    assert near.recv(100) == b"\5"


@pytest.mark.parametrize("said", [b"\5\1\0", b"PROXY TCP9 x\r\n", b"\x16\x03\x01"])
async def test_who_begins_otherwise_is_refused(ends, said):
    near, far = ends
    far.sendall(said)

    with pytest.raises(ProtocolError, match="PROXY"):
        await read_proxy_header(near)


@pytest.mark.parametrize("said", [b"", b"PROXY TCP4 192", HEADERS[1][:-1]])
async def test_who_leaves_in_the_middle_is_noticed(ends, said):
    near, far = ends
    far.sendall(said)
    far.close()

    with pytest.raises(StalledError):
        await read_proxy_header(near)
