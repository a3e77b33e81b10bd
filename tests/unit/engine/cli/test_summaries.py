"""Sums of queues and providers."""

from __future__ import annotations

import json

import pytest

from engine.cli.summaries import covers, natural, parse_way, provider_summary, queue_summary
from tests.fakes.operator_session import FakeNode, run_verb

WAY_2, WAY_10 = "ip-2->mx.a.test@smtp_client", "ip-10->mx.b.test@smtp_client"
METRICS = f"""\
total_messages_delivered{{service="smtp_client:{WAY_2}"}} 70
total_messages_delivered{{service="smtp_client:{WAY_10}"}} 5
total_messages_delivered{{service="smtp_client"}} 75
total_messages_transfail{{service="smtp_client:{WAY_2}"}} 3
connection_count{{service="smtp_client:{WAY_2}"}} 2
connection_count{{service="esmtp_listener"}} 9
ready_count{{service="smtp_client:{WAY_10}"}} 4
scheduled_count{{queue="acme@a.test"}} 3
scheduled_count{{queue="b.test"}} 8
total_messages_delivered_by_provider{{provider="small"}} 1
total_messages_delivered_by_provider{{provider="big"}} 50
total_messages_fail_by_provider{{provider="big"}} 2
connection_count_by_provider{{provider="big"}} 6
queued_count_by_provider{{provider="small"}} 9
total_messages_delivered_by_provider_and_source{{provider="big",source="a",pool="p1"}} 20
total_messages_delivered_by_provider_and_source{{provider="big",source="b",pool="p1"}} 25
queued_count_by_provider_and_pool{{provider="big",pool="p2"}} 1
"""
SUSPENDED = {"reason": "too hot", "author": "ann", "tenant": "acme", "queue_names": []}
RESOLVE, QUEUES = "/api/admin/resolve-egress-path/v1", "/api/admin/queues/v1"


def node(**more):
    states = {WAY_10: {"suspended": "no (by bob)", "ready_count": 4}}
    answers = {
        ("GET", "/api/admin/ready-q-states/v1"): {"states_by_ready_queue": states},
        ("GET", "/api/admin/bounce/v1"): [],
        ("GET", "/api/admin/suspend/v1"): [SUSPENDED],
        **more.pop("answers", {}),
    }
    found = FakeNode(answers)
    found.exposition = METRICS
    return found


async def test_queues_are_summed_up_by_name_with_what_holds_them():
    text, _ = await run_verb(queue_summary, node=node())

    assert [line.split() for line in text.splitlines()] == [
        "SITE SOURCE PROTO D T C Q STATUS".split(),
        "mx.a.test ip-2 smtp_client 70 3 2 0".split(),
        "mx.b.test ip-10 smtp_client 5 0 0 4 suspended: no (by bob)".split(),
        [],
        "SCHEDULED QUEUE COUNT STATUS".split(),
        "acme@a.test 3 suspended: too hot (by ann)".split(),
        "b.test 8".split(),
    ]


async def test_the_fullest_queues_come_first_where_that_is_wanted():
    text, _ = await run_verb(queue_summary, "--by-volume", "--limit", "1", "--json", node=node())

    found = json.loads(text)
    assert [one["queue_name"] for one in found["ready"]] == [WAY_10]
    assert found["scheduled"] == [{"queue_name": "b.test", "count": 8, "status": ""}]


async def test_a_domain_is_shown_with_the_ready_queues_of_its_site():
    mx = {"site_name": "mx.a.test"}
    world = node(answers={("GET", RESOLVE): {"mx": mx, "queue_name": "x->mx.a.test@smtp_client"}})

    text, _ = await run_verb(queue_summary, "--domain", "a.test", node=world)

    assert "ip-2" in text and "ip-10" not in text
    assert "acme@a.test" in text and "b.test" not in text


async def test_a_domain_that_resolves_to_nothing_is_shown_with_its_scheduled_queues():
    text, terminal = await run_verb(queue_summary, "--domain", "a.test", node=node())

    assert "acme@a.test" in text and "mx.a.test" not in text
    assert "the site of a.test is not known" in terminal.notes


async def test_a_node_without_mail_says_so():
    world = node()
    world.exposition = ""
    text, terminal = await run_verb(queue_summary, node=world)
    assert (text, terminal.notes) == ("", "no queue has mail\n")


async def test_the_busiest_provider_comes_first():
    text, _ = await run_verb(provider_summary, node=node())

    assert [line.split() for line in text.splitlines()] == [
        "PROVIDER D T F C Q".split(),
        "big 50 0 2 6 0".split(),
        "small 1 0 0 0 9".split(),
    ]


async def test_pools_of_a_provider_are_summed_up_over_their_sources():
    text, _ = await run_verb(provider_summary, "--by-pool", node=node())
    raw, _ = await run_verb(provider_summary, "--by-pool", "--limit", "1", "--json", node=node())

    assert [line.split() for line in text.splitlines()[1:]] == [
        "big p1 45 0 0 0 0".split(),
        "big p2 0 0 0 0 1".split(),
    ]
    (one,) = json.loads(raw)
    assert (one["provider"], one["pool"], one["delivered"]) == ("big", "p1", 45)


async def test_domains_of_a_provider_are_named():
    ready = [
        {"provider": "big", "site_name": "s", "routing_domain": "b.test"},
        {"provider": "big", "site_name": "s", "routing_domain": "a.test"},
        {"provider": None, "site_name": "small", "routing_domain": "c.test"},
        {"site_name": "small"},
    ]
    world = node(answers={("GET", QUEUES): {"ready": ready}})

    text, _ = await run_verb(provider_summary, "--show-domains", node=world)
    raw, _ = await run_verb(provider_summary, "--show-domains", "--json", node=world)

    assert text.splitlines()[1].endswith("a.test b.test")
    assert [one["domains"] for one in json.loads(raw)] == [["a.test", "b.test"], ["c.test"]]


async def test_no_provider_is_said_in_words():
    world = node()
    world.exposition = ""
    _, terminal = await run_verb(provider_summary, node=world)
    assert terminal.notes == "no provider was sent to yet\n"


def test_names_are_sorted_as_people_count():
    names = ["ip-10", "ip-2", "b", "ip-2a", ""]
    assert sorted(names, key=natural) == ["", "b", "ip-2", "ip-2a", "ip-10"]


def test_a_ready_queue_is_taken_apart():
    assert parse_way(WAY_2) == ("ip-2", "mx.a.test", "smtp_client")
    assert parse_way("a->b@maildir:/x@y->z") == ("a", "b", "maildir:/x@y->z")


@pytest.mark.parametrize(
    ("directive", "is_covered"),
    [
        ({}, True),
        ({"tenant": "acme", "domain": None}, True),
        ({"tenant": "acme", "domain": "b.test"}, False),
        ({"queue_names": ["acme@a.test"]}, True),
        ({"queue_names": ["other"]}, False),
    ],
)
def test_a_directive_covers_what_fits_all_of_it(directive, is_covered):
    assert covers(directive, "acme@a.test") is is_covered
