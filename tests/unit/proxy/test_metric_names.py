"""The table of the proxy's metrics."""

from __future__ import annotations

from engine.base.metric_names import ENGINE_METRICS
from proxy.metric_names import PROXY_METRICS
from tests.architecture.shape import ROOT

KNOWN = {
    "proxy_active_connections",
    "proxy_bytes_client_to_dest_total",
    "proxy_bytes_dest_to_client_total",
    "proxy_connections_accepted_total",
    "proxy_connections_completed_total",
    "proxy_connections_failed_total",
    "proxy_outbound_connections_total",
    "proxy_tls_handshake_failures_total",
}
TABLE = {declared.name: declared for declared in PROXY_METRICS}


def test_names_are_unique_and_every_metric_says_what_it_counts():
    assert len(TABLE) == len(PROXY_METRICS)
    assert all(name.startswith("proxy_") for name in TABLE)
    assert all(declared.help for declared in PROXY_METRICS)


def test_no_name_is_one_of_the_nodes():
    assert not TABLE.keys() & {one.name for one in ENGINE_METRICS}


def test_the_names_that_dashboards_know_are_there_with_their_labels():
    assert KNOWN <= TABLE.keys()
    destinations = TABLE["proxy_outbound_connections_total"]
    assert destinations.labels == ("listener", "destination")
    assert all(TABLE[name].labels == ("listener",) for name in KNOWN - {destinations.name})


def test_every_metric_is_fed():
    code = "\n".join(
        path.read_text() for path in (ROOT / "proxy").glob("*.py") if path.name != "metric_names.py"
    )

    assert [name for name in TABLE if f'"{name}"' not in code] == []
