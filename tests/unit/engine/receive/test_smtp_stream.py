"""The stream's own reading of lines; what a session says is in tests/dialogue."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.receive.incoming import ConnectionEndedError
from engine.receive.smtp_stream import SmtpStream

LIMIT = 12


def session() -> SmtpStream:
    made = SmtpStream.__new__(SmtpStream)
    made._in = bytearray()
    made._scanned = 0
    made._skipping = False
    return made


def lines(octets: bytes, step: int) -> list[bytes]:
    reader = session()
    found = []
    for start in range(0, len(octets), step):
        reader._in += octets[start : start + step]
        while (line := reader.next_line(LIMIT)) is not None:
            found.append(line)
        assert len(reader._in) <= LIMIT + 2
    return found


def test_a_line_at_the_limit_is_whole_and_one_octet_more_is_empty():
    assert lines(b"x" * 12 + b"\r\n" + b"y" * 13 + b"\r\nz\r\n", 1) == [
        b"x" * 12 + b"\r\n",
        b"",
        b"z\r\n",
    ]


def test_a_very_long_line_is_one_line():
    assert lines(b"x" * 10_000 + b"\r\nz\r\n", 7) == [b"", b"z\r\n"]


@given(
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"ab", b"x" * 9, b"y" * 30]), max_size=25).map(
        b"".join
    ),
    st.integers(1, 40),
)
def test_segments_do_not_matter(octets, step):
    assert lines(octets, step) == lines(octets, 1)
    whole = session()
    whole._in += octets
    at_once = []
    while (line := whole.next_line(LIMIT)) is not None:
        at_once.append(line)
    assert at_once == lines(octets, 1)


class FullTransport:
    """A transport whose peer takes nothing."""

    def __init__(self) -> None:
        self.aborted_after_s: float | None = None
        self._began_s = asyncio.get_running_loop().time()
        self._unsent = 0

    def write(self, octets: bytes) -> None:
        self._unsent += len(octets)

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def close(self) -> None:
        """Linger: there is something to send."""

    def abort(self) -> None:
        self.aborted_after_s = asyncio.get_running_loop().time() - self._began_s


def closed_stream(last_words: bytes) -> tuple[SmtpStream, FullTransport]:
    stream, transport = SmtpStream(), FullTransport()
    stream.transport = transport
    stream.queue_output(last_words)
    stream.close()
    return stream, transport


async def test_a_client_that_does_not_take_the_last_reply_is_dropped_after_its_time():
    _stream, transport = closed_stream(b"221 closing\r\n")

    await asyncio.sleep(SmtpStream.client_timeout_s + 1)

    assert transport.aborted_after_s == pytest.approx(SmtpStream.client_timeout_s, abs=1)


async def test_a_client_that_took_the_last_reply_and_left_is_forgotten():
    stream, transport = closed_stream(b"221 closing\r\n")

    stream.connection_lost(None)
    await asyncio.sleep(SmtpStream.client_timeout_s + 1)

    assert transport.aborted_after_s is None


class PausingTransport:
    """A transport that can be told not to read."""

    def __init__(self) -> None:
        self.is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


async def test_beyond_its_bound_the_socket_is_not_read_until_input_is_asked_for():
    stream, transport = SmtpStream(), PausingTransport()
    stream.transport = transport
    stream.input_max = 1000

    stream.data_received(b"x" * 1000)
    assert transport.is_reading
    stream.data_received(b"x")
    assert not transport.is_reading

    assert len(stream.take_input()) == 1001
    asyncio.get_running_loop().call_soon(stream.data_received, b"y")
    await stream.more_input()
    assert transport.is_reading
    assert stream.take_input() == b"y"


async def test_a_wait_that_goes_on_keeps_its_deadline():
    stream = SmtpStream()
    began_s = stream.loop.time()
    stream.start_timer(60)
    stream.transport = FullTransport()
    for number in range(3):
        stream.loop.call_later(25, stream.data_received, b"x")
        if number < 2:
            await stream.more_input(goes_on=number > 0)
            continue
        with pytest.raises(ConnectionEndedError):
            await stream.more_input(goes_on=True)

    assert stream.loop.time() - began_s == pytest.approx(60, abs=1)
