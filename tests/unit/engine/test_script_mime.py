"""What scripts do with content, as confined scripts do it."""

from __future__ import annotations

import textwrap

import pytest

from engine.hooks import HOOKS
from engine.model.message import Message, new_spool_id
from engine.script_api import ScriptApi
from engine.script_mime import MODULE
from engine.script_views import MessageView
from engine.throttle.limiter import MemoryLimiter
from policy.errors import HookFailedError, PolicyLoadError
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

MESSAGE = (
    b"From: J <j@B.test>\r\nTo: a@b.test, c@d.test\r\nX-Tenant-Id: t\r\n"
    b"Subject: =?utf-8?B?w7w=?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<body>x</body>\r\n"
    b"--b\r\nContent-Type: a/b\r\nContent-Disposition: attachment; filename=f\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAE=\r\n--b--\r\n"
)


class Handler:
    """Runs lines of a script with a message as ``msg``."""

    def __init__(self, folder) -> None:
        self._folder = folder

    def __call__(self, lines: str, data: bytes = MESSAGE) -> Message:
        namespace = ScriptNamespace()
        ScriptApi(MemoryLimiter(lambda: 0.0)).expose(namespace, version="1")
        source = "import mta\nfrom mta import mimepart, on\n\n\n"
        source += "@on('message_received')\ndef handle(msg):\n"
        source += textwrap.indent(textwrap.dedent(lines), "    ")
        script = LoadedScript(self._folder, source, HOOKS, namespace)
        message = Message(
            new_spool_id(), "s@X.test", ["r@y.test"], data=data, size=len(data), created_at=0.0
        )
        script.runtime.fire_nowait("message_received", MessageView(message))
        return message


@pytest.fixture
def run(tmp_path):
    return Handler(tmp_path)


def test_the_module_is_named_in_one_place():
    assert MODULE == "mta.mimepart"


def test_headers_and_addresses(run):
    message = run("""
        msg.set_meta("from", msg.from_header().domain)
        msg.set_meta("to", [entry.email for entry in msg.to_header().list])
        msg.set_meta("none", msg.get_address_header("Cc"))
        try:
            msg.to_header().email
        except ValueError as error:
            msg.set_meta("error", str(error))
        msg.import_headers([{"name": "x-*", "remove": True}])
        msg.add_authentication_results("mx", [{"method": "spf", "result": "pass"}])
        msg.increment_num_attempts()
        msg.save()
        msg.set_force_sync(True)
        msg.shrink()
        msg.shrink_data()
    """)

    assert message.meta == {
        "from": "b.test",
        "to": ["a@b.test", "c@d.test"],
        "none": None,
        "error": "To holds 2 addresses; use its list",
        "x_tenant_id": "t",
    }
    assert message.prefix == b"Authentication-Results: mx;\r\n\tspf=pass\r\n"
    assert b"X-Tenant-Id" not in message.data
    assert message.attempts == 1


def test_a_part_is_edited_and_put_back(run):
    message = run("""
        root = msg.parse_mime()
        root.parts[0].body = "hallo"
        root.headers.set_subject("neu")
        for header in root.headers.iter("to"):
            header.value = ["n@b.test"]
        root.parts[2].replace_body("text", "text/plain")
        root.append_part(mimepart.new_binary("image/png", b"x", file_name="p.png", inline=True))
        msg.set_data(str(root))
        found = msg.parse_mime().get_simple_structure()
        msg.set_meta("found", [
            found.text_part.body,
            found.html_part.body,
            [[a.file_name, a.content_type, a.inline, a.part.id] for a in found.attachments],
            found.amp_html_part is None and found.header_part is None,
            [part.id for part in msg.parse_mime().parts],
            msg.parse_mime().headers.from_()[0].address.local_part,
        ])
    """)

    assert message.meta["found"] == [
        "hallo",
        "<body>x</body>",
        [["f", "text/plain", False, "0.3"], ["p.png", "image/png", True, "0.4"]],
        True,
        ["0.1", "0.2", "0.3", "0.4"],
        "j",
    ]
    assert b"Subject: neu\r\n" in message.data
    assert b"To: n@b.test\r\n" in message.data
    assert b"<body>x</body>\r\n--b\r\n" in message.data


def test_texts_are_appended(run):
    message = run("""
        msg.set_meta("done", [msg.append_text_plain(" world"), msg.append_text_html("<hr>")])
    """)

    assert message.meta["done"] == [True, True]
    assert b"hello world" in message.data
    assert b"x<hr></body>" in message.data


def test_a_message_is_built(run):
    message = run("""
        builder = mimepart.builder()
        builder.text_plain("p")
        builder.text_html("<h>")
        builder.attach("a/b", b"1", file_name="f", content_id="c@x")
        builder.attach_part(mimepart.new_text("text/csv", "1,2"))
        builder.set_stable_content(True)
        root = builder.build()
        root.headers.set_from("a@b.test")
        msg.set_data(bytes(root))
        other = mimepart.new_multipart(
            "multipart/alternative", [mimepart.new_text_plain("a"), mimepart.new_html("b")], "q"
        )
        msg.set_meta("same", bytes(mimepart.parse(bytes(other))) == bytes(other.rebuild()))
    """)

    assert message.meta == {"same": True}
    assert b"From: a@b.test\r\n" in message.data
    assert message.data.count(b"Content-Type:") == 6


def test_form_is_checked_and_mended(run):
    message = run("""
        msg.set_meta("told", msg.check_fix_conformance("MISSING_DATE_HEADER", ""))
        msg.set_meta("fixed", msg.check_fix_conformance(
            "LINE_TOO_LONG", "MISSING_DATE_HEADER", settings={"detect_encoding": True}
        ))
    """)

    assert message.meta == {
        "told": "Message has conformance issues: MISSING_DATE_HEADER",
        "fixed": None,
    }
    assert message.prefix == b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"


def test_reports_are_asked_for(run):
    message = run("msg.set_meta('r', [msg.parse_rfc3464(), msg.parse_rfc5965()])")

    assert message.meta == {"r": [None, None]}


@pytest.mark.parametrize(
    "line",
    [
        "msg.parse_mime()._tally.parts = 0",
        "msg.parse_mime().headers._fields.clear()",
        "msg.parse_mime().id = 'x'",
        "msg.parse_mime().headers = None",
        "msg.parse_mime().parts[0].append_part = None",
        "mimepart.builder()._wall()",
        "mimepart.new_text.__globals__",
        "msg.from_header()._entries",
        "msg.from_header().list[0].email = 'x'",
        "next(msg.parse_mime().headers.iter()).name = 'x'",
        "mimepart.builder().build = None",
        "mimepart.parse = None",
        "class P(mimepart.parse(b'x').__class__): pass",
    ],
)
def test_what_is_not_offered_cannot_be_reached_or_set(run, line):
    with pytest.raises((PolicyLoadError, HookFailedError), match=r"_|cannot be set"):
        run(line)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("msg.parse_mime().parts[0].body = b'x'", "wants text"),
        ("msg.parse_mime().headers.set_to('nobody')", "no address"),
        ("mimepart.builder().build()", "needs a text"),
        ("msg.set_data(5)", "wants bytes"),
        ("msg.check_fix_conformance('NOPE', '')", "NOPE"),
    ],
)
def test_a_mistake_is_told_with_the_line_of_the_script(run, lines, message):
    with pytest.raises(HookFailedError, match=message) as caught:
        run(lines)
    assert caught.value.line == 7
