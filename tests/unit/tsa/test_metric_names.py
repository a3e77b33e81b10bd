"""The table of the daemon's metrics."""

from __future__ import annotations

from engine.base.metric_names import ENGINE_METRICS
from tsa.metric_names import TSA_METRICS


def test_names_are_unique_and_every_metric_says_what_it_counts():
    names = [declared.name for declared in TSA_METRICS]

    assert len(names) == len(set(names))
    assert all(name.startswith("tsa_") for name in names)
    assert all(declared.help for declared in TSA_METRICS)


def test_no_name_is_one_of_the_nodes():
    assert not {one.name for one in TSA_METRICS} & {one.name for one in ENGINE_METRICS}
