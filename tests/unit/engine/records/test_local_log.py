"""A log directory as a sink: options, routes, filter, templates."""

from __future__ import annotations

import pytest
import zstandard

from engine.base.clock import Clock
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.model.errors import ConfigurationError
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message, new_spool_id
from engine.records.local_log import LocalLogSink, parse_local_log_options
from engine.records.segment_file import find_segments

pytestmark = pytest.mark.real_time


def read(log_dir, suffix=""):
    out = b""
    for path in find_segments(log_dir, suffix):
        with open(path, "rb") as file:
            out += zstandard.ZstdDecompressor().stream_reader(file).read()
    return out.decode()


def make(tmp_path, **options):
    sink = LocalLogSink(
        parse_local_log_options(log_dir=str(tmp_path / "log"), **options),
        Clock(),
        Metrics(ENGINE_METRICS),
    )
    sink.start()
    return sink


def record(kind=RecordKind.DELIVERY, **fields):
    return LogRecord(kind=kind, **fields)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "log_dir"),
        ({"log_dir": "x", "colour": 1}, "colour"),
        ({"log_dir": "x", "max_file_size": "big"}, "max_file_size"),
        ({"log_dir": "x", "compression_level": 22}, "compression_level"),
        ({"log_dir": "x", "keep": "soon"}, "soon"),
        ({"log_dir": "x", "min_free_space": "plenty"}, "plenty"),
        ({"log_dir": "x", "per_record": {"Delivry": {}}}, "Delivry"),
        ({"log_dir": "x", "per_record": {"Any": {"template": "{{ x"}}}, "template: line 1"),
        ({"log_dir": "x", "per_record": {"Any": {"suffix": "../x"}}}, "suffix"),
        ({"log_dir": "x", "filter_event": "name"}, "filter_event"),
    ],
)
def test_a_wrong_option_is_named(options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        parse_local_log_options(**options)


async def test_kinds_go_where_they_are_sent_and_disabled_ones_nowhere(tmp_path):
    sink = make(
        tmp_path,
        per_record={
            "Any": {"suffix": "_any", "template": "{{ type }}"},
            "Bounce": {"log_dir": str(tmp_path / "bounces"), "segment_header": "h"},
            "Delayed": {"enable": False},
        },
    )

    sink.write(record(RecordKind.DELIVERY), None)
    sink.write(record(RecordKind.BOUNCE), None)
    await sink.close()

    assert not sink.wants(RecordKind.DELAYED)
    assert read(tmp_path / "log", "_any") == "Delivery\n"
    header, line, rest = read(tmp_path / "bounces").split("\n")
    assert (header, rest) == ("h", "")
    assert line.startswith('{"type":"Bounce"')


async def test_a_template_sees_fields_lower_case_headers_and_the_whole(tmp_path):
    sink = make(
        tmp_path,
        per_record={
            "Any": {"template": "{{ sender }} {{ headers.subject }} {{ log_record.type }}\n"}
        },
    )

    sink.write(record(sender="a@b", headers={"Subject": "hi"}), None)
    sink.write(record(sender="\udcff"), None)
    await sink.close()

    assert read(tmp_path / "log").splitlines()[0] == "a@b hi Delivery"


async def test_a_template_that_fails_costs_only_its_record(tmp_path):
    sink = make(
        tmp_path, per_record={"Bounce": {"template": "{{ x.y.z }}"}, "Delivery": {"template": "d"}}
    )

    sink.write(record(RecordKind.BOUNCE), None)
    sink.write(record(RecordKind.DELIVERY), None)
    await sink.close()

    assert read(tmp_path / "log") == "d\n"


def test_the_filter_runs_as_whoever_makes_the_sink_says():
    options = parse_local_log_options(log_dir="x", filter_event=lambda msg: msg)
    asked = []

    def make_filter(function):
        return lambda message: asked.append(function(message))

    sink = LocalLogSink(options, Clock(), make_filter=make_filter)
    sink.write(record(), Message(new_spool_id(), "", [], data=None, size=0, created_at=0.0))

    assert len(asked) == 1


async def test_the_filter_decides_per_message_and_a_failing_one_says_no(tmp_path):
    def keep(message):
        return message.meta["keep"]

    sink = make(tmp_path, filter_event=keep, per_record={"Any": {"template": "{{ sender }}"}})
    for name, meta in (("yes", {"keep": True}), ("no", {"keep": False}), ("error", {})):
        message = Message(new_spool_id(), name, [], data=b"", size=0, created_at=0.0, meta=meta)
        sink.write(record(sender=name), message)
    await sink.close()

    assert read(tmp_path / "log") == "yes\n"


def test_a_directory_that_cannot_be_made_is_said_at_the_start(tmp_path):
    (tmp_path / "log").write_text("a file")

    with pytest.raises(ConfigurationError, match="configure_local_logs"):
        make(tmp_path)
