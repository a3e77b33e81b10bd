"""Messages a sink keeps on disk."""

from __future__ import annotations

import json
import mailbox

import pytest

from engine.tools.sink_options import SinkMessage
from engine.tools.sink_store import MaildirStore, NumberedStore


def message(data: bytes = b"Subject: s\r\n\r\nhi\r\n", sender: str = "a@x.test") -> SinkMessage:
    params = {"BODY": "8BITMIME"}
    return SinkMessage(
        sender, ("b@y.test",), data, params, "c.test", True, 1.0, 7, "127.0.0.1", "l:25", "ann"
    )


def test_a_file_for_each_message_and_a_line_for_each_envelope(tmp_path):
    store = NumberedStore(tmp_path / "new" / "folder", lambda: 1000.5)
    store.keep(message())
    store.keep(message(b"two\r\n", sender="\udcff@x"))
    store.close()

    folder = tmp_path / "new" / "folder"
    assert (folder / "00000001.eml").read_bytes() == b"Subject: s\r\n\r\nhi\r\n"
    assert (folder / "00000002.eml").read_bytes() == b"two\r\n"
    first, second = map(json.loads, (folder / "envelopes.jsonl").read_text().splitlines())
    assert first == {
        "file": "00000001.eml",
        "at": 1000.5,
        "sender": "a@x.test",
        "recipients": ["b@y.test"],
        "size": 18,
        "params": {"BODY": "8BITMIME"},
        "ehlo": "c.test",
        "tls": True,
        "connection": 7,
        "client": "127.0.0.1",
        "local": "l:25",
        "auth_user": "ann",
    }
    assert second["sender"] == "\udcff@x"


def test_a_folder_with_messages_is_added_to(tmp_path):
    for _ in range(2):
        store = NumberedStore(tmp_path, lambda: 0.0)
        store.keep(message())
        store.close()
    (tmp_path / "note.eml").touch()
    assert sorted(path.name for path in tmp_path.glob("0*.eml")) == ["00000001.eml", "00000002.eml"]
    assert len((tmp_path / "envelopes.jsonl").read_text().splitlines()) == 2


def test_a_maildir_is_one_for_others_too(tmp_path):
    store = MaildirStore(tmp_path / "box", lambda: 1000.25)
    for _ in range(3):
        store.keep(message())
    store.close()

    assert [each["Subject"] for each in mailbox.Maildir(tmp_path / "box")] == ["s"] * 3
    assert list((tmp_path / "box" / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", [NumberedStore, MaildirStore])
def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path, kind):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        kind(tmp_path / "file", lambda: 0.0)
