"""Messages posted to another node: taken only when it says so, within the time allowed."""

import gzip
import os

import pytest
from aiohttp import web

from engine.control.transfer_targets import TransferTargets
from engine.deliver.transfer_client import IN_THREAD_FROM, TransferClient, TransferError, pack
from engine.model.transfer_target import parse_target
from tests.fakes.other_node import NEW_ID, as_target, other_node
from tests.samples.running_node import free_ports

pytestmark = pytest.mark.real_time
HEAD = (
    b'{"id":"0195f00000007000800000000000abcd","sender":"a@x.test",'
    b'"recipient":"b@y.test","meta":{}}\n'
)


@pytest.fixture
async def client():
    made = TransferClient(TransferTargets(lambda: 0.0))
    yield made
    await made.close()


async def error_of(client, target, timeout_s=5.0, pieces=(HEAD, b"x")):
    with pytest.raises(TransferError) as caught:
        await client.send(target, pieces, timeout_s)
    return caught.value


@pytest.mark.parametrize("size", [1, IN_THREAD_FROM + 1, 3 << 20])
async def test_each_octet_arrives_under_the_path_of_the_target(client, size):
    body = os.urandom(size)
    async with other_node() as node:
        handed = await client.send(node.target, (HEAD, b"", body), 10.0)

    assert handed.new_id == NEW_ID
    (message,) = node.taken
    assert message.data == body
    (request,) = node.requests
    assert (request.method, request.path) == ("POST", "/api/xfer/inject/v1")
    assert request.headers["Content-Encoding"] == "gzip"


async def test_connections_are_kept(client):
    async with other_node() as node:
        for _ in range(3):
            await client.send(node.target, (HEAD, b"x"), 5.0)

    assert len({id(request.transport) for request in node.requests}) == 1


async def test_credentials_of_the_target_are_shown_to_it_alone(client):
    async with other_node() as node:
        await client.send(node.target, (HEAD, b"x"), 5.0)
        client.targets.learn(as_target(node, "ann:p%C3%A4ss"))
        await client.send(node.target, (HEAD, b"x"), 5.0)

    assert node.users == [None, ("ann", "päss")]


@pytest.mark.parametrize(
    ("status", "is_about_message"),
    [(400, False), (401, False), (403, False), (404, False), (413, True), (422, True)]
    + [(500, False), (503, False)],
)
async def test_any_other_status_is_no_acceptance(client, status, is_about_message):
    async with other_node() as node:
        node.answer = lambda: web.json_response({"error": "not\x07 now"}, status=status)
        error = await error_of(client, node.target)

    assert str(error) == f"it answered {status} not  now"
    assert error.is_about_message is is_about_message


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="OK"),
        lambda: web.json_response({}),
        lambda: web.json_response({"id": "x"}),
        lambda: web.json_response({"id": NEW_ID + "\n"}),
        lambda: web.json_response([NEW_ID]),
        lambda: web.Response(body=b"\xff" * 100_000),
        lambda: web.Response(status=204),
    ],
)
async def test_a_web_server_that_says_200_to_everything_has_taken_nothing(client, answer):
    async with other_node() as node:
        node.answer = answer
        error = await error_of(client, node.target)

    assert "without the id of a message" in str(error)
    assert not error.is_about_message


async def test_a_redirection_is_not_followed(client):
    async with other_node() as node:
        node.answer = lambda: web.Response(status=307, headers={"Location": "/elsewhere"})
        error = await error_of(client, node.target)

    assert "307" in str(error)
    assert len(node.requests) == 1


async def test_a_target_that_is_not_there_is_named_as_such(client):
    (port,) = free_ports(1)
    error = await error_of(client, parse_target(f"http://127.0.0.1:{port}"))
    assert str(error) == "no connection: Connection refused"


async def test_a_target_that_says_nothing_is_given_up_in_time(client):
    async with other_node() as node:
        node.gate.clear()
        error = await error_of(client, node.target, timeout_s=0.2)
        node.gate.set()

    assert str(error) == "it gave no answer in time"


async def test_a_connection_that_breaks_is_an_error(client):
    async with other_node() as node:

        def hang_up():
            node.requests[-1].transport.abort()
            return web.Response()

        node.answer = hang_up
        error = await error_of(client, node.target)

    assert "the connection broke" in str(error)


async def test_a_closed_client_has_no_connections():
    client = TransferClient(TransferTargets(lambda: 0.0))
    await client.close()
    async with other_node() as node:
        await client.send(node.target, (HEAD, b"x"), 5.0)
        await client.close()
        await client.close()


def test_pieces_are_one_gzip_stream():
    assert gzip.decompress(pack([b"a", b"", b"bc" * 1000])) == b"a" + b"bc" * 1000
