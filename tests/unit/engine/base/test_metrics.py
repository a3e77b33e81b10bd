"""Metrics and both expositions, judged by a strict parser of the text format."""

from __future__ import annotations

import json
import math
import re

import pytest

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import MetricDeclaration, MetricKind, Metrics

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


def parse_text(text):
    """Return (types, samples) of an exposition; refuse whatever the format does not allow."""
    assert text == "" or text.endswith("\n")
    types, samples, current = {}, {}, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in types, "a metric appears once"
            assert kind in ("counter", "gauge", "histogram")
            types[name], current = kind, name
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, body, value = match.groups()
        assert re.fullmatch(re.escape(current) + "(_bucket|_sum|_count)?", name)
        labels, position = [], 0
        while body and position < len(body):
            pair = LABEL.match(body, position)
            assert pair, body
            text_value = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), pair[2])
            labels.append((pair[1], text_value))
            position = pair.end()
        key = (name, tuple(labels))
        assert key not in samples
        samples[key] = float(value)
    return types, samples


def make(*declarations):
    return Metrics(declarations)


COUNTER = MetricDeclaration("c_total", MetricKind.COUNTER, ("service",), "help \\ me\nnow")
PLAIN = MetricDeclaration("g", MetricKind.GAUGE)
HISTOGRAM = MetricDeclaration("h", MetricKind.HISTOGRAM, ("event",), "", (0.1, 1.0))
PAIR = MetricDeclaration("p", MetricKind.GAUGE, ("tenant", "campaign"))


def test_all_engine_metrics_can_be_written_and_parsed():
    metrics = Metrics(ENGINE_METRICS)
    for declared in ENGINE_METRICS:
        family = metrics._family(declared.name, declared.kind)
        child = family.labels(*["x"] * len(declared.labels))
        child.observe(1) if declared.kind is MetricKind.HISTOGRAM else child.inc()

    types, samples = parse_text("".join(metrics.iter_text()))

    assert set(types) == {declared.name for declared in ENGINE_METRICS}
    assert samples["total_messages_received", (("service", "x"),)] == 1
    assert len(json.loads("".join(metrics.iter_json()))) == len(ENGINE_METRICS)


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "\\n", "ü", "a,b={}", "\udcff", ""])
def test_label_values_come_back_as_they_were(value):
    metrics = make(COUNTER)
    metrics.counter("c_total").labels(value).inc(3)

    _, samples = parse_text("".join(metrics.iter_text()))
    document = json.loads("".join(metrics.iter_json()))

    shown = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    assert samples == {("c_total", (("service", shown),)): 3}
    assert document["c_total"]["value"] == {"service": {value: 3}}


def test_a_prefix_stands_before_every_name():
    metrics = make(COUNTER, HISTOGRAM)
    metrics.counter("c_total").labels("x").inc()
    metrics.histogram("h").labels("x").observe(5)

    types, samples = parse_text("".join(metrics.iter_text("my_")))

    assert set(types) == {"my_c_total", "my_h"}
    assert all(name.startswith("my_") for name, _ in samples)


def test_only_the_metrics_that_are_wanted_are_written():
    metrics = make(COUNTER, HISTOGRAM, PLAIN)
    metrics.counter("c_total").labels("x").inc()
    metrics.histogram("h").labels("x").observe(5)
    metrics.gauge("g").labels().set(1)

    types, _ = parse_text("".join(metrics.iter_text("my_", names=["h", "g", "unheard_of"])))

    assert set(types) == {"my_h", "my_g"}
    assert "h_count" in "".join(metrics.iter_text(names=["h_count"]))
    assert set(json.loads("".join(metrics.iter_json(names=["g"])))) == {"g"}


def test_a_walk_that_nobody_wants_anything_of_is_not_made():
    metrics = make(COUNTER, PLAIN, PAIR)
    metrics.counter("c_total").labels("x").inc()
    walks = []

    def walk():
        walks.append(1)
        yield "g", (), 7
        yield None
        yield "p", ("t", "c"), 3

    metrics.set_walk(["g", "p"], walk)

    assert "".join(metrics.iter_text(names=["c_total"])).endswith('c_total{service="x"} 1\n')
    assert walks == []
    types, samples = parse_text("".join(metrics.iter_text(names=["p"])))
    assert (set(types), list(samples.values())) == ({"p"}, [3])
    assert walks == [1]


def test_a_histogram_counts_cumulatively():
    metrics = make(HISTOGRAM)
    child = metrics.histogram("h").labels("init")
    for value in (0.05, 0.1, 0.5, 7):
        child.observe(value)

    _, samples = parse_text("".join(metrics.iter_text()))
    document = json.loads("".join(metrics.iter_json()))

    event = ("event", "init")
    assert samples["h_bucket", (event, ("le", "0.1"))] == 2
    assert samples["h_bucket", (event, ("le", "1"))] == 3
    assert samples["h_bucket", (event, ("le", "+Inf"))] == 4
    assert samples["h_count", (event,)] == 4
    value = document["h"]["value"]["event"]["init"]
    assert value["count"] == 4
    assert value["bucket"] == [[0.1, 2], [1.0, 3]]
    assert value["avg"] == pytest.approx(7.65 / 4)


def test_gauges_may_be_asked_instead_of_kept():
    metrics = make(PLAIN, PAIR)
    metrics.gauge("g").labels().set_function(lambda: 7)
    metrics.gauge("p").set_collect(lambda: [(("t", "c"), 2), (("t", "d"), 3)])

    _, samples = parse_text("".join(metrics.iter_text()))
    document = json.loads("".join(metrics.iter_json()))

    assert samples["g", ()] == 7
    assert samples["p", (("tenant", "t"), ("campaign", "d"))] == 3
    assert document["g"]["value"] == 7
    assert document["p"]["value"][0] == {"tenant": "t", "campaign": "c", "@": 2}


def test_a_condition_shows_as_a_number():
    metrics = make(PLAIN)
    metrics.gauge("g").labels().set_function(lambda: True)

    assert "".join(metrics.iter_text()).endswith("\ng 1\n")
    assert '"value":1}' in "".join(metrics.iter_json())


def test_a_metric_without_series_shows_in_json_as_null_and_not_in_text():
    metrics = make(COUNTER)

    assert "".join(metrics.iter_text()) == ""
    assert json.loads("".join(metrics.iter_json()))["c_total"]["value"] is None
    assert json.loads("".join(make().iter_json())) == {}


def test_series_can_be_pruned_by_label():
    metrics = make(COUNTER)
    family = metrics.counter("c_total")
    for name in ("smtp_client", "smtp_client:a", "smtp_client:b"):
        family.labels(name).inc()

    family.remove("smtp_client:a")
    gone = family.prune(lambda labels: ":" in labels[0])

    assert gone == 1
    assert len(family) == 1


def test_the_text_comes_in_pieces():
    metrics = make(COUNTER)
    for number in range(2000):
        metrics.counter("c_total").labels(f"queue-{number}").inc()

    pieces = list(metrics.iter_text())

    assert len(pieces) > 5
    assert all(len(piece) < 5000 for piece in pieces)


def test_special_numbers_have_their_spelling():
    metrics = make(PLAIN)
    metrics.gauge("g").labels().set(math.inf)

    assert "g +Inf\n" in "".join(metrics.iter_text())
    assert json.loads("".join(metrics.iter_json()))["g"]["value"] is None


def test_what_is_not_declared_cannot_be_counted():
    metrics = make(COUNTER)

    with pytest.raises(KeyError):
        metrics.counter("other")
    with pytest.raises(TypeError):
        metrics.gauge("c_total")
    with pytest.raises(ValueError, match="labels"):
        metrics.counter("c_total").labels("a", "b")
    with pytest.raises(ValueError, match="twice"):
        metrics.declare(COUNTER)


def test_what_one_walk_counts_stands_beside_what_was_counted_by_label():
    metrics = Metrics(
        [
            MetricDeclaration("walked", MetricKind.GAUGE, ("service",)),
            MetricDeclaration("quiet", MetricKind.GAUGE, ("service",)),
        ]
    )
    for name in ("walked", "quiet"):
        metrics.gauge(name).labels("listener").set(3)
    metrics.set_walk(("walked", "quiet"), lambda: [("walked", ("client",), 2)])

    lines = [one for one in "".join(metrics.iter_text()).splitlines() if one[0] != "#"]

    assert lines == [
        'walked{service="listener"} 3',
        'walked{service="client"} 2',
        'quiet{service="listener"} 3',
    ]
