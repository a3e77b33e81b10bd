"""The parsers that meet the world first: nothing but errors of their protocol, whatever comes.

``tests.fuzz`` says what must hold; ``make fuzz`` tries millions of sequences, this some thousands.
"""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from engine.deliver import proxied_connection, socks_dialogue
from engine.model import proxy_header
from engine.receive import smtp_session_client
from proxy import balancer, socks5
from proxy.errors import ProxyError, ReplyCode
from tests.fuzz import dialogues, targets
from tests.fuzz.__main__ import fuzz, main
from tests.fuzz.targets import TARGETS, Finding, ask_proxy, pieces_of, read_header

ADDRESSES = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(
    lambda address: str(address.ipv4_mapped or address)
)
PORTS = st.integers(0, 65535)
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@st.composite
def damaged(draw, corpus):
    """Valid octets of which a part is replaced; or any octets."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=600))
    data = draw(st.sampled_from(corpus))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    other = draw(st.binary(max_size=8) | st.sampled_from(corpus))
    return data[:start] + other + data[end:]


def cuts_of(data):
    return st.lists(st.integers(0, len(data)), max_size=6).map(sorted)


@pytest.mark.parametrize("name", TARGETS)
@effort(max_examples=150)
@given(st.data())
def test_damaged_octets_end_in_a_result_or_an_error_of_the_protocol(name, data):
    octets = data.draw(damaged(TARGETS[name].corpus))
    cuts = data.draw(cuts_of(octets))

    TARGETS[name].check(octets, cuts, data.draw(st.integers(0, 11)))


@pytest.mark.parametrize("name", TARGETS)
def test_valid_dialogues_are_read_in_every_circumstance_and_octet_by_octet(name):
    target = TARGETS[name]
    ends = {
        target.check(octets, range(1, len(octets)), variant)
        for octets in target.corpus
        for variant in range(12)
    }

    assert "read" in ends


@pytest.mark.slow
def test_tens_of_thousands_of_sequences_hold_no_surprise():
    tally = fuzz("make test", 30_000)

    assert tally.findings == []
    assert sum(tally.ends.values()) == 30_000
    for name in TARGETS:
        assert all(tally.ends[name, end] > 100 for end in ("read", "refused", "waiting"))


# -- the fuzzer itself


def break_header(monkeypatch):
    real = proxy_header.parse_proxy_header

    def parse(data):
        return real(data) if len(data) != 44 else data[99]

    monkeypatch.setattr(proxy_header, "parse_proxy_header", parse)
    return "header", "IndexError"


def break_port(monkeypatch):
    monkeypatch.setattr(smtp_session_client, "_port", lambda _name, text: int(text))
    return "xclient", "passes for an address"


def break_pieces(monkeypatch):
    real = socks5.Socks5Dialogue.feed

    def feed(self, data):
        real(self, data if len(data) != 1 else b"\5")

    monkeypatch.setattr(socks5.Socks5Dialogue, "feed", feed)
    return "proxy", "whole and in pieces"


def break_credentials(monkeypatch):
    monkeypatch.setattr(socks_dialogue, "_PASSWORD_VERSIONS", range(256))
    return "client", "a second reading"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [break_header, break_port, break_pieces, break_credentials])
def test_a_parser_with_a_defect_is_found_and_the_sequence_told(monkeypatch, capsys, damage):
    name, why = damage(monkeypatch)

    tally = fuzz("defects", 20_000, (name,))

    assert any(why in finding for finding in tally.findings)
    sequence = next(one for one in tally.findings if why in one).rpartition(" ")[2]
    with pytest.raises(Exception, match="."):
        main(["--again", sequence])
    monkeypatch.undo()
    assert main(["--again", sequence]) == 0
    assert capsys.readouterr().out.strip() in ("read", "refused", "waiting")


def test_a_dialogue_without_an_end_is_found():
    def endless():
        while True:
            yield b"once more"

    with pytest.raises(Finding, match="does not end"):
        targets.take_steps(endless(), b"", 0)


# -- both ends against each other


@given(
    source=st.none() | ADDRESSES,
    secret=st.none() | st.tuples(SECRETS, SECRETS),
    target=st.tuples(ADDRESSES, PORTS),
    data=st.data(),
)
def test_what_the_node_says_is_what_the_proxy_hears(source, secret, target, data):
    method = [b"\5\2", b"\1\0"] if secret else [b"\5\0"]
    answers = iter([*method, *[b"\5\0\0\1", bytes(6)] * (1 if source is None else 2)])
    said = octets_of(socks_dialogue.begin_steps(source, secret), answers)
    said += octets_of(socks_dialogue.connect_steps(target), answers)

    heard = []
    dialogue = socks5.Socks5Dialogue()
    for piece in pieces_of(said, data.draw(cuts_of(said))):
        dialogue.feed(piece)
        if heard and heard[-1] == (1, *target):
            break
        while (message := dialogue.next_message()) is not None:
            match message:
                case socks5.Greeting():
                    dialogue.choose_method(socks5.Method(2 if secret else 0))
                case socks5.Credentials(user, password):
                    heard.append((user.decode(), password.decode()))
                    dialogue.answer_credentials(is_good=True)
                case socks5.Request(command, host, port):
                    heard.append((command, host, port))
                    dialogue.answer_request(ReplyCode.SUCCEEDED, "192.0.2.7")
                    if command == socks5.Command.CONNECT:
                        break

    bind = [] if source is None else [(2, source, 0)]
    assert heard == [*([secret] if secret else []), *bind, (1, *target)]


def octets_of(steps, answers):
    """Return what is sent when these are the answers."""
    said = b""
    step = next(steps)
    try:
        while True:
            if isinstance(step, bytes):
                said += step
                step = next(steps)
            else:
                step = steps.send(next(answers))
    except StopIteration:
        return said


@given(ADDRESSES, PORTS, ADDRESSES, PORTS, st.binary(max_size=40))
def test_a_header_that_is_written_is_read(source, port, destination, other, more):
    ends = (source, port), (destination, other)
    if (":" in source) != (":" in destination):
        with pytest.raises(ValueError, match="different families"):
            proxy_header.format_proxy_header(*ends)
        return

    header = proxy_header.format_proxy_header(*ends)

    assert read_header([header + more]) == ("read", ends, len(header))


# -- over sockets, cut as the network pleases


def heard_over_socket(coroutine_function, pieces):
    """Return what comes of reading from a socket that gets these pieces and then its end."""

    async def run():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                task = group.create_task(coroutine_function(ours))
                for piece in pieces:
                    if task.done():
                        break
                    await loop.sock_sendall(theirs, piece)
                    await asyncio.sleep(0)
                theirs.shutdown(socket.SHUT_WR)
                result = await task
            with ours.dup() as rest:
                rest.setblocking(True)
                return result, rest.recv(65536)

    with asyncio.Runner() as runner:
        return runner.run(run())


@effort(max_examples=60)
@given(st.data())
def test_a_balancer_s_header_is_read_alike_and_nothing_behind_it(data):
    octets = data.draw(damaged(dialogues.HEADERS))
    pieces = pieces_of(octets, data.draw(cuts_of(octets)))

    async def read(sock):
        try:
            return await balancer.read_proxy_header(sock)
        except ProxyError:
            return None

    header, rest = heard_over_socket(read, pieces)

    state, told, size = read_header([octets])
    assert (header is not None) == (state == "read")
    if header is not None:
        assert ((header.source, header.destination) if header.source else None) == told
        assert octets[size:].startswith(rest)


@effort(max_examples=60)
@given(st.data())
def test_a_proxy_s_answers_are_read_alike_and_nothing_behind_them(data):
    octets = data.draw(damaged(dialogues.FROM_PROXY))
    pieces = pieces_of(octets, data.draw(cuts_of(octets)))
    secret = ("node", "secret")

    async def read(sock):
        try:
            bound = await proxied_connection._run(sock, socks_dialogue.begin_steps(None, secret))
            connect = socks_dialogue.connect_steps(("192.0.2.1", 25))
            return bound or await proxied_connection._run(sock, connect)
        except socks_dialogue.SocksError as error:
            return type(error)
        except EOFError:
            return EOFError

    seen, rest = heard_over_socket(read, pieces)

    end, address, size = ask_proxy(octets, None, secret)
    if end == "read":
        assert seen == address
        assert octets[size:].startswith(rest)
    else:
        assert seen is EOFError if end == "waiting" else seen.__name__ == end
