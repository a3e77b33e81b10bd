"""What scripts under test run in: a node's parts, and nothing of the world."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.script_test_http import FakeHttp
from engine.script_test_node import ScriptTestNode

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ZONE = "$ORIGIN example.org.\n@ 60 IN MX 10 b.mx\n@ 60 IN MX 10 a.mx\n@ 60 IN TXT hello\n"


def make_node(tmp_path) -> ScriptTestNode:
    return ScriptTestNode(tmp_path / "init.py", NOW, lambda _event, _facts: None, FakeHttp())


def test_time_stands_at_the_given_instant(tmp_path):
    node = make_node(tmp_path)

    assert node.clock.wall() == NOW.timestamp()
    node.time.advance(5)
    assert node.clock.wall() == NOW.timestamp() + 5


def test_the_world_of_names_is_closed(tmp_path):
    node = make_node(tmp_path)

    assert node.resolver().is_closed_world
    node.set_zones([ZONE], [])
    assert node.resolver() is node.resolver()


async def test_a_site_is_named_by_the_dns_and_else_by_its_domain(tmp_path):
    node = make_node(tmp_path)
    node.set_zones([ZONE], ["broken.test"])

    assert await node.find_site("example.org") == "(a|b).mx.example.org"
    assert await node.find_site("nowhere.test") == "nowhere.test"
    assert await node.find_site("broken.test") == "broken.test"


def test_mail_is_taken(tmp_path):
    assert make_node(tmp_path).gate() is None


@pytest.mark.parametrize("name", ["mta.http", "mta.dns", "mta.redis", "mta.sqlite", "helpers"])
def test_scripts_find_what_a_node_offers(tmp_path, name):
    node = make_node(tmp_path)
    node.path.write_text(
        f"import {name}\nfrom mta import on\nimport mta\n"
        "@on('init')\ndef init(): mta.define_spool(path='/nowhere')\n"
    )

    assert node.runtime.load(node.path, dry_check=node.dry_check).warnings == []
