"""A metric that nobody feeds is a dead line on somebody's dashboard."""

from __future__ import annotations

from engine.base.metric_names import ENGINE_METRICS
from tests.architecture.shape import ROOT, modules

DECLARATIONS = ROOT / "engine" / "base" / "metric_names.py"
#: Names put together from parts where they are fed.
COMPOSED = (
    "total_messages_delivered",
    "total_messages_fail",
    "total_messages_transfail",
)


def test_every_metric_is_fed():
    code = "\n".join(path.read_text() for path in modules() if path != DECLARATIONS)

    unfed = [
        declared.name
        for declared in ENGINE_METRICS
        if f'"{declared.name}"' not in code and not declared.name.startswith(COMPOSED)
    ]

    assert unfed == []
