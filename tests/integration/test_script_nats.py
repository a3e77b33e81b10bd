"""Scripts and a real NATS server with streams."""

from __future__ import annotations

import asyncio

import nats
import pytest

from policy.errors import HookFailedError
from tests.fakes.nats_server import nats_server
from tests.fakes.script_world import script_world

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with nats_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
async def stream(server):
    """Return a client of the test's own; the stream MAIL takes the subjects below ``mail``."""
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="MAIL", subjects=["mail.>"])
    yield client
    await client.jetstream().delete_stream("MAIL")
    await client.close()


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


def top(server, **options):
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"n = mta.nats.connect(servers={server.url!r}{given})"


async def test_a_message_is_stored_when_publish_returns(world, server, stream):
    acks = await world.ask(
        """
        return [
            await n.publish(subject="mail.out", payload="text", headers={"Nats-Msg-Id": "1"}),
            await n.publish(subject="mail.out", payload=b"again", headers={"Nats-Msg-Id": "1"}),
            await n.publish(subject="mail.out", payload=b"more"),
        ]
        """,
        top=top(server),
    )

    assert [(ack["stream"], ack["sequence"], ack["duplicate"]) for ack in acks] == [
        ("MAIL", 1, False),
        ("MAIL", 1, True),
        ("MAIL", 2, False),
    ]
    stored = await stream.jetstream().get_msg("MAIL", 1)
    assert (stored.data, stored.headers["Nats-Msg-Id"]) == (b"text", "1")


async def test_without_ack_those_who_listen_get_it(world, server):
    listener = await nats.connect(server.url)
    found = await listener.subscribe("plain")
    await listener.flush()

    assert (
        await world.ask(
            "return await n.publish(subject='plain', payload='x', await_ack=False)", top=top(server)
        )
        is None
    )

    assert (await found.next_msg(5)).data == b"x"
    await listener.close()


async def test_a_subject_that_no_stream_takes_is_an_error_with_its_line(world, server, stream):
    with pytest.raises(
        HookFailedError, match="init.py:6: ValueError: nats: no stream takes 'none'"
    ):
        await world.ask("await n.publish(subject='none')", top=top(server))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("publish(subject='')", "subject: text is expected"),
        ("publish(subject='a b', await_ack=False)", "ValueError: nats: "),
        ("publish(subject='mail.x', payload='x' * 3_000_000)", "ValueError: nats: .*payload"),
        ("publish(subject='mail.x', payload=5)", "payload: text or bytes"),
        ("publish(subject='mail.x', headers={'a': 'b\\nc'})", "of one line"),
        ("publish(subject='mail.x', headers={'a': 5})", "names and values are text"),
    ],
)
async def test_what_cannot_be_published_is_an_error(world, server, stream, call, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask(f"await n.{call}", top=top(server))


async def test_calls_and_epochs_share_a_connection(world, server, stream):
    for _ in range(3):
        await world.ask("await n.publish(subject='mail.x')", top=top(server))
        await asyncio.gather(*(world.again() for _ in range(20)))

    assert len(world.network.connections) == 1
    info = await stream.jetstream().stream_info("MAIL")
    assert info.state.messages == 63


async def test_a_server_that_was_restarted_is_used_again(tmp_path):
    (tmp_path / "n").mkdir()
    with nats_server(tmp_path / "n") as server:
        async with script_world(tmp_path) as world:
            await world.ask("await n.publish(subject='x', await_ack=False)", top=top(server))
            server.stop()
            with pytest.raises(
                HookFailedError, match="ConnectionError: nats: |TimeoutError: nats: "
            ):
                for _ in range(3):
                    await world.again()
            server.start()

            assert await world.again() is None


async def test_who_asks_shows_a_password_from_its_source(tmp_path):
    (tmp_path / "n").mkdir()
    with nats_server(tmp_path / "n", "--user", "me", "--pass", "hush") as server:
        async with script_world(tmp_path) as world:
            (tmp_path / "pass.txt").write_text("hush\n")
            good = {"username": {"key_data": "me"}, "password": "pass.txt"}
            await world.ask(
                "await n.publish(subject='x', await_ack=False)", top=top(server, auth=good)
            )
            bad = good | {"password": {"key_data": "wr0ng"}}
            with pytest.raises(HookFailedError, match="ConnectionError: nats: ") as caught:
                await world.ask(
                    "await n.publish(subject='x', await_ack=False)", top=top(server, auth=bad)
                )

    assert "wr0ng" not in str(caught.value)


async def test_a_server_that_is_silent_is_an_error_in_time(world):
    silent = await asyncio.start_server(lambda _r, _w: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]

    with pytest.raises(HookFailedError, match="init.py:6: .*nats: "):
        await world.ask(
            "await n.publish(subject='x')",
            top=f"n = mta.nats.connect(servers='127.0.0.1:{port}', connection_timeout='300ms')",
        )
    silent.close()


async def test_a_handler_that_is_cancelled_leaves_no_task(world, server):
    before = len(asyncio.all_tasks())
    world.load_body("await n.publish(subject='mail.x')", top=top(server))
    firing = [asyncio.ensure_future(world.again()) for _ in range(5)]
    await asyncio.sleep(0)
    for task in firing:
        task.cancel()
    await asyncio.gather(*firing, return_exceptions=True)
    await world.network.close()
    await world.supervisor.stop()
    await asyncio.sleep(0.05)

    assert len(asyncio.all_tasks()) == before
