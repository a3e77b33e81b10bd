"""The reference page of the helpers names every option and function, and its example runs."""

from __future__ import annotations

import re

import pytest

from engine.helpers import (
    dkim_helper,
    listener_domain_helper,
    queue_rules,
    shaping_options,
    source_helper,
)
from engine.model.queue_config import OPTIONS as QUEUE_OPTIONS
from tests.architecture.shape import ROOT
from tests.architecture.test_helper_stubs import FUNCTIONS
from tests.fakes.dkim_oracle import rsa_pair
from tests.fakes.helper_world import HelperWorld

PAGE = (ROOT / "docs" / "reference" / "helpers.md").read_text()
OPTIONS = {
    "queues": {*queue_rules._HEADER_OPTIONS, *queue_rules._TENANT_OPTIONS} - set(QUEUE_OPTIONS),
    "sources": set(source_helper._ENTRY_OPTIONS),
    "listener_domains": set(listener_domain_helper._OPTIONS),
    "shaping": set(shaping_options.OPTIONS),
    "dkim": {*dkim_helper._BASE_OPTIONS, *dkim_helper._SIGNATURE_OPTIONS},
}


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("helper", "option"),
    [(helper, option) for helper, options in OPTIONS.items() for option in sorted(options)],
)
def test_each_option_is_explained(helper, option):
    assert re.search(rf"\b{option}\b", section(helper))


@pytest.mark.parametrize(("helper", "function"), [one[:2] for one in FUNCTIONS])
def test_each_function_is_explained(helper, function):
    assert f"{function}(" in section(helper)


def scripts():
    """Return the examples: all helpers together, and a path of the script's own before shaping."""
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_a_handler_above_shaping_answers_for_its_paths_and_leaves_the_rest(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(scripts()[1], {"shaping.toml": "[default]\nconnection_limit = 10\n"})

    own = world.fire("get_egress_path", "lab.example", "ip-1", "mx.lab.example")
    other = world.fire("get_egress_path", "big.example", "ip-1", "mx.big.example")

    assert (own.connection_limit.limit, other.connection_limit.limit) == (1, 10)


def test_the_example_runs(tmp_path):
    script, _ = scripts()
    (sources,) = re.findall(r"```toml\n(.*?)```", section("sources"), re.DOTALL)
    (tmp_path / "key.pem").write_text(rsa_pair().pem)
    world = HelperWorld(tmp_path)

    world.load(
        script,
        {
            "sources.toml": sources,
            "shaping.toml": "[default]\nconnection_limit = 10\n",
            "queues.toml": "[queue.default]\negress_pool = 'pool-1'\n",
            "more-tenants.json": '{"tenant": {"one": {"max_age": "1d"}}}',
            "listener_domains.toml": "['example.com']\nrelay_to = true\n",
            "dkim.toml": "[base]\nselector = 's1'\nheaders = ['From']\n"
            "[domain.'example.com']\nfilename = 'key.pem'\n",
        },
    )

    assert world.fire("get_egress_pool", "pool-1").entries[0].weight == 2
