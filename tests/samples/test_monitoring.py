"""The alerts and the dashboard of samples/ go by metrics that exist, and fire when they should."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import MetricKind
from tests.architecture.shape import ROOT

ALERTS = ROOT / "samples/prometheus/alerts.yml"
ALERTS_TEST = ROOT / "samples/prometheus/alerts_test.yml"
SCRAPE = ROOT / "samples/prometheus/prometheus.yml"
DASHBOARD = ROOT / "samples/grafana/cirrus.json"
PAGE = ROOT / "docs/monitoring.md"
PROMTOOL = ROOT / ".parts/debian/usr/bin/promtool"

#: Made by Prometheus itself, with their labels.
FOREIGN = {"up": set()}
ADDED = {"instance", "job", "le"}
DECLARED = {one.name: one for one in ENGINE_METRICS}
WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "offset", "bool"}
FUNCTIONS = {"sum", "min", "max", "rate", "increase", "delta", "changes", "topk"} | {
    "histogram_quantile",
    "label_values",
}


def labels_of(name: str) -> set[str] | None:
    """Return the labels that a series of this name has; None if there is none."""
    if name in FOREIGN:
        return FOREIGN[name] | ADDED
    if (one := DECLARED.get(name)) is not None:
        return None if one.kind is MetricKind.HISTOGRAM else {*one.labels, *ADDED}
    base, _, part = name.rpartition("_")
    one = DECLARED.get(base)
    is_part = part in ("bucket", "count", "sum")
    if one is None or one.kind is not MetricKind.HISTOGRAM or not is_part:
        return None
    return {*one.labels, *ADDED}


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the name and the labels of each selector of an expression."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\boffset\s+\w+", "", bare)
    bare = re.sub(r"label_values\(\s*(\w+)\s*,\s*(\w+)\s*\)", r"\1{\2=~}", bare)
    for found in re.finditer(
        r"([a-zA-Z_]\w*)\s*(\{[^}]*\}|\()?", re.sub(r"\b[\d.]+(e\d+)?\b", "", bare)
    ):
        name, after = found[1], found[2] or ""
        if after == "(" or name in WORDS:
            assert name in FUNCTIONS | WORDS, f"{name} is no function that is known here"
            continue
        yield name, set(re.findall(r"(\w+)\s*[=!]", after))


def groupings(expression: str) -> set[str]:
    found = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for labels in found for label in labels.split(",")}


def rules() -> list[dict]:
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


def panels() -> list[dict]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    dashboard = json.loads(DASHBOARD.read_text())
    found += [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    found += [
        (one["name"], one["expr"]) for one in dashboard["annotations"]["list"] if "expr" in one
    ]
    found += [
        (one["name"], one["query"]["query"])
        for one in dashboard["templating"]["list"]
        if one["type"] == "query"
    ]
    return found


def legend_labels(text: str) -> set[str]:
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_metric_and_label_of_an_expression_exists(where, expression):
    seen = list(selectors(expression))
    assert seen
    known = set()
    for name, used in seen:
        labels = labels_of(name)
        assert labels is not None, f"{where}: no metric {name}"
        assert used <= labels, f"{where}: {name} has no label {used - labels}"
        known |= labels
    assert groupings(expression) <= known


def test_a_metric_that_does_not_exist_is_found():
    assert dict(selectors('sum by (x) (rate(nothing_total{a="b",c=~"d"}[5m])) > 1e8')) == {
        "nothing_total": {"a", "c"}
    }
    assert labels_of("nothing_total") is None
    # A histogram is asked by its parts, and a counter has none.
    assert labels_of("lua_event_latency") is None
    assert labels_of("lua_event_latency_bucket") == {"event", *ADDED}
    assert labels_of("bind_failures_bucket") is None


def test_texts_of_alerts_and_legends_show_labels_that_are_there():
    for rule in rules():
        shown = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        known = set().union(*(labels_of(name) for name, _ in selectors(rule["expr"])))
        assert set(shown) <= known, rule["alert"]
    for panel in panels():
        for target in panel.get("targets", ()):
            known = set().union(*(labels_of(name) for name, _ in selectors(target["expr"])))
            assert legend_labels(target.get("legendFormat", "")) <= known, panel["title"]


def test_alerts_have_names_of_their_own_and_say_how_urgent_they_are():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert {rule["labels"]["severity"] for rule in rules()} == {"critical", "warning"}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    fires, stays = set(), set()
    for case in yaml.safe_load(ALERTS_TEST.read_text())["tests"]:
        for one in case["alert_rule_test"]:
            (fires if one["exp_alerts"] else stays).add(one["alertname"])
    assert fires == stays == {rule["alert"] for rule in rules()}


def test_every_alert_is_explained():
    page = PAGE.read_text()
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []
    named = set(re.findall(r"`(Cirrus\w+)`", page))
    assert named <= {rule["alert"] for rule in rules()}


def promtool(*arguments: str) -> str:
    """Return what promtool says, which has to be content."""
    if not os.access(PROMTOOL, os.X_OK):
        if os.environ.get("CIRRUS_PARTS_REQUIRED"):
            pytest.fail("make parts did not unpack promtool")
        pytest.skip("make parts unpacks promtool")
    done = subprocess.run(
        [PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_and_the_configuration():
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(ALERTS))
    assert "SUCCESS" in promtool("check", "config", str(SCRAPE))


def test_alerts_fire_when_they_should():
    assert "SUCCESS" in promtool("test", "rules", str(ALERTS_TEST))


def test_alerts_of_a_job_go_by_a_job_that_is_read():
    jobs = {one["job_name"] for one in yaml.safe_load(SCRAPE.read_text())["scrape_configs"]}
    for rule in rules():
        assert set(re.findall(r'job="([^"]+)"', rule["expr"])) <= jobs


def test_the_dashboard_is_one_that_grafana_takes():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "cirrus-mta"
    assert dashboard["schemaVersion"] >= 36
    assert "id" not in dashboard, "an id is of one installation"
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["type"] in ("row", "stat", "timeseries", "table")
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == sorted(set(refs))
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval"}
            assert 'instance=~"$instance"' in target["expr"]


def test_panels_of_the_dashboard_lie_beside_each_other():
    taken = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
