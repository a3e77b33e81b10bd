"""The options of a queue are composed of the tables that apply to it, the most particular last."""

from __future__ import annotations

import pytest

from tests.fakes.helper_world import HelperWorld

SETUP = "queues.setup('queues.toml')\n"
LAYERS = """
    [queue.default]
    max_age = "1s"
    retry_interval = "1m"
    reap_interval = "1h"

    [queue."example.com"]
    max_age = "2s"

    [tenant."t"]
    max_age = "3s"

    [tenant."t".campaigns."c"]
    max_age = "4s"

    [queue."example.com"."t"]
    max_age = "5s"

    [queue."example.com"."t"."c"]
    max_age = "6s"

    [queue."*.example.com"]
    max_age = "7s"

    [tenant."u"]
    retry_interval = "2m"
"""


@pytest.fixture
def world(tmp_path):
    made = HelperWorld(tmp_path)
    made.load(SETUP, {"queues.toml": LAYERS})
    return made


def config(world, domain, tenant=None, campaign=None):
    return world.fire("get_queue_config", domain, tenant, campaign, None)


def check(tmp_path, text):
    return HelperWorld(tmp_path).check(SETUP, {"queues.toml": text})


@pytest.mark.parametrize(
    ("queue", "max_age_s"),
    [
        (("other.example",), 1.0),
        (("example.com",), 2.0),
        (("EXAMPLE.com",), 2.0),
        (("other.example", "t"), 3.0),
        (("other.example", "t", "c"), 4.0),
        (("example.com", "t"), 5.0),
        (("example.com", "t", "other"), 5.0),
        (("example.com", "t", "c"), 6.0),
        (("a.b.example.com",), 7.0),
        (("a.example.com", "t"), 3.0),
        (("example.com", "u"), 2.0),
        (("example.com", "unknown"), 2.0),
        (("example.com", None, "c"), 2.0),
    ],
)
def test_the_most_particular_table_wins(world, queue, max_age_s):
    assert config(world, *queue).max_age_s == max_age_s


def test_tables_are_composed_option_by_option(world):
    found = config(world, "example.com", "t", "c")

    assert (found.max_age_s, found.retry_interval_s, found.reap_interval_s) == (6.0, 60.0, 3600.0)


def test_a_queue_without_tables_has_the_defaults_and_asks_once_an_epoch(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("queues.setup({})\n")

    found = config(world, "example.com")

    assert (found.max_age_s, found.refresh_strategy.value) == (604_800.0, "Epoch")


def test_the_strategy_of_refreshing_may_be_set(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("queues.setup({'queue': {'default': {'refresh_strategy': 'Ttl'}}})\n")

    assert config(world, "example.com").refresh_strategy.value == "Ttl"


@pytest.mark.parametrize(
    ("written", "label"),
    [
        (
            "protocol = { maildir_path = '/var/mail/{{ domain }}' }",
            "maildir:/var/mail/{{ domain }}",
        ),
        ("protocol = { maildir = { path = '/var/mail' } }", "maildir:/var/mail"),
        ("protocol.smtp.mx_list = ['relay.example']", "smtp_client"),
    ],
)
def test_a_protocol_is_written_in_the_fields_words_or_ours(tmp_path, written, label):
    world = HelperWorld(tmp_path)
    world.load(SETUP, {"queues.toml": f"[queue.'a.example']\n{written}\n"})

    assert config(world, "a.example").protocol.label == label


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "tenant_heder = 'X'\n",
            "1: error: unknown option 'tenant_heder' (did you mean 'tenant_header'?)",
        ),
        ("[queues.default]\n", "1: error: unknown option 'queues' (did you mean 'queue'?)"),
        (
            "remove_tenant_header = 'yes'\n",
            "1: error: remove_tenant_header: True or False is expected, not 'yes'",
        ),
        (
            "[queue.'a.example']\nretry_intervall = '1m'\n",
            "2: error: queue.\"a.example\": unknown option 'retry_intervall'"
            " (did you mean 'retry_interval'?)",
        ),
        (
            "[queue.default]\nmax_age = 'long'\n",
            "2: error: queue.default.max_age: not a duration: 'long'",
        ),
        (
            "[queue.default.shop]\n",
            "1: error: queue.default holds options only, and 'shop' is none",
        ),
        (
            "[tenant.shop]\n[queue.'a.example'.shoop]\n",
            "2: error: 'shoop' is neither an option nor a tenant that is defined"
            " (did you mean 'shop'?)",
        ),
        (
            "[queue.'a.example'.protocl.smtp]\n",
            "1: error: 'protocl' is neither an option nor a tenant that is defined"
            " (did you mean 'protocol'?)",
        ),
        (
            "[queue.'a.example'.protocol.smpt]\n",
            "1: error: queue.\"a.example\".protocol: unknown protocol 'smpt'",
        ),
        (
            "[queue.'a.example']\nprotocol = { custom_lua = { constructor = 'x' } }\n",
            '2: error: queue."a.example".protocol: a sender is a function of the script',
        ),
        ("[queue.'a..b']\n", "1: error: not a domain: 'a..b'"),
        (
            "[queue.'a.example']\n[queue.'A.example']\n",
            "2: error: the domain 'A.example' stands here a second time",
        ),
        ("[tenant.t]\ncampaigns = 5\n", "2: error: tenant.t.campaigns: a table is expected"),
        (
            "[tenant.t.campaigns.c]\nmax_rate = '1/s'\n",
            "2: error: tenant.t.campaigns.c: unknown option 'max_rate'",
        ),
        ("[tenant.t]\nrequire_authz = 'alice'\n", "2: error: tenant.t.require_authz: a list"),
        ("[tenant.t]\nallowed_from_domains = ['*x']\n", "2: error: tenant.t.allowed_from_domains:"),
        (
            "[tenant.t]\noverall_max_message_rate = '10'\n",
            "2: error: tenant.t.overall_max_message_rate: not a rate",
        ),
        ("[queue.default]\nrouting_domain = 'a b'\n", "2: error: queue.default.routing_domain:"),
        (
            "default_tenant = 'shoop'\n[tenant.shop]\n",
            "1: error: default_tenant: 'shoop' is not defined (did you mean 'shop'?)",
        ),
        ("tenant_header = 'X-T'\n", "1: error: tenant_header: no tenant is defined"),
        (
            "remove_campaign_header = true\n",
            "1: warning: remove_campaign_header: there is no campaign_header to remove",
        ),
        (
            "[queue.'a.example']\noverall_max_message_rate = '1/s'\n",
            '2: warning: queue."a.example": overall_max_message_rate is known, but only',
        ),
        (
            "[queue.default]\nstrategy = 'SkipList'\n",
            "2: warning: queue.default: strategy is known but not yet in force",
        ),
    ],
)
def test_what_does_not_fit_is_found_with_its_line(tmp_path, text, finding):
    found = check(tmp_path, text)

    assert len(found) == 1
    assert found[0].startswith(f"queues.toml:{finding}")


def test_tenants_need_no_tables_of_their_own(tmp_path):
    world = HelperWorld(tmp_path)
    text = "[queue.'a.example'.t]\nmax_age = '5s'\n[queue.'a.example'.t.pro]\nmax_age = '6s'\n"
    world.load(SETUP, {"queues.toml": text})

    assert config(world, "a.example", "t").max_age_s == 5.0
    assert config(world, "a.example", "t", "pro").max_age_s == 6.0


def test_many_queues_share_what_their_tables_amount_to(world):
    assert config(world, "one.example", "t") is config(world, "two.example", "t")
