"""What a listener does for a domain comes from tables: by listener, by domain, by wildcard."""

from __future__ import annotations

import pytest

from engine.model.listener_domain import ReportHandling
from tests.fakes.helper_world import HelperWorld, connection
from tests.fakes.smtp_node import smtp_node

SETUP = "listener_domains.setup('domains.toml')\n"
HERE = "10.0.0.1:25"
TABLES = """
    ["example.com"]
    relay_to = true
    log_oob = true

    ["*.example.com"]
    relay_to = false
    relay_from = ["192.0.2.0/24"]

    ["own.example.com"]
    relay_from_authz = ["alice", "bob"]
    relay_from = ["198.51.100.1"]

    [listener."10.0.0.1:25"."special.example"]
    relay_to = true

    [listener."10.0.0.1:25"."deep.example.com"]
    relay_to = true
"""


@pytest.fixture
def world(tmp_path):
    made = HelperWorld(tmp_path)
    made.load(SETUP, {"domains.toml": TABLES})
    return made


def ask(world, domain, listener=HERE, **meta):
    return world.fire("get_listener_domain", domain, listener, connection(**meta))


def test_a_domain_has_the_options_of_its_table(world):
    found = ask(world, "example.com")

    assert (found.relay_to, found.log_oob) == (True, ReportHandling.LOG_THEN_RELAY)


@pytest.mark.parametrize("domain", ["a.example.com", "a.b.example.com", "A.EXAMPLE.COM"])
def test_a_wildcard_stands_for_what_is_below(world, domain):
    found = ask(world, domain)

    assert not found.relay_to
    assert "192.0.2.7" in found.relay_from


def test_nothing_is_said_of_other_domains(world):
    assert ask(world, "other.example") is None


def test_a_table_of_a_listener_counts_there_only(world):
    assert ask(world, "special.example").relay_to
    assert ask(world, "special.example", "10.0.0.2:25") is None


def test_a_table_of_a_listener_comes_before_the_general_one(world):
    assert ask(world, "deep.example.com").relay_to
    assert not ask(world, "deep.example.com", "10.0.0.2:25").relay_to


def test_a_star_stands_for_every_other_domain(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(SETUP, {"domains.toml": "['*']\nrelay_to = true\n['no.example']\n"})

    assert ask(world, "any.example").relay_to
    assert not ask(world, "no.example").relay_to


@pytest.mark.parametrize("peer", ["203.0.113.9:4711", "[2001:db8::9]:4711"])
def test_who_authenticated_by_name_relays_from_where_he_is_and_nowhere_else(world, peer):
    found = ask(world, "own.example.com", received_from=peer, authz_id="alice")

    address = peer.rpartition(":")[0].strip("[]")
    assert address in found.relay_from
    assert "198.51.100.1" not in found.relay_from


@pytest.mark.parametrize("meta", [{}, {"authz_id": "eve"}, {"authz_id": ["alice"]}])
def test_others_relay_by_the_networks_of_the_domain(world, meta):
    found = ask(world, "own.example.com", received_from="203.0.113.9:4711", **meta)

    assert "203.0.113.9" not in found.relay_from
    assert "198.51.100.1" in found.relay_from


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "['a.example']\nrelay_too = true\n",
            "2: error: \"a.example\": unknown option 'relay_too'",
        ),
        ("['a.example']\nrelay_to = 'yes'\n", '2: error: "a.example".relay_to: True or False'),
        ("['*x.example']\n", "1: error: not a domain: '*x.example'"),
        ("['a.example']\n['A.example']\n", "2: error: the domain 'A.example' stands here"),
        ("[listener.nowhere.'a.example']\n", "1: error: listener: wants"),
        ("relay_to = true\n", "1: error: relay_to: a table is expected"),
        ("['a.example']\nrelay_from = ['10.0.0.1/8']\n", "2: error:"),
    ],
)
def test_what_does_not_fit_is_found_with_its_line(tmp_path, text, finding):
    found = HelperWorld(tmp_path).check(SETUP, {"domains.toml": text})

    assert len(found) == 1
    assert found[0].startswith(f"domains.toml:{finding}")


async def test_mail_is_taken_for_the_domains_of_the_file_only(tmp_path):
    (tmp_path / "domains.toml").write_text("['in.example']\nrelay_to = true\n")
    script = "from helpers import listener_domains\nlistener_domains.setup('domains.toml')\n"

    async with smtp_node(tmp_path, script, relay_hosts=[]) as node:
        client = await node.greeted()
        codes = await client.codes(
            b"MAIL FROM:<a@out.example>", b"RCPT TO:<b@in.example>", b"RCPT TO:<b@no.example>"
        )

    assert codes == [250, 250, 550]
