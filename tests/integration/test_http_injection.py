"""Injection over a real socket, with a stand-in for admission."""

from __future__ import annotations

import asyncio
import email
import email.policy
import gzip
import json
import time

import aiohttp
import pytest

from engine.base.clock import Clock
from engine.base.http_call import AuthInfo
from engine.base.http_service import HttpService
from engine.model.errors import SpoolUnavailableError
from engine.receive.http_injection import PATH, HttpInjection

pytestmark = pytest.mark.real_time
CONTENT = "From: n@x.example\nTo: {{ to_header }}\nSubject: Hi {{ name }}\n\nHello {{ code }}\n"


class FakeAdmission:
    """Takes messages, refuses recipients at ``refused.example``."""

    def __init__(self):
        self.messages = []
        self.error = None

    async def __call__(self, messages):
        if self.error is not None:
            raise self.error
        self.messages += messages
        await asyncio.sleep(0)
        return [
            "550 5.7.1 no" if m.recipients[0].endswith("@refused.example") else None
            for m in messages
        ]


class Node:
    def __init__(self, **options):
        self.admission = FakeAdmission()
        self.reason = None
        self.injection = HttpInjection(Clock(), self.admission, lambda: self.reason)
        self.service = HttpService(("127.0.0.1", 0), "node.example", **options)
        self.injection.add_to(self.service)

    async def __aenter__(self):
        await self.service.start()
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.service.stop(1.0)
        self.injection.close()

    async def post(self, body, **options):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.service.port}{PATH}"
        async with self.session.post(url, data=data, **options) as response:
            return response.status, await response.json()


def request(*recipients, **changes):
    return {
        "envelope_sender": "bounce@x.example",
        "recipients": [
            one if isinstance(one, dict) else {"email": one}
            for one in recipients or ("a@y.example",)
        ],
        "content": CONTENT,
        **changes,
    }


def parse(message):
    return email.message_from_bytes(message.data, policy=email.policy.default)


async def test_each_recipient_gets_a_message_with_its_own_values():
    async with Node() as node:
        answer = await node.post(
            request(
                {
                    "email": "a@y.example",
                    "name": "Ann",
                    "substitutions": {"code": 1},
                    "metadata": {"tenant": "t"},
                },
                {"email": "b@y.example", "substitutions": {"name": "Override"}},
                substitutions={"code": "global", "name": "never"},
            )
        )

    assert answer == (
        200,
        {"success_count": 2, "fail_count": 0, "failed_recipients": [], "errors": []},
    )
    ann, bob = node.admission.messages
    assert (ann.sender, ann.recipients) == ("bounce@x.example", ["a@y.example"])
    assert parse(ann)["Subject"] == "Hi Ann"
    assert parse(ann)["To"] == "Ann <a@y.example>"
    assert parse(ann).get_content() == "Hello 1\r\n"
    assert parse(bob)["Subject"] == "Hi Override"
    assert parse(bob).get_content() == "Hello global\r\n"
    assert ann.meta == {
        "http_auth": "127.0.0.1",
        "reception_protocol": "HTTP",
        "received_from": "127.0.0.1",
        "received_via": "127.0.0.1",
        "hostname": "node.example",
        "extra": {"tenant": "t"},
    }
    assert "extra" not in bob.meta
    assert ann.relaxed is False
    assert (ann.trace.received_header, ann.trace.supplemental_header) == (False, True)


async def test_failed_recipients_are_named_and_the_others_taken():
    async with Node() as node:
        status, answer = await node.post(
            request(
                "a@y.example",
                "not an address",
                "x@refused.example",
                "",
                content="Subject: {{ 1 / (email|length - 11) }}\n\nx",
            )
        )

    assert status == 200
    assert answer["fail_count"] == 4
    assert answer["failed_recipients"] == ["a@y.example", "not an address", "x@refused.example", ""]
    assert answer["errors"][0].startswith("a@y.example: template: ZeroDivisionError")
    assert answer["errors"][2] == "x@refused.example: 550 5.7.1 no"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"recipients": [{"email": "a@b"}, {"email": "a@b"}, {"email": 1}]}, "recipients[2].email"),
        ({"recipients": [{"name": "x"}]}, "recipients[0].email"),
        ({"recipients": "a@b"}, "recipients"),
        ({"envelope_sender": "nobody at all"}, "envelope_sender"),
        ({"content": 7}, "content"),
        ({"content": "{{ x"}, "content"),
        ({"content": {"text_body": "x", "sbject": "y"}}, "content.sbject"),
        ({"content": {"html_body": "{% for %}"}}, "content.html_body"),
        ({"content": {"amp_html_body": "x"}}, "content"),
        ({"template_dialect": "Handlebars"}, "template_dialect"),
        ({"template_dialect": "Mustache"}, "template_dialect"),
        ({"deferred_generation": True}, "deferred_generation"),
        ({"trace_headers": {"header_name": "X: y"}}, "trace_headers.header_name"),
        ({"trace_headers": {"include_meta_names": {}}}, "trace_headers.include_meta_names"),
    ],
)
async def test_a_wrong_request_is_refused_whole_with_its_field(changes, field):
    async with Node() as node:
        status, answer = await node.post(request(**changes))

    assert (status, answer.get("field")) == (422, field)
    assert answer["error"]
    assert node.admission.messages == []


async def test_the_null_sender_and_the_options_of_storage_and_trace_are_passed_on():
    async with Node() as node:
        await node.post(
            request(
                envelope_sender="",
                deferred_spool=True,
                trace_headers={"received_header": True, "include_meta_names": ["tenant"]},
            )
        )

    (message,) = node.admission.messages
    assert message.sender == ""
    assert message.relaxed is True
    assert message.trace.received_header is True
    assert message.trace.include_meta_names == ("tenant",)


async def test_a_trace_object_without_received_header_asks_for_none():
    async with Node() as node:
        await node.post(request(trace_headers={"supplemental_header": False}))

    (message,) = node.admission.messages
    assert (message.trace.received_header, message.trace.supplemental_header) == (False, False)


async def test_a_node_that_takes_no_mail_says_why():
    async with Node() as node:
        node.reason = "shutting down"
        assert await node.post(request()) == (503, {"error": "shutting down"})
    assert node.admission.messages == []


async def test_a_spool_that_fails_makes_failed_recipients():
    async with Node() as node:
        node.admission.error = SpoolUnavailableError("disk")
        status, answer = await node.post(request())

    assert status == 200
    assert (answer["success_count"], answer["fail_count"]) == (0, 1)
    assert "disk" not in answer["errors"][0]


async def test_static_content_is_not_templated():
    async with Node() as node:
        await node.post(request(template_dialect="Static"))

    assert parse(node.admission.messages[0])["Subject"] == "Hi {{ name }}"


async def test_compressed_requests_are_taken_and_large_ones_refused():
    body = gzip.compress(json.dumps(request()).encode())
    async with Node(request_body_limit=10_000) as node:
        taken = await node.post(body, headers={"Content-Encoding": "gzip"})
        refused = await node.post(request(content="Subject: x\n\n" + "x" * 20_000))

    assert taken[0] == 200
    assert refused[0] == 413


async def test_strangers_need_credentials_which_become_the_messages_identity():
    async def judge(credentials):
        return AuthInfo("alice") if credentials.user == "alice" else None

    async with Node(trusted_hosts=[], authenticate=judge) as node:
        assert (await node.post(request()))[0] == 401
        assert (await node.post(request(), auth=aiohttp.BasicAuth("eve", "x")))[0] == 401
        assert (await node.post(request(), auth=aiohttp.BasicAuth("alice", "x")))[0] == 200

    assert [m.meta["http_auth"] for m in node.admission.messages] == ["alice"]


async def test_thousands_of_recipients_leave_the_loop_to_others():
    gaps = []
    is_done = False

    async def watch():
        last = time.perf_counter()
        while not is_done:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    content = {
        "text_body": "Hello {{ name }}",
        "html_body": "<p>{{ name }}</p>",
        "subject": "Grüße",
    }
    body = json.dumps(request(*(f"u{n}@y.example" for n in range(3000)), content=content)).encode()
    async with Node() as node, asyncio.TaskGroup() as group:
        watcher = group.create_task(watch())
        status, answer = await node.post(body)
        is_done = True
        await watcher

    assert (status, answer["success_count"]) == (200, 3000)
    assert len(node.admission.messages) == 3000
    gaps.sort()
    assert gaps[int(len(gaps) * 0.99)] < 0.05
