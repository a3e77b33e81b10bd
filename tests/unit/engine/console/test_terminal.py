"""An operator's terminal at the other end of a channel."""

from __future__ import annotations

import asyncio

import click
import pytest

from engine.console.terminal import (
    SEND_S,
    TYPED_MAX,
    ConsoleTerminal,
    EnoughError,
    OutputLostError,
)
from engine.model.console_options import IDLE_S


class Channel:
    """What was sent; of a given size."""

    def __init__(self, columns: int = 20, rows: int = 5) -> None:
        self.text = self.notes = ""
        self.waits = False
        self._size = (columns, rows)

    def write(self, text: str) -> None:
        self.text += text

    def write_stderr(self, text: str) -> None:
        self.notes += text

    def take_input(self, *, more: bool) -> None:
        self.waits = not more

    def size(self) -> tuple[int, int]:
        return self._size


def terminal(*, has_pty: bool = True, **size: int) -> tuple[ConsoleTerminal, Channel]:
    channel = Channel(**size)
    return ConsoleTerminal(channel, has_pty=has_pty), channel


async def test_a_pipe_gets_lines_as_they_are_and_never_a_page():
    made, channel = terminal(has_pty=False)
    made.begin_answer(pages=True)

    await made.write("line\n" * 100)
    await made.note("by the way\n")

    assert channel.text == "line\n" * 100
    assert channel.notes == "by the way\n"
    assert made.columns is None


async def test_a_long_answer_stops_at_the_foot_and_goes_on_by_page_line_or_not_at_all():
    made, channel = terminal()
    made.begin_answer(pages=True)
    writing = asyncio.ensure_future(made.write("".join(f"{n}\n" for n in range(20))))

    async def shown() -> list[str]:
        await asyncio.sleep(0.01)
        return channel.text.split()

    assert await shown() == ["0", "1", "2", "3"]
    assert "more" in channel.notes
    made.feed("\r")
    assert await shown() == ["0", "1", "2", "3", "4"]
    made.feed("x ")
    assert len(await shown()) == 9
    made.feed("q")
    with pytest.raises(EnoughError):
        await writing
    assert channel.text.endswith("8\r\n")


async def test_a_line_that_is_folded_takes_the_rows_that_it_takes():
    made, channel = terminal()
    made.begin_answer(pages=True)
    writing = asyncio.ensure_future(made.write("a" * 45 + "\n" + "b\n" * 3))
    await asyncio.sleep(0.01)

    assert channel.text == "a" * 45 + "\r\nb\r\n"
    made.feed(" ")
    await writing


async def test_what_goes_on_for_ever_is_not_paged():
    made, channel = terminal()
    made.begin_answer(pages=False)

    await made.write("line\n" * 50)

    assert channel.text.count("line") == 50


async def test_a_reader_that_takes_nothing_ends_its_session_after_a_while():
    made, _ = terminal(has_pty=False)
    made.set_room(False)
    began = asyncio.get_running_loop().time()

    with pytest.raises(OutputLostError):
        await made.write("x")

    assert asyncio.get_running_loop().time() - began == pytest.approx(SEND_S, abs=1)
    with pytest.raises(OutputLostError):
        await made.write("x")


async def test_a_reader_that_is_slow_is_waited_for():
    made, channel = terminal(has_pty=False)
    made.set_room(False)
    writing = asyncio.ensure_future(made.write("x"))
    await asyncio.sleep(SEND_S / 2)
    made.set_room(True)

    await writing
    assert channel.text == "x"


async def test_ctrl_c_is_always_heard_and_wipes_what_was_typed_ahead():
    made, _ = terminal()
    heard = []
    made.on_interrupt = lambda: heard.append(True)
    made.feed("abc")
    made.feed("d\x03e")

    assert heard == [True]
    assert await made.read_typed() == "e"


async def test_what_is_typed_ahead_is_bounded():
    made, _ = terminal()
    for _ in range(10):
        made.feed("x" * TYPED_MAX)
    made.feed_end()

    typed = 0
    while await made.read_typed():
        typed += 1
    assert typed == TYPED_MAX


async def test_a_script_waits_instead_of_losing_a_line():
    made, channel = terminal(has_pty=False)
    for _ in range(3):
        made.feed("x" * TYPED_MAX)
    assert channel.waits
    made.feed_end()

    typed = 0
    while await made.read_typed():
        typed += 1
    assert typed == 3 * TYPED_MAX
    assert not channel.waits


async def test_an_answer_is_a_line_that_may_be_corrected():
    made, channel = terminal()
    asking = asyncio.ensure_future(made.ask("sure? "))
    await asyncio.sleep(0.01)
    made.feed("nx\x7f\x7f\x7fy\x1b")
    made.feed("es\r")

    assert await asking == "yes"
    assert channel.notes.startswith("sure? n")
    assert channel.notes.endswith("es\r\n")


async def test_nobody_there_answers_nothing():
    made, _ = terminal()
    made.feed_end()

    assert await made.ask("sure? ") == ""


async def test_whoever_is_asked_and_says_nothing_for_too_long_ends_the_session():
    made, _ = terminal()
    began = asyncio.get_running_loop().time()

    with pytest.raises(OutputLostError):
        await made.ask("sure? ")

    assert asyncio.get_running_loop().time() - began == pytest.approx(IDLE_S, abs=1)


async def test_a_reader_of_its_own_gets_everything_ctrl_c_included():
    made, _ = terminal()
    made.on_interrupt = lambda: pytest.fail("not meant for the verb")
    made.feed("before")
    got: list[str] = []
    ends: list[bool] = []
    async with made.reading(got.append, lambda: ends.append(True)):
        made.feed("\x03now")
        made.feed_end()
    made.feed("after")

    assert got == ["before", "\x03now"]
    assert ends == [True]
    assert await made.read_typed() == "a"


async def test_drawing_never_waits_and_is_left_out_where_nothing_is_taken():
    made, channel = terminal()
    made.write_raw("seen")
    made.set_room(False)
    made.write_raw("lost")

    assert channel.text == "seen"


@pytest.mark.parametrize(
    ("size", "seen"), [((0, 0), (80, 24)), ((5, 1), (20, 5)), ((9999, 9999), (1000, 500))]
)
async def test_a_size_that_makes_no_sense_is_another(size, seen):
    made, _ = terminal(columns=size[0], rows=size[1])

    assert (made.columns, made.rows) == seen


async def test_a_live_view_takes_the_screen_and_every_key():
    made, channel = terminal(columns=30, rows=10)
    interrupts = []
    made.on_interrupt = lambda: interrupts.append(1)
    async with made.screen() as screen:
        assert (screen.columns, screen.rows) == (30, 10)
        await screen.draw(["one", "two"])
        made.feed("q\x1b[")
        made.feed("A\x03")
        made.resized()
        keys = [await screen.next_key(1) for _ in range(4)]

        assert "\x1b[2;1Htwo" in channel.text
        assert "\r" not in channel.text
    assert keys == ["q", "up", "ctrl-c", "resized"]
    assert interrupts == []
    assert channel.text.endswith("\x1b[?1049l")
    made.feed("x")
    assert await made.read_typed() == "x"


async def test_a_live_view_hears_that_its_operator_is_gone():
    made, _ = terminal()
    async with made.screen() as screen:
        made.is_lost = True
        await screen.draw(["one"])
        assert await screen.next_key(1) == "closed"

    made, _ = terminal()
    async with made.screen() as screen:
        made.feed_end()
        assert await screen.next_key(1) == "closed"


async def test_a_pipe_is_no_screen():
    made, _ = terminal(has_pty=False)

    with pytest.raises(click.UsageError, match="ssh -t"):
        async with made.screen():
            pass


def test_a_new_size_means_nothing_to_who_shows_no_live_view():
    made, channel = terminal()
    made.resized()

    assert channel.text == ""
