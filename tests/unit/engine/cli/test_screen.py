"""A screen that is drawn again and again."""

from __future__ import annotations

import asyncio

import pyte
import pytest

from engine.cli.screen import CLOSED, ESC_S, KEYS_MAX, RESIZED, AnsiScreen, write_changes


class World:
    """A screen, and what a terminal shows of what it sent."""

    def __init__(self, columns: int = 20, rows: int = 4) -> None:
        self.size = (columns, rows)
        self.seen = pyte.Screen(columns, rows)
        self.sent: list[str] = []
        self._stream = pyte.Stream(self.seen)
        self.screen = AnsiScreen(self.write, lambda: self.size)

    async def write(self, text: str) -> None:
        self.sent.append(text)
        self._stream.feed(text)

    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.seen.display]


async def test_what_is_drawn_is_seen():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one", "two", "", "x" * 20])

        assert world.shown() == ["one", "two", "", "x" * 20]
        assert world.seen.cursor.hidden


async def test_only_a_line_that_changed_is_sent():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one", "two", "three"])
        await screen.draw(["one", "2", "three"])

        assert world.shown() == ["one", "2", "three", ""]
        assert world.sent[-1] == "\x1b[2;1H2\x1b[K"


async def test_nothing_is_sent_for_the_same_picture():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one"])
        sent = len(world.sent)
        await screen.draw(["one"])

        assert len(world.sent) == sent


async def test_a_full_line_keeps_its_last_character():
    world = World()
    async with world.screen as screen:
        await screen.draw(["short", "below"])
        await screen.draw(["\x1b[1m" + "y" * 20 + "\x1b[0m", "below"])

        assert world.shown()[:2] == ["y" * 20, "below"]


async def test_a_line_that_is_too_wide_does_not_reach_the_next_one():
    world = World()
    async with world.screen as screen:
        await screen.draw(["z" * 45, "below"])

        assert world.shown()[1:] == ["below", "", ""]


async def test_lines_that_are_no_longer_there_are_erased():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one", "two", "three"])
        await screen.draw(["one"])

        assert world.shown() == ["one", "", "", ""]


async def test_lines_below_the_screen_are_not_sent():
    world = World(rows=4)
    async with world.screen as screen:
        await screen.draw([str(number) for number in range(9)])

        assert world.shown() == ["0", "1", "2", "3"]


async def test_colours_end_with_their_line():
    assert write_changes([""], ["\x1b[31mred"], 20) == "\x1b[1;1H\x1b[31mred\x1b[0m\x1b[K"


async def test_another_size_draws_everything():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one", "two"])
        world.size = (30, 5)
        world.seen.resize(5, 30)
        await screen.draw(["one", "two"])

        assert "one" in world.sent[-1]
        assert "two" in world.sent[-1]


async def test_what_somebody_else_wrote_goes_with_the_next_picture():
    world = World()
    async with world.screen as screen:
        await screen.draw(["one"])
        await world.write("\x1b[3;1Ha broadcast message")
        screen.forget()
        await screen.draw(["one"])

        assert world.shown() == ["one", "", "", ""]


@pytest.mark.parametrize(
    ("claimed", "used"),
    [((0, 0), (80, 24)), ((-5, 1 << 31), (80, 200)), ((1 << 31, -1), (500, 24)), ((1, 1), (1, 1))],
)
def test_a_size_is_bounded_whatever_is_claimed(claimed, used):
    screen = AnsiScreen(World().write, lambda: claimed)

    assert (screen.columns, screen.rows) == used


async def test_leaving_gives_the_terminal_back():
    world = World()
    with pytest.raises(ZeroDivisionError):
        async with world.screen:
            raise ZeroDivisionError
    assert world.sent[0].startswith("\x1b[?1049h")
    assert world.sent[-1].endswith("\x1b[?1049l")
    assert not world.seen.cursor.hidden
    assert pyte.modes.DECAWM in world.seen.mode


async def test_leaving_a_connection_that_broke_is_no_error():
    world = World()

    async def broken(text: str) -> None:
        raise ConnectionResetError

    async with world.screen as screen:
        screen._write = broken

    assert len(world.sent) == 1


async def test_keys_are_read_in_their_order():
    screen = World().screen
    screen.feed(b"a\x1b[")
    screen.feed(b"Bq")

    assert [await screen.next_key(1) for _ in range(4)] == ["a", "down", "q", None]


async def test_a_key_that_comes_later_ends_the_wait():
    screen = World().screen
    asyncio.get_running_loop().call_later(5, screen.feed, b"x")

    assert await screen.next_key(4.9) is None
    assert await screen.next_key(4.9) == "x"


async def test_a_lone_escape_is_a_key_after_a_moment():
    screen = World().screen
    screen.feed(b"\x1b")

    assert await screen.next_key(ESC_S / 2) is None
    assert await screen.next_key(ESC_S) == "esc"


async def test_an_escape_is_a_key_also_for_somebody_who_asks_often():
    screen = World().screen
    screen.feed(b"\x1b")

    keys = [await screen.next_key(ESC_S / 10) for _ in range(15)]

    assert [key for key in keys if key] == ["esc"]


async def test_unread_keys_are_bounded():
    screen = World().screen
    for _ in range(100):
        screen.feed(b"x" * 1000)

    read = 0
    while await screen.next_key(0.001):
        read += 1
    assert read == KEYS_MAX


async def test_a_new_size_is_told_once():
    screen = World().screen
    screen.resized()
    screen.resized()

    assert [await screen.next_key(1) for _ in range(2)] == [RESIZED, None]


async def test_after_the_last_key_it_is_told_that_nobody_is_there():
    screen = World().screen
    screen.feed(b"x")
    screen.closed()

    assert [await screen.next_key(1) for _ in range(3)] == ["x", CLOSED, CLOSED]
