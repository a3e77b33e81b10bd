"""Messages are given to tenants by tables, slowed down by their rates, refused where they must."""

from __future__ import annotations

import pytest

from engine.script_refusals import SmtpRefusal
from policy.errors import PolicyLoadError
from tests.fakes.helper_world import HelperWorld, make_message

APPLY = "@on('message_received')\ndef message_received(msg):\n    queues.apply(msg)\n"
SETUP = "queues.setup('queues.toml')\n"
TABLES = """
    scheduling_header = "X-Schedule"
    tenant_header = "X-Tenant"
    remove_tenant_header = true
    campaign_header = "X-Campaign"
    default_tenant = "standard"

    [tenant."standard"]

    [tenant."shop"]
    require_authz = ["alice"]

    [tenant."fast"]
    overall_max_message_rate = "2/h"

    [tenant."fast".campaigns."news"]
    overall_max_message_rate = "1/h"

    [tenant."routed"]

    [tenant."routed".campaigns."c"]
    routing_domain = "campaign.example"

    [queue."smart.example"]
    routing_domain = "[10.0.0.1]:2525"
"""


@pytest.fixture
def world(tmp_path):
    made = HelperWorld(tmp_path)
    made.load(SETUP + APPLY, {"queues.toml": TABLES})
    return made


def receive(world, header="", **options):
    message = make_message(f"From: a@x.example\r\n{header}", **options)
    world.handle("message_received", message)
    return message


def refusal(world, header="", **options):
    with pytest.raises(SmtpRefusal) as caught:
        receive(world, header, **options)
    return caught.value.reply.one_line()


def test_headers_name_tenant_and_campaign(world):
    message = receive(world, "X-Tenant: fast\r\nX-Campaign: news\r\n")

    assert message.meta == {"tenant": "fast", "campaign": "news"}
    assert b"X-Tenant" not in message.data
    assert b"X-Campaign: news" in message.data


def test_mail_without_a_header_belongs_to_the_default_tenant(world):
    assert receive(world).meta["tenant"] == "standard"


def test_an_empty_header_names_nobody(world):
    assert receive(world, "X-Tenant: \r\n").meta["tenant"] == "standard"


def test_what_the_script_has_set_comes_before_the_default(world):
    assert receive(world, tenant="routed").meta["tenant"] == "routed"


def test_the_header_comes_before_what_the_script_has_set(world):
    assert receive(world, "X-Tenant: fast\r\n", tenant="routed").meta["tenant"] == "fast"


def test_a_tenant_that_is_not_defined_is_refused(world):
    assert refusal(world, "X-Tenant: nobody\r\n").startswith("550 5.7.1")


def test_a_tenant_that_a_script_made_up_is_refused(world):
    assert refusal(world, tenant="nobody").startswith("550 5.7.1")


@pytest.mark.parametrize(
    ("meta", "text"),
    [({}, "has to authenticate"), ({"authz_id": "eve"}, "may not send as this tenant")],
)
def test_a_tenant_takes_mail_of_its_identities_only(world, meta, text):
    assert text in refusal(world, "X-Tenant: shop\r\n", **meta)


def test_an_identity_of_the_tenant_may_send(world):
    assert receive(world, "X-Tenant: shop\r\n", authz_id="alice").meta["tenant"] == "shop"


def test_a_schedule_in_a_header_is_taken_and_removed(world):
    message = receive(world, 'X-Schedule: {"first_attempt": "2030-01-01T00:00:00Z"}\r\n')

    assert message.schedule.to_dict()["first_attempt"].startswith("2030-01-01")
    assert b"X-Schedule" not in message.data


@pytest.mark.parametrize("value", ["soon", '{"when": 1}', "[]"])
def test_a_schedule_that_cannot_be_read_is_refused_for_good(world, value):
    assert refusal(world, f"X-Schedule: {value}\r\n").startswith("550 5.6.0")


@pytest.mark.parametrize(
    ("header", "recipient", "routed"),
    [
        ("", "b@smart.example", "[10.0.0.1]:2525"),
        ("X-Tenant: routed\r\nX-Campaign: c\r\n", "b@other.example", "campaign.example"),
        ("X-Tenant: routed\r\nX-Campaign: c\r\n", "b@smart.example", "campaign.example"),
        ("X-Tenant: routed\r\n", "b@other.example", None),
    ],
)
def test_a_queue_may_be_routed_elsewhere(world, header, recipient, routed):
    message = receive(world, header, recipients=(recipient,))

    assert message.meta.get("routing_domain") == routed


def waits(world, **meta):
    """Return how long each of three messages is made to wait."""
    found = []
    for _ in range(3):
        message = make_message(**meta)
        world.handle("throttle_insert_ready_queue", message)
        found.append(round(max(0.0, message.due_mono - world.time())))
    return found


def test_mail_over_the_rate_of_its_tenant_waits(world):
    assert waits(world, tenant="fast") == [0, 0, 1800]


def test_a_campaign_has_a_rate_of_its_own(world):
    assert waits(world, tenant="fast", campaign="news")[:2] == [0, 3600]


def test_a_message_that_its_campaign_holds_takes_nothing_from_the_tenant(world):
    assert waits(world, tenant="fast", campaign="news") == [0, 3600, 3600]

    assert waits(world, tenant="fast") == [0, 1800, 1800]


@pytest.mark.parametrize("meta", [{"tenant": "standard"}, {"tenant": "gone"}, {}])
def test_other_mail_waits_for_nothing(world, meta):
    assert waits(world, **meta) == [0, 0, 0]


def test_rates_are_counted_on_across_a_reload(world, tmp_path):
    assert waits(world, tenant="fast") == [0, 0, 1800]

    world.load(SETUP + APPLY + "X = 1\n")

    assert waits(world, tenant="fast")[0] == 1800


def test_nothing_is_asked_of_each_message_where_there_are_no_rates(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("queues.setup({'tenant': {'x': {}}})\n")

    assert not world.runtime.is_handled("throttle_insert_ready_queue")


def test_nobody_answers_for_queues_after_the_helper(tmp_path):
    handler = "@on('get_queue_config')\ndef f(d, t, c, r):\n    return None\n"

    with pytest.raises(PolicyLoadError, match="would never be asked") as caught:
        HelperWorld(tmp_path).load("queues.setup({})\n" + handler)

    assert caught.value.line == 5


def test_the_script_answers_for_queues_before_the_helper(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(
        "@on('get_queue_config')\ndef f(d, t, c, r):\n"
        "    return mta.make_queue_config(max_age='9s') if d == 'own.example' else None\n"
        "queues.setup({'queue': {'default': {'max_age': '8s'}}})\n"
    )

    ages = [
        world.fire("get_queue_config", domain, None, None, None).max_age_s
        for domain in ("own.example", "other.example")
    ]

    assert ages == [9.0, 8.0]


def test_a_log_hook_must_be_set_up_before_the_helper(tmp_path):
    with pytest.raises(PolicyLoadError, match="register it before"):
        HelperWorld(tmp_path).load(
            "queues.setup({})\nlog_hooks.new_json(name='web', url='http://h.example/')\n"
        )


@pytest.mark.parametrize(
    "order", ["sources.setup(S)\nqueues.setup(Q)\n", "queues.setup(Q)\nsources.setup(S)\n"]
)
def test_a_pool_that_sources_does_not_define_is_an_error_in_the_file_that_names_it(tmp_path, order):
    found = HelperWorld(tmp_path).check(
        "S, Q = 'sources.toml', 'queues.toml'\n" + order,
        {
            "sources.toml": "[source.a]\n[pool.pool-a.a]\n",
            "queues.toml": "[queue.default]\negress_pool = 'pool-a'\n"
            "[tenant.t]\negress_pool = 'unspecified'\n"
            "[queue.'x.example'.t]\negress_pool = 'poolb'\n"
            "[tenant.t.campaigns.c]\negress_pool = 'pool-c'\n",
        },
    )

    text = (
        "error: the egress pool {!r} is not among those of helpers.sources (did you mean 'pool-a'?)"
    )
    assert found == [
        f"queues.toml:6: {text.format('poolb')}",
        f"queues.toml:8: {text.format('pool-c')}",
    ]


def test_a_script_may_answer_for_the_pools_itself(tmp_path):
    found = HelperWorld(tmp_path).check(
        "queues.setup({'queue': {'other.example': {'egress_pool': 'mine'}}})\n"
    )

    assert found == []


def test_a_script_sees_what_the_tables_amount_to(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(
        "queues.setup({'queue': {'x.example': {'egress_pool': 'p'}}})\n"
        "@on('smtp_ehlo')\ndef f(domain, conn, extensions):\n"
        "    return [queues.resolve_config('x.example').egress_pool]\n"
    )

    assert world.fire("smtp_ehlo", "c", None, []) == ["p"]


def test_only_the_message_of_an_event_can_be_given_to_a_tenant(tmp_path):
    with pytest.raises(PolicyLoadError, match="wants the message of the event"):
        HelperWorld(tmp_path).load("queues.setup({})\nqueues.apply('msg')\n")
