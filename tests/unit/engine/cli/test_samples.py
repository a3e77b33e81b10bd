"""Reading metrics from their text."""

from __future__ import annotations

from types import SimpleNamespace

from engine.base.exposition import write_text
from engine.cli.samples import Sample, parse_samples, total

TEXT = """\
# HELP ready_count waiting
# TYPE ready_count gauge
ready_count{service="smtp_client:a"} 3
ready_count{service="smtp_client:b"} 4.5
ready_count_other{service="x"} 9
memory_usage 17
unwanted 1
"""


def test_series_of_wanted_metrics_are_read_with_their_labels():
    found = parse_samples(TEXT.splitlines(), ["ready_count", "memory_usage", "absent"])

    assert found["ready_count"] == [
        Sample({"service": "smtp_client:a"}, 3.0),
        Sample({"service": "smtp_client:b"}, 4.5),
    ]
    assert found["memory_usage"] == [Sample({}, 17.0)]
    assert found["absent"] == []
    assert "unwanted" not in found


def test_labels_with_quotes_braces_and_line_ends_come_back_as_they_were():
    hostile = 'a"b\\c\nd} 7 {x="y"'
    declared = SimpleNamespace(name="seen", labels=("who",), kind="counter", help="Seen.")

    text = "".join(write_text([declared, ((hostile,), 2)], ""))

    assert parse_samples(text.split("\n"), ["seen"]) == {"seen": [Sample({"who": hostile}, 2.0)]}


def test_a_total_is_over_the_series_with_the_labels():
    found = parse_samples(TEXT.splitlines(), ["ready_count"])

    assert total(found, "ready_count") == 7.5
    assert total(found, "ready_count", service="smtp_client:b") == 4.5
    assert total(found, "never_asked") == 0
