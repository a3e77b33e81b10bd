"""Events as text and JSON: pieces, pauses, and nothing lost between them."""

from __future__ import annotations

import json

from engine.base.exposition import write_json, write_text
from engine.base.metrics import MetricDeclaration, MetricKind, Metrics

ONE = MetricDeclaration("one", MetricKind.GAUGE, ("queue",))
TWO = MetricDeclaration("two", MetricKind.GAUGE)
THREE = MetricDeclaration("three", MetricKind.GAUGE)


def test_a_place_to_pause_is_a_piece_whatever_was_said_by_then():
    events = [None, ONE, (("a",), 1), None, None, (("b",), 2), TWO, ((), 3)]

    text = list(write_text(events, ""))
    document = list(write_json(events, "p_"))

    assert text[0] == "" and text[2] == ""
    assert "".join(text) == (
        '# TYPE one gauge\none{queue="a"} 1\none{queue="b"} 2\n# TYPE two gauge\ntwo 3\n'
    )
    found = json.loads("".join(document))
    assert found["p_one"]["value"] == {"queue": {"a": 1, "b": 2}}
    assert found["p_two"]["value"] == 3


def test_a_walk_over_several_metrics_comes_at_the_first_of_them():
    metrics = Metrics([ONE, TWO, THREE])

    def walk():
        yield "one", ("a",), 1
        yield None
        yield "two", (), 2

    metrics.set_walk(["one", "two", "three"], walk)

    text = "".join(metrics.iter_text())
    document = json.loads("".join(metrics.iter_json()))

    assert text.splitlines()[1::2] == ['one{queue="a"} 1', "two 2"]
    assert document["two"]["value"] == 2
    assert document["three"]["value"] is None


def test_series_that_go_while_a_reader_pauses_are_left_out():
    metrics = Metrics([ONE])
    family = metrics.gauge("one")
    for number in range(500):
        family.labels(str(number)).set(number)
    pieces = metrics.iter_text()

    first = next(piece for piece in pieces if piece)
    family.prune(lambda labels: True)
    rest = "".join(pieces)

    assert 0 < (first + rest).count("one{") < 500
    assert len(family) == 0
