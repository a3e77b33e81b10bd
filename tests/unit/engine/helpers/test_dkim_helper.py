"""Who signs what comes from tables; the domain of the From header decides."""

from __future__ import annotations

import pytest

from engine.script_refusals import SmtpRefusal
from tests.fakes.dkim_oracle import ed25519_pair, is_verified, rsa_pair
from tests.fakes.helper_world import HelperWorld, make_message
from tests.fakes.smtp_node import smtp_node

SIGN = "@on('message_received')\ndef f(msg):\n    dkim.sign(msg)\n"
SETUP = "dkim.setup('dkim.toml')\n"
BASE = "[base]\nselector = 's1'\nheaders = ['From', 'Subject']\n"
DOMAIN = "[domain.'example.com']\nfilename = 'key.pem'\n"


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "key.pem").write_text(rsa_pair().pem)
    (tmp_path / "ed.pem").write_text(ed25519_pair().pem)
    return tmp_path


def signers(world, header="From: a@example.com\r\n"):
    noted = []
    world.handle("message_received", make_message(header), signers=noted)
    return noted


def load(folder, text):
    world = HelperWorld(folder)
    world.load(SETUP + SIGN, {"dkim.toml": text})
    return world


def check(folder, text):
    return HelperWorld(folder).check(SETUP, {"dkim.toml": text})


def test_the_domain_of_from_signs_with_its_own_options_and_those_of_base(keys):
    world = load(keys, BASE + DOMAIN + "selector = 's2'\nbody_canonicalization = 'Simple'\n")

    (signer,) = signers(world)

    assert (signer.domain, signer.selector, signer.algorithm) == (
        "example.com",
        "s2",
        "rsa-sha256",
    )
    assert signer.headers == ("from", "subject")
    assert signer.body_canonicalization.value == "Simple"


@pytest.mark.parametrize(
    ("base", "domain", "over_sign"),
    [("", "", False), ("true", "", True), ("true", "false", False), ("false", "true", True)],
)
def test_false_of_a_domain_wins_over_true_of_base(keys, base, domain, over_sign):
    text = BASE + (f"over_sign = {base}\n" if base else "")
    text += DOMAIN + (f"over_sign = {domain}\n" if domain else "")

    assert signers(load(keys, text))[0].over_sign is over_sign


def test_a_domain_of_its_own_key_type(keys):
    world = load(keys, BASE + "[domain.'example.com']\nalgo = 'ed25519'\nfilename = 'ed.pem'\n")

    assert signers(world)[0].algorithm == "ed25519-sha256"


def test_other_domains_are_not_signed(keys):
    assert signers(load(keys, BASE + DOMAIN), "From: a@other.example\r\n") == []


def test_a_wildcard_signs_as_the_domain_of_the_message(keys):
    world = load(keys, BASE + "[domain.'*.example.com']\nfilename = 'key.pem'\n")

    assert signers(world, "From: a@Shop.example.com\r\n")[0].domain == "shop.example.com"
    assert signers(world, "From: a@example.com\r\n") == []


@pytest.mark.parametrize(
    ("policy", "sender", "domains"),
    [
        ("", "example.com", ["example.com", "esp.example"]),
        ("", "other.example", ["esp.example"]),
        ("policy = 'Always'", "example.com", ["example.com", "esp.example"]),
        ("policy = 'OnlyIfMissingDomainBlock'", "example.com", ["example.com"]),
        ("policy = 'OnlyIfMissingDomainBlock'", "other.example", ["esp.example"]),
    ],
)
def test_additional_signatures_come_after_that_of_the_domain(keys, policy, sender, domains):
    text = BASE + "additional_signatures = ['esp']\n" + DOMAIN
    text += f"[signature.esp]\ndomain = 'esp.example'\nfilename = 'key.pem'\n{policy}\n"

    found = signers(load(keys, text), f"From: a@{sender}\r\n")

    assert [signer.domain for signer in found] == domains


def test_a_signature_that_base_does_not_name_is_not_made(keys):
    text = BASE + "[signature.esp]\ndomain = 'esp.example'\nfilename = 'key.pem'\n"

    assert signers(load(keys, text)) == []


@pytest.mark.parametrize(
    "header",
    [
        "Subject: none\r\n",
        "From:\r\n",
        "From: a@example.com, b@example.com\r\n",
        "From: a@example.com\r\nFrom: b@other.example\r\n",
        "From: <a@example.com\r\n",
        "From: a@[10.0.0.300]\r\n",
    ],
)
def test_mail_without_one_address_in_from_is_refused(keys, header):
    with pytest.raises(SmtpRefusal, match=r"552 5\.6\.0"):
        signers(load(keys, BASE + DOMAIN), header)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "[base]\nheaders = ['From']\n" + DOMAIN,
            '3: error: domain."example.com": selector is missing, here and in base',
        ),
        (
            "[base]\nselector = 's'\n" + DOMAIN,
            '3: error: domain."example.com": headers is missing, here and in base',
        ),
        (
            "[base]\nselector = 's'\nheaders = ['To']\n" + DOMAIN,
            "3: error: base.headers: From must be among the headers (RFC 6376, 5.4)",
        ),
        (BASE + DOMAIN + "algo = 'sha1'\n", '6: error: domain."example.com".algo: one of sha256'),
        (
            BASE + DOMAIN + "algo = 'ed25519'\n",
            '5: error: domain."example.com": key: this key is for rsa-sha256',
        ),
        (
            BASE + "[domain.'example.com']\nfilename = 'none.pem'\n",
            '5: error: domain."example.com": key: none.pem: No such file',
        ),
        (
            BASE + "[domain.'*.example.com']\nfilename = 'none.pem'\n",
            '5: error: domain."*.example.com": key: none.pem: No such file',
        ),
        (BASE + "[domain.'example.com']\n", '4: error: domain."example.com": key: /'),
        (BASE + DOMAIN + "policy = 'Never'\n", "6: error: domain.\"example.com\".policy: 'Always'"),
        (
            BASE + DOMAIN + "over_sing = true\n",
            "6: error: domain.\"example.com\": unknown option 'over_sing'"
            " (did you mean 'over_sign'?)",
        ),
        (
            BASE + "additional_signatures = ['x']\n",
            "4: error: base: additional_signatures: 'x' is not defined",
        ),
        (
            BASE + "[signature.esp]\nfilename = 'key.pem'\n",
            "4: error: signature.esp: domain is missing",
        ),
        (BASE + "[domains.'x.example']\n", "4: error: unknown table 'domains'"),
        (BASE + "[domain.'a..b']\nfilename = 'key.pem'\n", "4: error: not a domain: 'a..b'"),
        (BASE + "vault_path_prefix = 'x'\n", "4: warning: base: vault_path_prefix: there is no"),
    ],
)
def test_what_does_not_fit_is_found_with_its_line(keys, text, finding):
    found = check(keys, text)

    assert len(found) == 1
    assert found[0].startswith(f"dkim.toml:{finding}")


VAULT = BASE + "vault_mount = 'secret'\n[domain.'example.com']\n"


async def test_a_key_of_a_vault_is_fetched_when_the_policy_takes_effect(tmp_path):
    world = HelperWorld(tmp_path)
    world.secrets["secret/dkim/example.com/s1"] = rsa_pair().pem.encode()
    world.load(SETUP + SIGN, {"dkim.toml": VAULT})

    await world.run_tasks()

    assert signers(world)[0].domain == "example.com"


async def test_mail_that_comes_before_its_key_is_to_come_again(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(SETUP + SIGN, {"dkim.toml": VAULT})
    await world.run_tasks()

    with pytest.raises(SmtpRefusal, match=r"451 4\.7\.5"):
        signers(world)

    world.secrets["secret/dkim/example.com/s1"] = rsa_pair().pem.encode()
    world.time.advance(10)
    with pytest.raises(SmtpRefusal):
        signers(world)
    await world.run_tasks()
    assert len(signers(world)) == 1


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ("filename = 'my/key'\n", "secret/my/key"),
        ("selector = 's9'\n", "secret/dkim/example.com/s9"),
    ],
)
async def test_the_place_in_the_vault_is_named_or_follows_from_domain_and_selector(
    tmp_path, options, place
):
    world = HelperWorld(tmp_path)
    world.secrets[place] = rsa_pair().pem.encode()
    world.load(SETUP + SIGN, {"dkim.toml": VAULT + options})
    await world.run_tasks()

    assert len(signers(world)) == 1


def test_checking_asks_no_vault(tmp_path):
    assert check(tmp_path, VAULT) == []


async def test_a_message_leaves_with_a_signature_that_verifies(keys):
    (keys / "dkim.toml").write_text(BASE + DOMAIN)
    script = f"from helpers import dkim\n{SETUP}{SIGN}"

    async with smtp_node(keys, script, relay_hosts=["127.0.0.0/8"]) as node:
        client = await node.greeted()
        reply = await client.deliver(b"From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n")

        assert reply.code == 250
        assert is_verified(node.content(), rsa_pair())
