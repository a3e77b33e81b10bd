"""A script is edited while mail flows: the new text counts at once, a broken one never."""

from __future__ import annotations

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

MARKING = """
@on("message_received")
def message_received(msg):
    msg.prepend_header("X-Script", {mark})
"""


def mark_of(node, sink, subject):
    """Send a message; return how the script marked it."""
    count = len(sink.taken)
    node.send(subject)
    wait_until(subject, lambda: len(sink.taken) > count)
    for line in sink.taken[-1].content.split(b"\r\n"):
        if line.startswith(b"X-Script: "):
            return line[10:].decode()
    return None


def test_the_next_message_after_the_reload_is_handled_by_the_new_text(make_node, sink):
    node = make_node(MARKING.format(mark="'one'"))

    with node.running():
        assert mark_of(node, sink, "before") == "one"
        node.write(MARKING.format(mark="'two'"))
        node.wait_log("policy loaded", 2)
        assert mark_of(node, sink, "after") == "two"


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("def x(:\n", 1),
        ("import os\n", 1),
        ("x = 1 / 0\n", 1),
        ("@on('message_recieved')\ndef message_received(msg):\n    pass\n", 2),
        ("@on('message_received')\ndef message_received(msg, more):\n    pass\n", 2),
        ("while True:\n    pass\n", 1),
    ],
    ids=["syntax", "import", "exception", "unknown event", "signature", "endless"],
)
def test_a_broken_text_is_named_and_the_old_one_goes_on(make_node, sink, broken, line):
    node = make_node(MARKING.format(mark="'good'"))

    with node.running():
        before = len(node.policy.read_text().splitlines()) - 4
        node.write(broken)
        said = node.wait_log("policy rejected")
        assert mark_of(node, sink, "under the old one") == "good"
        node.write(MARKING.format(mark="'mended'"))
        node.wait_log("policy loaded", 2)
        assert mark_of(node, sink, "under the new one") == "mended"

    places = [f"{node.policy}:{before + line + shift}" for shift in (-1, 0, 1)]
    assert any(place in said for place in places), said
    assert "Traceback" not in node.log_text()


def test_an_edit_two_imports_deep_counts(make_node, sink, tmp_path):
    (tmp_path / "tenants.py").write_text("from marks import MARK\nTABLE = {'mark': MARK}\n")
    (tmp_path / "marks.py").write_text("MARK = 'deep one'\n")
    node = make_node(MARKING.format(mark="TABLE['mark']"), top="from tenants import TABLE")

    with node.running():
        assert mark_of(node, sink, "before") == "deep one"
        (tmp_path / "marks.py").write_text("MARK = 'deep two'\n")
        node.wait_log("policy loaded", 2)
        assert mark_of(node, sink, "after") == "deep two"
        (tmp_path / "marks.py").write_text("MARK = \n")
        said = node.wait_log("policy rejected")
        assert mark_of(node, sink, "broken") == "deep two"

    assert f"{tmp_path / 'marks.py'}:1" in said


def test_an_import_that_goes_away_is_named_and_the_old_text_goes_on(make_node, sink, tmp_path):
    (tmp_path / "marks.py").write_text("MARK = 'kept'\n")
    node = make_node(MARKING.format(mark="MARK"), top="from marks import MARK")

    with node.running():
        (tmp_path / "marks.py").unlink()
        said = node.wait_log("policy rejected")
        assert mark_of(node, sink, "after") == "kept"
        (tmp_path / "marks.py").write_text("MARK = 'back'\n")
        node.wait_log("policy loaded", 2)
        assert mark_of(node, sink, "back") == "back"

    assert "marks" in said


def test_a_transaction_under_way_ends_under_the_script_it_began_with(make_node, sink):
    node = make_node(MARKING.format(mark="'old'"))

    with node.running(), node.client() as client:
        client.ehlo()
        client.docmd("MAIL FROM:<a@x.test>")
        node.write(MARKING.format(mark="'new'"))
        node.wait_log("policy loaded", 2)
        client.docmd("RCPT TO:<b@y.test>")
        client.data("Subject: under way\r\n\r\nhello\r\n")
        wait_until("it", lambda: sink.taken)
        assert b"X-Script: old\r\n" in sink.taken[0].content
        assert mark_of(node, sink, "next") == "new"


def test_a_handler_that_raises_defers_and_names_its_line(make_node, sink):
    node = make_node("""
        @on("message_received")
        def message_received(msg):
            return {}["nothing"]
    """)

    with node.running():
        answer = reply_to(lambda: node.send("x"))
        said = node.wait_log("handler of message_received failed")

    line = len(node.policy.read_text().splitlines())
    assert answer.startswith("451 4.3.0")
    assert f"{node.policy}:{line}:" in said
    assert sink.taken == []
    assert node.summary() == {"Rejection": 1}
