"""samples/policy/sink.py takes mail for anybody, keeps some of it and refuses by name."""

from __future__ import annotations

import smtplib

import pytest

from tests.samples.running_node import place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"


def test_the_sink_drops_keeps_and_refuses(tmp_path):
    maildirs = tmp_path / "mail"
    node = place_sample("sink.py", tmp_path, MAILDIRS=repr(str(maildirs)))

    with node.running(), smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
        client.sendmail("a@example.com", ["b@anywhere.example"], MESSAGE)
        client.sendmail("a@example.com", ["b@kept.example"], MESSAGE)
        refused = {}
        for name in ("tempfail.1", "permfail"):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                client.sendmail("a@example.com", [f"{name}@anywhere.example"], MESSAGE)
            refused |= {key: code for key, (code, _) in caught.value.recipients.items()}
        folder = maildirs / "kept.example" / "new"
        (kept,) = wait_until("the kept message", lambda: folder.is_dir() and list(folder.iterdir()))
        wait_until("both receptions", lambda: len(node.records("Reception")) == 2)

    assert refused == {"tempfail.1@anywhere.example": 450, "permfail@anywhere.example": 550}
    assert kept.read_bytes().endswith(b"hello\r\n") or kept.read_bytes().endswith(b"hello\n")
    assert len(list(folder.iterdir())) == 1
