"""What is fuzzed, and what must hold whatever comes.

Place in flow: ``tests.fuzz.__main__`` (a seeded loop), ``tests.fuzz.guided`` (atheris) and the
property tests call a target with octets; anything but a return is a finding.

For each sequence:
    * nothing but the protocol's own class of error is raised;
    * no more is held than one message and what one read may bring;
    * it comes to an end after no more steps than there are octets;
    * however the octets are cut, the outcome is the same;
    * a second, strict reading by other code comes to the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from engine.deliver import socks_dialogue
from engine.model import proxy_header
from engine.receive import smtp_session_client
from engine.receive.smtp_grammar import CommandSyntaxError, decode_line, split_verb
from engine.receive.smtp_stream import SmtpStream
from proxy import socks5
from proxy.errors import ProxyError, ReplyCode
from tests.fuzz import dialogues, second_reading
from tests.fuzz.second_reading import READ, REFUSED, WAITING, Circumstances

#: The most octets that a message of SOCKS5 takes: greeting, credentials and request.
MESSAGE_MAX = {"GREETING": 257, "CREDENTIALS": 513, "REQUEST": 262}
LINE_MAX = 998


class Finding(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        check: Called with octets, the places to cut them at and a number that picks the
            circumstances; returns how it ended, and raises if something does not hold.
        corpus: Valid dialogues.
        share: How often it has its turn.
    """

    check: Callable[[bytes, Sequence[int], int], str]
    corpus: tuple[bytes, ...]
    share: int = 1


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise((0, *cuts, len(data)))]


def agree(what: str, other: Any, found: Any) -> None:
    if other != found:
        raise Finding(f"{what}: {other!r}, but {found!r}")


# -- the proxy's side of SOCKS5


def check_proxy(data: bytes, cuts: Sequence[int], variant: int) -> str:
    code = (ReplyCode.SUCCEEDED, ReplyCode.SUCCEEDED, ReplyCode.GENERAL_FAILURE)[variant % 3]
    how = Circumstances(bool(variant // 3 % 2), bool(variant // 6 % 2), code)
    found = serve_client(pieces_of(data, cuts), how)
    agree("whole and in pieces", serve_client([data], how), found)
    agree("a second reading", second_reading.read_client(data, how), found)
    end = found[1]
    return READ if end.startswith("ends:") else end if end == WAITING else REFUSED


def serve_client(pieces: Iterable[bytes], how: Circumstances) -> tuple[list[Any], str]:
    """Return the messages of a client with what was answered, and how it ends."""
    dialogue = socks5.Socks5Dialogue()
    found: list[Any] = []
    size = 0
    rest = b""
    is_over = False
    for piece in pieces:
        size += len(piece)
        for start in range(0, len(piece), socks5.FEED_MAX):
            part = piece[start : start + socks5.FEED_MAX]
            if is_over:
                rest += part
                continue
            dialogue.feed(part)
            try:
                is_over = converse(dialogue, how, found)
            except ProxyError as error:
                return found, type(error).__name__
            held, expected = len(dialogue._buffer), dialogue._expected.name
            if not is_over and held >= MESSAGE_MAX[expected]:
                raise Finding(f"{held} octets are held while {expected} is expected")
            if len(found) > size:
                raise Finding("more messages than octets")
    if not is_over:
        return found, WAITING
    return found, "ends:" + (dialogue.take_rest() + rest).hex()


def converse(dialogue: socks5.Socks5Dialogue, how: Circumstances, found: list[Any]) -> bool:
    """Answer what is complete; return whether the dialogue is over."""
    while (message := dialogue.next_message()) is not None:
        match message:
            case socks5.Greeting(methods):
                method = socks5.pick_method(
                    methods, can_judge=how.can_judge, is_required=how.is_required
                )
                reply = dialogue.choose_method(method)
                found.append(("greeting", methods, reply[1]))
                if method is None:
                    return True
            case socks5.Credentials(user, password):
                is_good = second_reading.is_good(user, password)
                dialogue.answer_credentials(is_good=is_good)
                found.append(("credentials", user, password, is_good))
                if not is_good:
                    return True
            case socks5.Request(command, host, port, is_name):
                code = ReplyCode(how.code)
                dialogue.answer_request(code, "192.0.2.7")
                found.append(("request", command, host, port, is_name, code))
                if code or command != socks5.Command.BIND:
                    return True
    return False


# -- the node's side of SOCKS5


def check_client(data: bytes, cuts: Sequence[int], variant: int) -> str:
    source = (None, "10.0.0.7", "2001:db8::9")[variant % 3]
    credentials = ("node", "secret") if variant // 3 % 2 else None
    found = ask_proxy(data, source, credentials)
    theirs = second_reading.read_proxy(data, source=source, credentials=credentials)
    agree("a second reading", theirs, found)
    del cuts  # it asks for exact numbers of octets: it cannot know where they were cut
    return found[0] if found[0] in (READ, WAITING) else REFUSED


def ask_proxy(
    data: bytes, source: str | None, credentials: tuple[str, str] | None
) -> tuple[str, str, int]:
    """Return how a dialogue with a proxy ends, the address that is seen, and the octets read."""
    place = 0
    seen = ""
    try:
        for steps in (
            socks_dialogue.begin_steps(source, credentials),
            socks_dialogue.connect_steps(("192.0.2.1", 25)),
        ):
            place, result = take_steps(steps, data, place)
            if result is None:
                return WAITING, "", -1
            seen = seen or result
    except socks_dialogue.SocksError as error:
        if not str(error).isprintable() or len(str(error)) > 200:
            raise Finding(f"an error that is no text: {error}") from error
        return type(error).__name__, "", -1
    return READ, seen, place


def take_steps(steps: Any, data: bytes, place: int) -> tuple[int, str | None]:
    """Return where a dialogue stands, and its result; None while it waits."""
    try:
        step = next(steps)
        for _ in range(16):
            if isinstance(step, bytes):
                step = next(steps)
                continue
            if not 0 < step <= 257:
                raise Finding(f"it asks for {step} octets")
            if len(data) - place < step:
                return place, None
            place += step
            step = steps.send(data[place - step : place])
    except StopIteration as end:
        return place, end.value
    raise Finding("the dialogue does not end")


# -- the PROXY protocol


def check_header(data: bytes, cuts: Sequence[int], _variant: int) -> str:
    found = read_header([data])
    agree("whole and in pieces", read_header(pieces_of(data, cuts)), found)
    agree("a second reading", second_reading.read_header(data), found)
    state, told, _ = found
    if state == WAITING and len(data) >= proxy_header.HEADER_MAX:
        raise Finding(f"a header is waited for after {len(data)} octets")
    if told is not None and (":" in told[0][0]) == (":" in told[1][0]):
        again = proxy_header.format_proxy_header(*told)
        agree("written and read again", read_header([again]), (READ, told, len(again)))
    return state


def read_header(pieces: Iterable[bytes]) -> tuple[str, Any, int]:
    """Return how a header is read from octets that come in pieces, as listeners do it."""
    data = b""
    for piece in pieces:
        data += piece
        try:
            found = proxy_header.parse_proxy_header(data)
        except proxy_header.ProxyHeaderError:
            return REFUSED, None, -1
        if found is not None:
            header, size = found
            told = (header.source, header.destination)
            if not 0 < size <= min(len(data), proxy_header.HEADER_MAX) or (None in told) != (
                told == (None, None)
            ):
                raise Finding(f"{header} in {size} octets")
            return READ, told if header.source else None, size
    return WAITING, None, -1


# -- XCLIENT

PEER, OWN = ("127.0.0.1", 40_000), ("127.0.0.1", 25)


def check_xclient(data: bytes, cuts: Sequence[int], variant: int) -> str:
    if variant % 3:
        data += b"\r\n"
    found = obey_lines([data])
    agree("whole and in pieces", obey_lines(pieces_of(data, cuts)), found)
    theirs = [read_again(line) for line in data.split(b"\n")[:-1]]
    agree("a second reading", [one for one in theirs if one is not None], found)
    return WAITING if not found else READ if any(found) else REFUSED


def read_again(line: bytes) -> Any:
    """Return what an XCLIENT line says, by the second reading; None if it is no such line."""
    if len(line) > LINE_MAX + 1 or not line.endswith(b"\r") or b"\r" in line[:-1] or b"\0" in line:
        return None
    try:
        words = line[:-1].decode().strip(" \t").split(" ", 1)
    except UnicodeDecodeError:
        return None
    if words[0].upper() != "XCLIENT":
        return None
    told = second_reading.read_xclient(words[1].strip(" \t") if len(words) > 1 else "")
    if told is None:
        return ()
    return (
        (told.get("ADDR", PEER[0]), told.get("PORT", PEER[1])),
        (told.get("DESTADDR", OWN[0]), told.get("DESTPORT", OWN[1])),
    )


def obey_lines(pieces: Iterable[bytes]) -> list[Any]:
    """Return what each XCLIENT among lines that come in pieces says, nothing for a wrong one."""
    stream = _stream()
    stream.discard_input()
    found: list[Any] = []
    for piece in pieces:
        stream.data_received(piece)
        while (raw := stream.next_line(LINE_MAX)) is not None:
            if not raw.endswith(b"\r\n"):
                continue
            try:
                verb, argument = split_verb(decode_line(raw[:-2]))
            except CommandSyntaxError:
                continue
            if verb == "XCLIENT":
                found.append(obey_xclient(argument))
        if len(stream.peek_input()) > LINE_MAX + 2:
            raise Finding("more than a line is held")
    return found


def obey_xclient(argument: str) -> Any:
    try:
        ends = smtp_session_client.read_attributes(argument, PEER, OWN)
    except ValueError as error:
        if not str(error).isascii() or not str(error).isprintable() or len(str(error)) > 100:
            raise Finding(f"a reply that is none: {error}") from error
        return ()
    for host, port in ends:
        if not host.isascii() or not host.isprintable() or not 0 <= port <= 65535:
            raise Finding(f"{host}:{port} passes for an address")
    return ends


@cache
def _stream() -> SmtpStream:
    """Return what gathers the lines of sessions; it wants to be made on a loop, and needs none."""

    async def make() -> SmtpStream:
        return SmtpStream()

    with asyncio.Runner() as runner:
        return runner.run(make())


TARGETS = {
    "proxy": Target(check_proxy, dialogues.TO_PROXY, 4),
    "client": Target(check_client, dialogues.FROM_PROXY, 2),
    "header": Target(check_header, dialogues.HEADERS, 4),
    "xclient": Target(check_xclient, dialogues.XCLIENT, 2),
}
