"""The table of the engine's metrics."""

from __future__ import annotations

from engine.base.metric_names import ENGINE_METRICS


def test_names_are_unique_and_every_metric_says_what_it_counts():
    names = [declared.name for declared in ENGINE_METRICS]

    assert len(names) == len(set(names))
    assert all(declared.help for declared in ENGINE_METRICS)
