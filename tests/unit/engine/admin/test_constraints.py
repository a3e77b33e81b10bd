"""The ceilings of a path, each with the knob that sets it."""

from engine.admin.constraints import Ceiling, constraints_of
from engine.model.egress import make_egress_path


def test_of_each_kind_the_tightest_comes_first():
    path = make_egress_path(
        connection_limit=10,
        additional_connection_limits={"all": 4, "some": "local:40"},
        max_connection_rate="5/s",
        max_message_rate="100/s",
        additional_message_rate_throttles={"tenant": "60/min"},
        source_selection_rate="1/s",
        max_ready=7,
    )

    found = constraints_of(path)

    assert [(one.knob, one.name, one.value) for one in found.connections] == [
        ("additional_connection_limits", "all", "4"),
        ("connection_limit", None, "10"),
        ("additional_connection_limits", "some", "local:40"),
    ]
    assert [(one.name, one.per_second) for one in found.message_rates] == [
        ("tenant", 1.0),
        (None, 100.0),
    ]
    assert found.connection_rates == [
        Ceiling(knob="max_connection_rate", value="5/s", per_second=5.0)
    ]
    assert found.source_selection_rates[0].per_second == 1.0
    assert found.messages[0] == Ceiling(knob="max_ready", value="7")


def test_what_is_not_limited_has_no_ceiling():
    found = constraints_of(make_egress_path())

    assert found.message_rates == found.connection_rates == found.source_selection_rates == []
    assert len(found.connections) == 1
