"""Scripts make messages and inject them: once, and only their own."""

from __future__ import annotations

import asyncio
import textwrap

import pytest

from engine.base.clock import Clock
from engine.dry_check import DryCheck
from engine.hooks import HOOKS
from engine.model.errors import SpoolUnavailableError
from engine.model.message import Message, new_spool_id
from engine.script_api import ScriptApi
from engine.script_mail import ScriptMail
from engine.script_views import MessageView
from engine.throttle.limiter import MemoryLimiter
from policy.errors import HookFailedError
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

CLOCK = Clock(lambda: 50.0, lambda: 1_700_000_000.0)


class World:
    """A script whose injected messages are listed."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self.taken: list[tuple[Message, int, bool]] = []
        self.error: Exception | None = None

    async def submit(self, message: Message, signers: list, relaxed: bool) -> None:
        await asyncio.sleep(0.1)
        if self.error is not None:
            raise self.error
        self.taken.append((message, len(signers), relaxed))

    def load(self, lines: str, *, check: bool = False) -> LoadedScript:
        api = ScriptApi(MemoryLimiter(lambda: 0.0))
        api.mail.connect(CLOCK, self.submit)
        namespace = ScriptNamespace()
        api.expose(namespace, version="1")
        source = "import mta\nfrom mta import mimepart, on\n\n\n"
        source += textwrap.dedent(lines)
        (self._folder / "init.py").write_text(source)
        script = LoadedScript(self._folder, source, HOOKS, namespace)
        if check:
            script.runtime.load(script.path, dry_check=DryCheck(script.runtime, api))
        return script

    async def run(self, lines: str) -> Message:
        head = "@on('message_received')\nasync def handle(msg):\n"
        script = self.load(head + textwrap.indent(textwrap.dedent(lines), "    "))
        message = Message(
            new_spool_id(), "s@x.test", ["r@y.test"], data=b"\r\n", size=2, created_at=0.0
        )
        await script.runtime.fire("message_received", MessageView(message, None, CLOCK))
        return message


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_a_message_is_made_edited_and_injected(world):
    message = await world.run("""
        made = mta.make_message("", "a@b.test", mimepart.new_text_plain("hello"))
        made.prepend_header("Subject", "x")
        made.set_meta("tenant", "t")
        msg.set_meta("queue_name", made.queue_name)
        await mta.inject_message(made, deferred_spool=True)
        made.set_meta("tenant", "changed")
        made.recipient = "other@b.test"
        made.set_data(b"changed")
    """)

    ((taken, signers, relaxed),) = world.taken
    assert (taken.sender, taken.recipients, signers, relaxed) == ("", ["a@b.test"], 0, True)
    assert taken.meta == {"reception_protocol": "Script", "tenant": "t"}
    assert (taken.prefix + taken.data).startswith(b"Subject: x\r\nContent-Type: text/plain")
    assert taken.size == len(taken.prefix + taken.data)
    assert (taken.created_at, taken.due_mono) == (1_700_000_000.0, 50.0)
    assert message.meta["queue_name"] == "t@b.test"


@pytest.mark.parametrize(
    "arguments",
    [
        "'nonsense', 'a@b.test', b'x'",
        "'', '', b'x'",
        "'', [], b'x'",
        "'', 'a@b.test', b''",
        "'', 'a@b.test', 5",
        "'', 5, b'x'",
    ],
)
async def test_what_makes_no_message_is_an_error(world, arguments):
    with pytest.raises(HookFailedError) as caught:
        await world.run(f"mta.make_message({arguments})")
    assert caught.value.line == 7


async def test_a_message_is_injected_once(world):
    with pytest.raises(HookFailedError, match="before"):
        await world.run("""
            made = mta.make_message("", "a@b.test", b"x")
            await mta.inject_message(made)
            await mta.inject_message(made)
        """)

    assert len(world.taken) == 1


async def test_a_message_that_could_not_be_stored_may_be_tried_again(world):
    world.error = SpoolUnavailableError("full")

    message = await world.run("""
        made = mta.make_message("", "a@b.test", b"x")
        for attempt in range(2):
            try:
                await mta.inject_message(made)
            except Exception as error:
                msg.set_meta(f"error{attempt}", str(error))
    """)

    assert message.meta == {"error0": "full", "error1": "full"}


async def test_the_message_of_an_event_is_not_injected_again(world):
    with pytest.raises(HookFailedError, match="make_message"):
        await world.run("await mta.inject_message(msg)")

    assert world.taken == []


@pytest.mark.parametrize("call", ["mta.inject_message(made)", "x = mta.inject_message(made)"])
async def test_injecting_must_be_awaited(world, call):
    with pytest.raises(HookFailedError, match="await"):
        await world.run(f"made = mta.make_message('', 'a@b.test', b'x')\n{call}")
    assert world.taken == []


async def test_a_dry_check_sends_nothing(world):
    world.load(
        """
        @on("get_queue_config")
        async def config(domain, tenant, campaign, routing_domain):
            await mta.inject_message(mta.make_message("", "a@b.test", b"x"))
            return mta.make_queue_config()

        @on("init")
        def init():
            mta.define_spool(path="/x")
        """,
        check=True,
    )
    await asyncio.sleep(1)

    assert world.taken == []


async def test_without_a_node_nothing_is_injected():
    mail = ScriptMail()
    made = mail.make_message("", "a@b.test", b"x")

    with pytest.raises(RuntimeError, match="does not run"):
        await mail.inject_message(made)
