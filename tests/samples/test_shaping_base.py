"""samples/shaping/base.toml: each of its rules sees the replies it is for, and no others.

Rules are named by their section and by the title in the comment above them.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.decision import DecisionKind
from engine.model.shaping_finding import CHECK_OPTIONS
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_trigger import Proportion, Threshold
from engine.shaping_check import check_shaping
from tests.fakes.tsa_world import judged, seen
from tests.samples.running_node import ROOT
from tsa.rule_engine import RuleEngine
from tsa.rule_matcher import RuleMatcher

PATH = ROOT / "samples" / "shaping" / "base.toml"
TEXT = PATH.read_text()
LINES = TEXT.splitlines()
SHAPING, FINDINGS = merge_layers([parse_shaping(TEXT.encode(), str(PATH))], {}, CHECK_OPTIONS)
RULES = SHAPING.all_rules()
MATCHER = RuleMatcher(SHAPING)


def comment_above(line):
    """Return the comment above a line, counted from 1, as one line."""
    first = line - 1
    while first > 0 and LINES[first - 1].startswith("#"):
        first -= 1
    return " ".join(text.lstrip("# ") for text in LINES[first : line - 1])


def name_of(one):
    title = comment_above(one.rule.place.line).partition(":")[0]
    return f"{one.rule.section.removeprefix('provider.')}: {title}"


BY_NAME = {name_of(one): one for one in RULES}

REPLIES_PATH = ROOT / "tests" / "samples" / "shaping_replies.txt"
OTHER, YAHOO = "mx.small.example", "mta5.am0.yahoodns.net"


def read_replies():
    """Return hosts, what they say, and the names of the rules that see it."""
    found = []
    for line in REPLIES_PATH.read_text().splitlines():
        if line and not line.startswith("#"):
            host, text, names = line.split(" | ")
            found.append((host, text, set() if names == "-" else set(names.split("; "))))
    return found


REPLIES = read_replies()


def record_of(host, text, **fields):
    """Return the record of a reply, or of a failure to connect in the node's own words."""
    fields = {
        "recipient": "user@big.example",
        "queue": "news:acme@big.example",
        "site_name": host,
        "peer_address": {"name": host, "addr": "192.0.2.25"},
    } | fields
    if text.startswith("> "):
        said = f"failed to connect to any candidate hosts: {host}/192.0.2.25: {quoted(text)}"
        return seen(response=internal(451, "4.4.1", said), **fields)
    code, status, content = split(text)
    response = {"code": code, "content": content, "command": "RCPT TO:<user@big.example>"}
    return seen(response=response | status, **fields)


def quoted(text):
    """Return how the node tells what a host said while a connection was made."""
    text = text.removeprefix("> ")
    return f"the host {text}" if text.startswith("greeted") else text


def split(text):
    found = re.match(r"(\d{3}) (?:([245])\.(\d{1,3})\.(\d{1,3}) )?(.*)\Z", text)
    code = int(found[1])
    if found[2] is None or int(found[2]) != code // 100:
        return code, {}, text.partition(" ")[2]
    numbers = dict(zip(("class", "subject", "detail"), map(int, found.group(2, 3, 4)), strict=True))
    return code, {"enhanced_code": numbers}, found[5]


def internal(code, status, text):
    numbers = dict(zip(("class", "subject", "detail"), map(int, status.split(".")), strict=True))
    return {"code": code, "enhanced_code": numbers, "content": text, "command": None}


def rules_that_see(record):
    return {name_of(one) for one, _, is_match in MATCHER.matches(record) if is_match}


#: Rules that count a share of the attempts, whether or not they look at the words.
SHARES = {name for name, one in BY_NAME.items() if isinstance(one.rule.trigger, Proportion)}


@pytest.mark.parametrize(("host", "text", "expected"), REPLIES, ids=lambda value: str(value)[:60])
def test_a_reply_is_seen_by_the_rules_it_is_for(host, text, expected):
    record = record_of(host, text)

    assert rules_that_see(record) - SHARES == expected


def test_each_rule_is_shown_a_reply_that_it_sees_and_one_of_its_provider_that_it_does_not():
    shown = set().union(*(expected for _, _, expected in REPLIES))
    assert set(BY_NAME) - SHARES == shown

    for name, one in BY_NAME.items():
        if name in SHARES or one.provider is None:
            continue
        hosts = {host for host, _, expected in REPLIES if name in expected}
        assert any(host in hosts and name not in expected for host, _, expected in REPLIES)


def decisions_about(host, text, count, **fields):
    """Return what a daemon decides when a host says something again and again."""
    return judged(RuleEngine(SHAPING), [record_of(host, text, **fields) for _ in range(count)])


KINDS = {
    "Suspend": DecisionKind.SUSPEND_READY,
    "SuspendTenant": DecisionKind.SUSPEND_SCHEDULED,
    "AdjustConfig": DecisionKind.OVERRIDE,
    "PauseWarmup": DecisionKind.WARMUP_HOLD,
}


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - SHARES))
def test_a_rule_acts_when_its_count_is_reached_and_not_before(name):
    one = BY_NAME[name]
    host, text = next((host, text) for host, text, expected in REPLIES if name in expected)
    trigger = one.rule.trigger
    count = trigger.count if isinstance(trigger, Threshold) else 1

    def made_by_it(number):
        found = decisions_about(host, text, number)
        return [made for made in found if made.rule_hash.startswith(one.digest[:24])]

    assert made_by_it(count - 1) == []
    (decision,) = made_by_it(count)
    (action,) = one.rule.actions
    assert decision.kind is KINDS[action.kind.value]
    if decision.kind is DecisionKind.OVERRIDE:
        # A site takes mail for many domains: what slows it down has to act on all of it.
        assert decision.scope.site_name == host
    if decision.kind is DecisionKind.SUSPEND_SCHEDULED:
        assert decision.scope.tenant == "acme"


@pytest.mark.parametrize(
    ("name", "host", "text"),
    [
        ("yahoo: Most of it deferred", YAHOO, "421 4.7.0 [TSS04] Messages temporarily deferred"),
        ("libero: Many deferrals, whatever the words", "smtp-in.libero.it", "450 4.7.1 riprova"),
        ("seznam: Many deferrals, whatever the words", "mx1.seznam.cz", "451 4.7.1 later"),
    ],
)
def test_a_share_of_deferrals_holds_the_site_only_when_it_is_large(name, host, text):
    one = BY_NAME[name]
    trigger = one.rule.trigger

    def after(deferred, delivered):
        records = [record_of(host, "250 2.0.0 taken", type="Delivery") for _ in range(delivered)]
        records += [record_of(host, text) for _ in range(deferred)]
        made = judged(RuleEngine(SHAPING), records)
        return {decision.kind for decision in made if decision.rule == one.rule.section}

    assert (
        after(deferred=int(trigger.at_least * trigger.over) - 1, delivered=trigger.at_least)
        == set()
    )
    assert after(deferred=2 * trigger.at_least, delivered=0) == {DecisionKind.SUSPEND_READY}


def test_a_share_of_deferrals_repeats_the_day_of_a_source_that_is_warmed_up_and_of_no_other():
    warmup = uncommented_example().replace("2030-01-07", "2027-01-10")
    layers = [parse_shaping(TEXT.encode(), "base"), parse_shaping(warmup.encode(), "own")]
    shaping, _ = merge_layers(layers, {}, CHECK_OPTIONS)
    records = []
    for number in range(250):
        for source in ("ip-1", "ip-2"):
            text = "451 4.7.0 later" if number % 3 == 0 else "250 2.0.0 taken"
            kind = "TransientFailure" if number % 3 == 0 else "Delivery"
            records.append(record_of(OTHER, text, type=kind, egress_source=source))

    made = judged(RuleEngine(shaping), records)

    assert {(one.kind, one.scope.source) for one in made} == {(DecisionKind.WARMUP_HOLD, "ip-1")}


HOSTS = {
    "google": "gmail-smtp-in.l.google.com aspmx2.googlemail.com smtp.google.com",
    "yahoo": "mta5.am0.yahoodns.net mx-aol.mail.gm0.yahoodns.net",
    "outlook": "outlook-com.olc.protection.outlook.com eur.olc.protection.outlook.com",
    "office365": "x.mail.protection.outlook.com acme-example.a-v1.mx.microsoft",
    "apple": "mx01.mail.icloud.com mx02.mail.icloud.com",
    "comcast": "mx1h1.comcast.net mx2.mxge.comcast.net",
    "charter": "mx0.charter.net",
    "united-internet": "mx00.emig.gmx.net mx-ha02.web.de mx00.mail.com mx00.ionos.de",
    "t-online": "mx00.t-online.de mx03.t-online.de",
    "orange": "smtp-in.orange.fr",
    "sfr": "smtp-in.sfr.fr",
    "laposte": "smtp4.laposte.net",
    "free": "mx1.free.fr mx2.free.fr",
    "libero": "smtp-in.libero.it smtp-in.virgilio.it smtp-in.iol.it",
    "seznam": "mx1.seznam.cz mx2.seznam.cz",
    "mail-ru": "mxs.mail.ru",
    "yandex": "mx.yandex.ru",
    "qq": "mx3.qq.com mxbiz1.qq.com",
    "netease": "163mx01.mxmail.netease.com 126mx02.mxmail.netease.com",
    "proofpoint": "mxa-001.gslb.pphosted.com mx1-us1.ppe-hosted.com",
    "mimecast": "eu-smtp-inbound-1.mimecast.com za-smtp-inbound-1.mimecast.co.za",
    "barracuda": "d1.a.ess.barracudanetworks.com d2.ess.uk.barracudanetworks.com",
}


def test_the_hosts_of_each_provider_are_its_own_and_nobody_elses():
    assert set(HOSTS) == set(SHAPING.providers)
    for name, hosts in HOSTS.items():
        for host in hosts.split():
            assert SHAPING.providers_of("a.example", [host]) == [name]


@pytest.mark.parametrize(
    "host",
    [
        "mx.notgoogle.com",
        "fakeyahoodns.net",
        "mail.protection.outlook.com.example",
        "qq.com.example",
    ],
)
def test_a_host_that_only_sounds_like_one_belongs_to_no_provider(host):
    assert SHAPING.providers_of("a.example", [host]) == []


def test_there_is_nothing_to_say_of_the_file():
    assert [str(one) for one in check_shaping([str(PATH)], with_dns=False)] == []
    assert FINDINGS == ()


def test_no_section_needs_a_look_up():
    assert (SHAPING.sites, SHAPING.domains) == ({}, {})


def test_every_rule_has_a_reason_and_a_source_above_it():
    assert len(BY_NAME) == len(RULES), "a title is used twice in a section"
    for one in RULES:
        reason, source, origin = comment_above(one.rule.place.line).partition(" Source: ")
        assert source, f"{one.rule.place}: no source"
        assert len(origin) > 10
        assert ": " in reason


def test_every_provider_has_rules_and_limits():
    for name, bucket in SHAPING.providers.items():
        assert bucket.rules, name
        assert ("connection_limit",) in bucket.settings
        assert ("max_deliveries_per_connection",) in bucket.settings


def test_no_pattern_needs_a_backtracking_engine():
    slow = [pattern.text for one in RULES for pattern in one.rule.patterns if not pattern.is_linear]
    assert slow == []


def test_every_pattern_begins_with_the_code():
    for one in RULES:
        assert [pattern for pattern in one.rule.patterns if pattern.text[:1] != "^"] == []


def own_words(reason):
    """Yield what a node itself says of mail that is held or bounced for a reason."""
    for text in (
        f"scheduled queue is suspended: {reason} (by tsa)",
        f"no source of pool main is eligible: ip-1->{OTHER}@smtp_client: {reason} (by tsa)",
    ):
        yield "TransientFailure", internal(451, "4.4.4", text)
    text = f"Administrator bounced with reason: {reason}"
    yield "AdminBounce", internal(551, "5.7.1", text)


@pytest.mark.slow
def test_what_the_node_says_while_it_obeys_a_rule_feeds_no_rule():
    """Its words hold the reason of a decision, which quotes the rule, or what an operator wrote."""
    failed = "451 4.4.1 failed to connect to any candidate hosts: x"
    reasons = [f"automation rule: {', '.join(p.text for p in one.rule.patterns)}" for one in RULES]
    reasons += [text.removeprefix("> ") for _, text, _ in REPLIES]
    reasons += [f"{failed}: {quoted(text)}" for _, text, _ in REPLIES]
    records = []
    for host in {host for host, _, _ in REPLIES}:
        peer = {"name": host, "addr": "192.0.2.25"}
        for kind, response in (words for reason in reasons for words in own_words(reason)):
            record = seen(
                type=kind,
                response=response,
                queue="news:acme@big.example",
                site_name=host,
                peer_address=peer,
            )
            assert rules_that_see(record) == set(), response
            records.append(record)

    assert judged(RuleEngine(SHAPING), records) == []


def test_failures_to_connect_without_a_word_from_the_host_feed_no_rule():
    for text in ("Connection refused", "connect: no answer within 60 s", "TLS is required"):
        said = f"failed to connect to any candidate hosts: {OTHER}/192.0.2.25: {text}"
        record = seen(response=internal(451, "4.4.1", said))
        assert rules_that_see(record) == set()


def uncommented_example():
    _, _, example = TEXT.partition("#\n# [warmup")
    assert example
    return "\n".join(
        line.removeprefix("#").strip() for line in ("# [warmup" + example).splitlines()
    )


def test_the_example_of_a_warm_up_is_right_as_it_stands():
    values = tomllib.loads(uncommented_example())
    layers = [
        parse_shaping(TEXT.encode(), "base"),
        parse_shaping(uncommented_example().encode(), "own"),
    ]
    shaping, findings = merge_layers(layers, {}, CHECK_OPTIONS)

    assert set(values) == {"warmup"}
    assert findings == ()
    assert set(shaping.warmups.sections) == {("ip-1", None), ("ip-1", "google")}
    assert not SHAPING.warmups, "an example, and nothing in force"
