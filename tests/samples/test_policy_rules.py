"""The rules of the samples, each by itself and without a node; mail flows in their other tests."""

from __future__ import annotations

import pytest

from engine.script_testing import Refusal, ScriptHarness, make_signing_key, options_of
from tests.samples.running_node import SAMPLES

NAMES = sorted(path.name for path in SAMPLES.glob("*.py"))


@pytest.fixture
def load(script):
    def load(name: str, **options) -> ScriptHarness:
        return script(SAMPLES / name, **options)

    return load


def found(node: ScriptHarness, event: str, *arguments: str) -> dict:
    return options_of(node.fire(event, *arguments))


# -- tenants and pools


def tenant_mail(node: ScriptHarness, tenant: str | None):
    headers = {"X-Tenant": tenant, "X-Campaign": "spring"}
    return node.mail(recipient="b@there.example", headers=headers)


@pytest.mark.parametrize(
    ("tenant", "pool", "sources", "max_age_days"),
    [("shop", "shared", {"ip-1": 3, "ip-2": 1}, 3), ("bank", "bank-only", {"ip-3": 1}, 1)],
)
def test_a_tenant_has_its_queue_pool_and_patience(load, tenant, pool, sources, max_age_days):
    node = load("tenants_and_pools.py")
    mail = tenant_mail(node, tenant)

    node.fire("message_received", mail)
    config = found(node, "get_queue_config", "there.example", tenant)
    entries = found(node, "get_egress_pool", config["egress_pool"])["entries"]

    assert mail.queue_name == f"spring:{tenant}@there.example"
    assert (mail.header("X-Tenant"), mail.header("X-Campaign")) == (None, None)
    assert config["egress_pool"] == pool
    assert config["max_age"] == max_age_days * 86_400
    assert {one["name"]: one["weight"] for one in entries} == sources


@pytest.mark.parametrize("tenant", ["stranger", None])
def test_who_is_no_tenant_may_not_send(load, tenant):
    node = load("tenants_and_pools.py")

    answer = node.fire("message_received", tenant_mail(node, tenant))

    assert answer == Refusal(550, "5.7.1 X-Tenant names nobody who may send here")


def test_mail_of_a_tenant_that_left_still_goes(load):
    assert found(load("tenants_and_pools.py"), "get_queue_config", "x.test", "gone") == found(
        load("tenants_and_pools.py"), "get_queue_config", "x.test"
    )


def test_a_tenant_over_its_rate_waits_for_its_turn_and_the_other_does_not(load):
    node = load("tenants_and_pools.py")
    mails = [node.mail(meta={"tenant": "bank"}) for _ in range(31)]
    other = node.mail(meta={"tenant": "shop"})

    for mail in (*mails, other):
        node.fire("throttle_insert_ready_queue", mail)

    waits = [mail.delay_s for mail in mails]
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert 0 < waits[-1] <= 3
    assert other.delay_s == 0


def test_receivers_that_want_little_get_little(load):
    node = load("tenants_and_pools.py")

    slow = found(node, "get_egress_path", "slow.example", "ip-1")
    other = found(node, "get_egress_path", "there.example", "ip-1")

    assert (slow["connection_limit"], slow["max_message_rate"]) == ("2", "60/m")
    assert (other["connection_limit"], other["max_message_rate"]) == ("32", "100/s")


# -- VIP and bulk


@pytest.mark.parametrize(
    ("headers", "lane"),
    [
        ({}, "vip"),
        ({"List-Unsubscribe": "<https://example.com/>"}, "bulk"),
        ({"Precedence": "Bulk"}, "bulk"),
        ({"Precedence": "list"}, "bulk"),
        ({"Precedence": "first-class"}, "vip"),
        ({"X-Lane": "vip", "Precedence": "bulk"}, "vip"),
        ({"X-Lane": "other"}, "vip"),
    ],
)
def test_a_message_finds_its_lane_and_the_way_out_of_it(load, headers, lane):
    node = load("vip_and_bulk.py")
    mail = node.mail(headers=headers)

    node.fire("message_received", mail)
    config = found(node, "get_queue_config", "example.org", lane)
    (entry,) = found(node, "get_egress_pool", config["egress_pool"])["entries"]

    assert mail.meta["tenant"] == lane
    assert mail.header("X-Lane") is None
    assert entry["name"] == f"ip-{lane}"
    assert ("max_message_rate" in config) is (lane == "bulk")


def test_only_bulk_mail_waits_for_the_rate(load):
    node = load("vip_and_bulk.py")
    bulk, vip = ([node.mail(meta={"tenant": lane}) for _ in range(500)] for lane in ("bulk", "vip"))

    for mail in (*bulk, *vip):
        node.fire("throttle_insert_ready_queue", mail)

    assert bulk[-1].delay_s > 0
    assert {mail.delay_s for mail in vip} == {0}


# -- the relay in front of a mail server

ALICE = "alice@example.com"
PASSWORD = "wonderland of 42 rabbits"


def test_anybody_writes_to_own_domains_and_nowhere_else(load):
    node = load("inbound_relay.py")
    client = {"client": "192.0.2.1", "sender": "a@else.example"}

    assert node.receive(recipient=ALICE, **client).queue_names == ["example.com"]
    refused = node.receive(recipient="b@there.example", **client).refusal
    assert refused == Refusal(550, "5.7.1 relaying not permitted")


def test_a_user_writes_to_everywhere_by_his_own_name_only(load):
    node = load("inbound_relay.py")
    client = {"client": "192.0.2.1", "credentials": (ALICE, PASSWORD)}

    assert node.receive(sender=ALICE, recipient="b@there.example", **client).mail
    refused = node.receive(sender="bob@example.com", recipient="b@there.example", **client)
    assert refused.refusal.text.endswith("send as alice@example.com only")


@pytest.mark.parametrize(
    "credentials", [(ALICE, "guess"), ("bob@example.com", PASSWORD), (ALICE, PASSWORD + " ")]
)
def test_a_wrong_password_opens_nothing(load, credentials):
    reception = load("inbound_relay.py").receive(credentials=credentials)

    assert (reception.refusal.code, reception.mails) == (535, [])


def test_a_client_in_a_hurry_is_sent_away_until_a_minute_has_passed(load):
    node = load("inbound_relay.py")

    def code() -> int:
        return node.receive(client="192.0.2.1", recipient=ALICE, sender="").exchanges[0].code

    codes = [code() for _ in range(61)]
    node.advance("1m")

    assert codes == [220] * 60 + [421]
    assert code() == 220


def test_mail_for_own_domains_goes_to_the_server_behind(load):
    node = load("inbound_relay.py")

    inside = found(node, "get_queue_config", "example.com")
    outside = found(node, "get_queue_config", "there.example")

    assert inside["protocol"] == {"smtp": {"mx_list": ["[10.0.0.25]:25"]}}
    assert outside["protocol"] != inside["protocol"]


# -- the whole sender


@pytest.fixture
def sender(script):
    folder = SAMPLES / "complete_sender"
    key = 'filename = "key.pem"\n'
    dkim = "".join(
        line + key if line.startswith(("[domain", "[signature")) else line
        for line in (folder / "dkim.toml").read_text().splitlines(keepends=True)
    )
    files = {
        "complete_sender/dkim.toml": dkim,
        "key.pem": make_signing_key(),
        # The copy is of the script's folder; this stands beside it.
        "../shaping/base.toml": (SAMPLES.parent / "shaping" / "base.toml").read_text(),
    }
    zone = "$ORIGIN example.\n* 60 IN MX 10 mx.there\n"
    return script(SAMPLES / "complete_sender.py", files=files, zones=[zone])


def test_a_tenant_of_the_files_is_refused_what_is_not_its_own(sender):
    mail = sender.mail(sender="a@shop.example.com", headers={"From": "a@bank.example.com"})
    assert sender.fire("message_received", mail).code == 550
    other = sender.mail(sender="a@shop.example.com", headers={"X-Tenant": "other"})
    assert sender.fire("message_received", other).code == 550


def test_a_campaign_of_the_files_has_its_queue_and_is_signed(sender):
    reception = sender.receive(
        sender="a@bounce.example.com",
        recipient="b@there.example",
        headers={"From": "a@shop.example.com", "X-Campaign": "newsletter"},
    )
    config = found(sender, "get_queue_config", "there.example", "shop", "newsletter")

    assert reception.queue_names == ["newsletter:shop@there.example"]
    assert "s=s2026" in reception.mail.header("DKIM-Signature")
    assert (config["egress_pool"], config["max_age"]) == ("shared", 86_400)


def test_paths_of_the_files_lie_over_those_of_the_large_providers(sender):
    partner = found(sender, "get_egress_path", "partner.example", "ip-1")

    assert (partner["connection_limit"], partner["max_message_rate"]) == ("2", "5/s")
    assert partner["enable_tls"] == "OpportunisticInsecure"


# -- all of them


@pytest.mark.parametrize("name", [name for name in NAMES if name != "complete_sender.py"])
def test_a_sample_loads_without_a_warning(load, name):
    assert load(name).warnings == []
