"""The prompt of somebody at a terminal."""

from __future__ import annotations

import asyncio

import pyte
import pytest
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from engine.cli.verb import Session
from engine.console.catalogue import console_group, console_verbs
from engine.console.shell import TYPED_LINE_MAX, UNDONE_MAX, KeyFeeder, VerbCompleter, bound_line
from engine.model.role import Role
from tests.fakes.console_world import console_world
from tests.fakes.operator_session import FakeNode, FakeTerminal

QUEUES = {"scheduled": [{"queue_name": "acme@a.test"}], "ready": [{"source": "ip-1"}]}


def complete(typed: str, role: Role = Role.ADMIN) -> list[str]:
    node = FakeNode({("GET", "/api/admin/queues/v1"): QUEUES})
    group = console_group(console_verbs(role))
    completer = VerbCompleter(Session(node, FakeTerminal()), group)
    return [one.text for one in completer.get_completions(Document(typed), CompleteEvent())]


def test_verbs_options_and_live_names_are_offered():
    assert complete("sus")[:2] == ["suspend", "suspend-cancel"]
    assert complete("suspend --ten") == ["--tenant"]
    assert complete("suspend --tenant ") == ["acme"]
    assert complete("suspend --queue ac") == ["acme@a.test"]
    assert complete("cirrus suspend --tenant a") == ["acme"]
    assert complete("quee") == []
    assert complete("suspend --reason 'a b") == []


def test_a_name_that_a_sender_chose_stays_one_word():
    chosen = {"scheduled": [{"queue_name": "x%20--everything%20--yes@a.test"}], "ready": []}
    node = FakeNode({("GET", "/api/admin/queues/v1"): chosen})
    completer = VerbCompleter(Session(node, FakeTerminal()), console_group(console_verbs()))
    (offered,) = completer.get_completions(Document("bounce --tenant "), CompleteEvent())

    assert offered.text == "'x --everything --yes'"


def test_only_what_the_role_may_is_offered():
    assert "bounce" in complete("b")
    assert "bounce" not in complete("b", Role.VIEWER)


def feed(*texts: str) -> list[str]:
    later: list = []

    class Loop:
        def call_later(self, _delay, work):
            later.append(work)

    sent: list[str] = []
    feeder = KeyFeeder(Loop(), sent.append)
    for text in texts:
        feeder.take(text)
    while later:
        later.pop()()
    return sent


def test_typed_text_reaches_the_editor_in_small_pieces_and_is_bounded():
    sent = feed("x" * 1000, "y" * KeyFeeder.WAITING_MAX)

    assert max(map(len, sent)) == KeyFeeder.PIECE
    assert "".join(sent) == "x" * 1000


def test_what_is_pasted_comes_in_large_pieces_and_its_end_is_never_lost():
    pasted = "\x1b[200~" + "x" * 1000 + "\x1b[201~"
    sent = feed("ab" + pasted + "cd")

    assert "".join(sent) == "ab" + pasted + "cd"
    assert sent[:2] == ["ab", pasted[: KeyFeeder.PASTED_PIECE]]
    assert sent[-1] == "cd"
    assert "".join(feed("\x1b[200~abc", "x" * 9000 + "\x1b[201~")) == "\x1b[200~abc\x1b[201~"


def test_ctrl_c_is_heard_however_much_waits():
    sent = feed("x" * KeyFeeder.WAITING_MAX, "y" * 100 + "\x03z")

    assert sent[0] == "x" * KeyFeeder.PIECE
    assert "".join(sent[1:]) == "\x03z"


class Pipe:
    """A pipe that may not be written to once it is closed: its number may be that of another."""

    def __init__(self) -> None:
        self.text = ""
        self.is_closed = False

    def send(self, text: str) -> None:
        assert not self.is_closed
        self.text += text

    def close(self) -> None:
        self.is_closed = True


class Later:
    """A loop whose timers run when the test says so."""

    def __init__(self) -> None:
        self.timers: list = []

    def call_later(self, _delay, work):
        self.timers.append(work)

    def run(self) -> None:
        while self.timers:
            self.timers.pop(0)()


def test_the_pipe_of_the_editor_is_closed_when_all_is_written_and_not_written_to_after():
    loop, pipe = Later(), Pipe()
    feeder = KeyFeeder(loop, pipe.send)
    feeder.take("whoami\rexit\r")
    feeder.end(pipe.close)
    assert not pipe.is_closed

    loop.run()

    assert (pipe.text, pipe.is_closed) == ("whoami\rexit\r", True)


def test_what_the_editor_did_not_get_is_for_who_reads_next():
    loop, pipe = Later(), Pipe()
    feeder = KeyFeeder(loop, pipe.send)
    feeder.take("whoami\r\nqueues\r")
    left = feeder.close()
    loop.run()

    assert pipe.text + left == "whoami\r\nqueues\r"
    assert len(pipe.text) == KeyFeeder.PIECE


def test_no_line_that_is_edited_grows_without_bound():
    buffer = Buffer()
    buffer.on_text_changed += bound_line
    for _ in range(300):
        buffer.save_to_undo_stack()
        buffer.insert_text("x" * 1000)

    assert len(buffer.text) == TYPED_LINE_MAX
    assert len(buffer._undo_stack) <= UNDONE_MAX + 1


class Typist:
    """Somebody at the terminal of a real session."""

    def __init__(self, process) -> None:
        self._process = process
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.Stream(self._screen)

    @property
    def lines(self) -> list[str]:
        """Return the lines on the screen, the last the one with the cursor."""
        return [line.rstrip() for line in self._screen.display[: self._screen.cursor.y + 1]]

    async def see(self, text: str) -> None:
        """Look at the screen until something stands there."""
        async with asyncio.timeout(20):
            while text not in "\n".join(self.lines):
                got = await self._process.stdout.read(4096)
                assert got, f"over before {text!r}: {self.lines}"
                self._stream.feed(got)

    async def see_prompt(self) -> None:
        """Look at the screen until a line is wanted."""
        async with asyncio.timeout(20):
            while self.lines[-1] != "cirrus>":
                self._stream.feed(await self._process.stdout.read(4096))

    async def type(self, text: str, until: str) -> None:
        """Type on an empty screen."""
        self._screen.erase_in_display(2)
        self._process.stdin.write(text)
        await self.see(until)


@pytest.mark.real_time
@pytest.mark.slow
async def test_a_person_types_completes_is_asked_and_leaves(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm", term_size=(80, 24))
        person = Typist(process)
        await person.see("You are operator-ann, operator.")
        await person.see_prompt()

        await person.type("suspend --tenant acme --reason 'too hot'\r", "suspended; its id:")
        await person.see_prompt()
        await person.type("suspend-list\r", "too hot (by operator-ann)")
        await person.type("bounce --tenant acme --reason x\r", "bounce tenant=acme? [y/N]")
        await person.type("n\r", "nothing was done")
        await person.see_prompt()
        await person.type("whoa\t", "whoami")
        await person.type("\r", "operator-ann")
        await person.type("nonsense\r", "there is no 'nonsense' here")
        await person.type("\x1b[A\r", "there is no 'nonsense' here")
        await person.type("half a line\x03", "half a line")
        await person.see_prompt()
        process.stdin.write("exit\r")
        await process.wait_closed()
        await console.settle()
        acts = [one.act for one in console.world.audited()]

    assert process.exit_status == 0
    assert "bounce" not in acts
    assert "suspend" in acts


@pytest.mark.real_time
@pytest.mark.slow
async def test_ctrl_c_ends_what_runs_and_not_the_session(tmp_path, monkeypatch):
    async with console_world(tmp_path) as console, console.connect() as connection:

        async def hang(*_: object) -> None:
            await asyncio.sleep(1000)

        monkeypatch.setattr(console.server.desk, "call", hang)
        process = await connection.create_process(term_type="xterm")
        person = Typist(process)
        await person.see_prompt()
        process.stdin.write("queues\r")
        await person.see("queues")
        await asyncio.sleep(0.2)
        await person.type("\x03", "^C")
        await person.see_prompt()
        process.stdin.write("\x04")
        await process.wait_closed()

    assert process.exit_status == 0


@pytest.mark.real_time
@pytest.mark.slow
async def test_a_prompt_at_which_nobody_types_ends(tmp_path):
    async with console_world(tmp_path, idle_timeout=1) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm")
        person = Typist(process)

        await person.see("Nothing was typed for too long")
        await process.wait_closed()

    assert process.exit_status == 0


@pytest.mark.real_time
@pytest.mark.slow
async def test_a_large_paste_does_not_hold_up_the_others(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm")
        person = Typist(process)
        await person.see_prompt()
        process.stdin.write("x" * 300_000)

        assert (await connection.run("whoami")).exit_status == 0
        process.close()
        await process.wait_closed()


@pytest.mark.real_time
@pytest.mark.slow
async def test_lines_that_are_typed_ahead_are_all_run_even_if_nothing_comes_after(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm", term_size=(80, 24))
        person = Typist(process)
        await person.see_prompt()
        process.stdin.write("whoami --json\rhelp whoami\rnonsense\r")
        process.stdin.write_eof()
        await person.see('"role": "operator"')
        await person.see("Show who you are here")
        await person.see("there is no 'nonsense' here")
        await process.wait_closed()

    assert process.exit_status == 0


@pytest.mark.real_time
@pytest.mark.slow
async def test_no_key_repeats_others(tmp_path):
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm", term_size=(80, 24))
        person = Typist(process)
        await person.see_prompt()

        await person.type("\x1b9\x1b0xy\r", "there is no 'xy' here")
        await person.type("\x18(z\x18)\x18e\r", "there is no 'z' here")


@pytest.mark.real_time
@pytest.mark.slow
async def test_a_window_of_many_sizes_is_drawn_a_few_times(tmp_path, monkeypatch):
    drawn = []
    draw = Application._on_resize
    monkeypatch.setattr(Application, "_on_resize", lambda app: (drawn.append(app), draw(app)))
    async with console_world(tmp_path) as console, console.connect() as connection:
        process = await connection.create_process(term_type="xterm", term_size=(80, 24))
        person = Typist(process)
        await person.see_prompt()
        for columns in range(100, 400):
            process.change_terminal_size(columns, 24)
        await connection.run("whoami")
        await person.type("whoami\r", "operator-ann")
        process.close()
        await process.wait_closed()

    assert len(drawn) < 50
