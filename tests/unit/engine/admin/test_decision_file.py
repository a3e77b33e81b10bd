"""What was decided is kept over a restart; a damaged file costs nothing else."""

from __future__ import annotations

import pytest

from engine.admin.decision_file import KeptDecisions, keep, load_decisions, save_decisions
from engine.model.decision import Decision, DecisionKind, DecisionScope

SUSPENSION = Decision(
    kind=DecisionKind.SUSPEND_READY,
    scope=DecisionScope(ready_queue="a->b@smtp_client", source="a"),
    rule_hash="r",
    reason="slow down",
    expires_at=1_800_000_000.0,
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "decisions.json"


def test_decisions_overlay_and_switch_come_back(file):
    kept = keep([("http://a", SUSPENSION)], is_off=True, origin="http://a", overlay=b"x = 1")
    save_decisions(file, kept)
    found = load_decisions(file)
    assert found.is_off
    assert (found.overlay_origin, found.overlay) == ("http://a", "x = 1")
    assert [(origin, list(held)) for origin, held in found.decisions()] == [
        ("http://a", [SUSPENSION])
    ]


def test_without_a_file_nothing_was_kept(file):
    assert load_decisions(file) == KeptDecisions()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"frames": 3}', b"\xff\xfe"])
def test_a_damaged_file_is_as_good_as_none(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    assert load_decisions(file) == KeptDecisions()


def test_a_frame_that_cannot_be_understood_costs_only_itself(file):
    save_decisions(file, keep([("http://a", SUSPENSION)], is_off=False, origin="", overlay=b""))
    text = file.read_text().replace('"http://a":[', '"http://a":[{"ReadyQSuspension":{}},{},')
    file.write_text(text)
    assert [list(held) for _, held in load_decisions(file).decisions()] == [[SUSPENSION]]


def test_a_write_that_fails_leaves_what_was_kept_before(file, monkeypatch):
    save_decisions(file, keep([], is_off=True, origin="", overlay=b""))
    monkeypatch.setattr("msgspec.json.encode", lambda _value: (_ for _ in ()).throw(OSError(28)))
    with pytest.raises(OSError):
        save_decisions(file, KeptDecisions())
    assert load_decisions(file).is_off
