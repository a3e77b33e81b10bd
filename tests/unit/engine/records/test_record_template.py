"""Lines of records: JSON, or a template."""

from __future__ import annotations

import pytest

from engine.model.errors import ConfigurationError
from engine.model.log_record import LogRecord, RecordKind, encode_record
from engine.records.record_template import make_render

RECORD = LogRecord(kind=RecordKind.BOUNCE, sender="a@b", headers={"X-Y": "z"})


def test_without_a_template_a_line_is_json():
    assert make_render(None)(RECORD) == encode_record(RECORD)


@pytest.mark.parametrize("template", ["{{ sender }} {{ headers['x-y'] }}", "{{ sender }} z\n"])
def test_a_template_makes_exactly_one_line(template):
    assert make_render(template)(RECORD) == b"a@b z\n"


def test_a_template_with_a_mistake_is_refused():
    with pytest.raises(ConfigurationError, match="line 1"):
        make_render("{% for %}")


def test_a_template_cannot_break_out():
    with pytest.raises(Exception, match="unsafe"):
        make_render("{{ sender.__class__.__mro__ }}")(RECORD)
