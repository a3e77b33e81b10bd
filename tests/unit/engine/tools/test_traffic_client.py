"""The load generator's SMTP connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest

from engine.tools.sink_options import DEFAULT_EXTENSIONS, Extension, SinkOptions
from engine.tools.sink_server import Sink
from engine.tools.traffic_client import TrafficConnection, TrafficConnectionError, _reason
from engine.tools.traffic_content import TrafficMessage
from engine.tools.traffic_options import TrafficOptions
from engine.tools.traffic_tally import Tally
from tests.fakes.smtp_node import client_tls

NOT_PIPELINED = {"extensions": DEFAULT_EXTENSIONS - {Extension.PIPELINING}}


def message(*recipients: str, content: bytes = b"Subject: s\r\n\r\n.dot\r\n") -> TrafficMessage:
    return TrafficMessage(1, "a@x.test", recipients or ("b@y.test",), content)


def context() -> ssl.SSLContext:
    return client_tls()


class Run:
    """A connection with what it counted."""

    def __init__(self, port: int, **options) -> None:
        self.tally = Tally(0.0)
        given = TrafficOptions(("127.0.0.1", port), **options)
        self.connection = TrafficConnection(given, self.tally)

    async def open(self) -> Run:
        await self.connection.open(context())
        return self

    @property
    def replies(self):
        return dict(self.tally.summary(1.0).replies)


@contextlib.asynccontextmanager
async def sending(sink_options=None, **options):
    async with Sink(SinkOptions(**(sink_options or {}))) as sink:
        run = Run(sink.port, **options)
        await run.open()
        try:
            yield sink, run
        finally:
            run.connection.close()


@contextlib.asynccontextmanager
async def peer(*answers: bytes):
    """Serve one answer for each read; an empty one closes, and after the last all is silence."""

    async def serve(reader, writer) -> None:
        for index, answer in enumerate(answers):
            if index:
                await reader.read(65536)
            if not answer:
                break
            writer.write(answer)
        else:
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("sink_options", [{}, NOT_PIPELINED, {"extensions": frozenset()}])
async def test_a_message_arrives_as_it_is(sink_options):
    async with sending(sink_options) as (sink, run):
        assert await run.connection.send(message()) == 250
        assert await run.connection.send(message("c@y.test", content=b"\xff\r\n")) == 250
        await run.connection.quit()

        assert [each.data for each in sink.messages] == [b"Subject: s\r\n\r\n.dot\r\n", b"\xff\r\n"]
        wrong = set(sink.stats.violations) - {"octets beyond ASCII without BODY=8BITMIME"}
        assert wrong == set()


@pytest.mark.parametrize("sink_options", [{}, NOT_PIPELINED])
@pytest.mark.parametrize(
    ("recipients", "code", "taken"),
    [
        (("tempfail@y",), 451, 0),
        (("permfail@y",), 550, 0),
        (("tempfail@y", "permfail@y"), 451, 0),
        (("permfail@y", "b@y"), 250, 1),
        (("tempfail-data@y",), 451, 0),
        (("permfail-data@y",), 550, 0),
    ],
)
async def test_refusals_decide_and_the_connection_goes_on(sink_options, recipients, code, taken):
    async with sending(sink_options) as (sink, run):
        assert await run.connection.send(message(*recipients)) == code
        assert sink.stats.messages == taken
        assert await run.connection.send(message()) == 250
        assert not run.connection.is_over


async def test_single_recipients_not_taken_are_counted():
    async with sending() as (_, run):
        await run.connection.send(message("b@y", "permfail@y", "tempfail@y"))
        assert run.tally.recipients_refused == 2
        assert run.replies["rcpt 250"] == 1


@pytest.mark.parametrize("sink_options", [{}, NOT_PIPELINED])
async def test_a_421_defers_the_message_and_ends_the_connection(sink_options):
    async with sending(sink_options) as (_, run):
        assert await run.connection.send(message("421@y.test")) == 421
        assert run.connection.is_over


async def test_a_421_is_enough_though_the_server_does_not_close():
    hello = b"250-x\r\n250 PIPELINING\r\n"
    async with peer(b"220 x\r\n", hello, b"421 4.3.2 going down\r\n") as port:
        run = await Run(port).open()
        began = asyncio.get_running_loop().time()
        assert await run.connection.send(message()) == 421
        assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_421_to_rset_defers_the_message_that_would_have_come():
    hello = b"250-x\r\n250 PIPELINING\r\n"
    refused = b"451 no\r\n503 no\r\n503 no\r\n"
    async with peer(b"220 x\r\n", hello, refused, b"421 bye\r\n", b"") as port:
        run = await Run(port).open()
        assert await run.connection.send(message()) == 451
        assert await run.connection.send(message()) == 421
        assert run.connection.is_over


async def test_a_connection_closed_between_messages_is_over():
    async with sending({"idle_timeout_s": 5.0}) as (_, run):
        assert not run.connection.is_over
        await asyncio.sleep(10)
        assert run.connection.is_over


@pytest.mark.parametrize("name", ["drop", "drop-data"])
async def test_a_connection_that_breaks_is_an_error(name):
    async with sending() as (_, run):
        with pytest.raises(TrafficConnectionError, match="closed the connection"):
            await run.connection.send(message(f"{name}@y.test"))
        assert run.connection.is_over


async def test_a_server_that_says_nothing_is_given_up_in_time():
    async with sending(timeout_s=7.0) as (_, run):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TrafficConnectionError, match="no reply in 7 s"):
            await run.connection.send(message("hang@y.test"))
        assert 7.0 <= asyncio.get_running_loop().time() - began < 8.0


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((b"554 5.7.1 go away\r\n",), "connect: 554 5.7.1 go away"),
        ((b"220 x\r\n", b"451 no\r\n"), "ehlo: 451 no"),
        ((b"HTTP/1.1 400 Bad\r\n",), "no SMTP reply"),
        ((b"\r\n",), "no SMTP reply"),
        ((b"220" + b"x" * 100_000,), "an endless reply"),
        ((b"220-x\r\n" * 2000,), "an endless reply"),
        ((b"",), "closed the connection"),
        ((b"220 x\r\n", b"500 what\r\n", b"500 what\r\n"), "ehlo: 500 what"),
    ],
)
async def test_a_server_that_wants_no_mail_says_why(answers, reason):
    async with peer(*answers) as port:
        with pytest.raises(TrafficConnectionError, match=reason):
            await Run(port).open()


async def test_an_old_server_is_greeted_with_helo():
    async with peer(b"220 x\r\n", b"502 what\r\n", b"250 x\r\n") as port:
        run = await Run(port).open()
        assert run.replies == {"connect 220": 1, "ehlo 250": 1}


async def test_a_port_where_nobody_listens_is_said_plainly():
    async with peer() as port:
        pass
    with pytest.raises(TrafficConnectionError, match="cannot connect: Connection refused"):
        await Run(port).open()


async def test_quit_does_not_wait_long_for_its_reply():
    async with peer(b"220 x\r\n", b"250 x\r\n") as port:
        run = await Run(port, timeout_s=600.0).open()
        began = asyncio.get_running_loop().time()
        await run.connection.quit()
        assert asyncio.get_running_loop().time() - began < 6.0


@pytest.mark.real_time
@pytest.mark.parametrize("how", ["starttls", "tls_from_first_byte"])
async def test_tls_and_auth(how):
    wanted = {how: True, "require_tls": True, "accounts": {"ann": "x"}, "require_auth": True}
    options = {how: True, "auth_user": "ann", "auth_password": "x"}
    async with sending(wanted, **options) as (sink, run):
        assert await run.connection.send(message()) == 250
        assert (sink.messages[0].tls, sink.messages[0].auth_user) == (True, "ann")


async def test_a_wrong_password_is_said():
    async with Sink(SinkOptions(accounts={"ann": "x"})) as sink:
        with pytest.raises(TrafficConnectionError, match="auth: 535"):
            await Run(sink.port, auth_user="ann", auth_password="y").open()  # noqa: S106


async def test_a_server_without_starttls_is_not_spoken_to_in_clear():
    async with Sink() as sink:
        with pytest.raises(TrafficConnectionError, match="starttls: 503"):
            await Run(sink.port, starttls=True).open()


@pytest.mark.real_time
async def test_a_handshake_that_fails_is_an_error():
    async with peer(b"220 x\r\n", b"250 x\r\n", b"220 go\r\n", b"no TLS at all\r\n" * 9) as port:
        with pytest.raises(TrafficConnectionError, match="TLS"):
            await Run(port, starttls=True).open()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(111, "Connect call failed ('127.0.0.1', 25)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL] wrong version number"), "wrong version number"),
        (TimeoutError(), "TimeoutError"),
        (EOFError(), "EOFError"),
    ],
)
def test_a_reason_is_said_in_words(error, reason):
    assert reason in _reason(error)
