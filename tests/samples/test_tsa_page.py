"""What docs/tsa.md shows works as it stands there."""

from __future__ import annotations

import re
import time

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from tests.samples.running_node import ROOT
from tsa.http_api import TsaApi
from tsa.metric_names import TSA_METRICS
from tsa.script_api import TsaScript

PAGE = (ROOT / "docs" / "tsa.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_rules_and_schedules_load_without_a_finding():
    texts = blocks("toml")
    layers = [parse_shaping(text.encode(), f"{n}.toml") for n, text in enumerate(texts)]

    shaping, findings = merge_layers(layers, {}, LoadOptions())

    assert [str(one) for one in findings] == []
    assert len(shaping.all_rules()) == 3
    assert set(shaping.warmups.sections) == {("ip-1", None), ("ip-1", "big")}


def test_the_script_declares_what_the_page_says(tmp_path):
    (text,) = blocks("python")
    path = tmp_path / "tsa.py"
    path.write_text(text)
    script = TsaScript(path, time.monotonic)

    script.load()
    settings = script.settings()

    assert settings.shaping == ("/etc/cirrus/base.toml", "/etc/cirrus/own.toml")
    assert (settings.refresh_s, settings.listeners[0].listen) == (10.0, ("127.0.0.1", 8008))


@pytest.mark.parametrize("metric", [one.name for one in TSA_METRICS])
def test_every_metric_is_named(metric):
    assert f"`{metric}`" in PAGE


def test_every_endpoint_is_named():
    class Routes:
        paths = []

        def add_route(self, method, path, *_rest, **_more):
            self.paths.append(f"`{method} {path}`")

    routes = Routes()
    TsaApi(None, None, None).add_routes(routes)

    assert [one for one in routes.paths if one not in PAGE] == []
