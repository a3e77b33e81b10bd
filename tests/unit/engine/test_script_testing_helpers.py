"""Helpers in the harness: their files count as in a node, and nothing outside is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.script_testing import FakeHttp, Refusal, ScriptError, ScriptHarness
from tests.fakes.dkim_oracle import rsa_pair, tags_of

HEAD = "import mta\nfrom helpers import dkim, shaping\nfrom mta import on\n"
INIT = '\n@on("init")\ndef init():\n    mta.define_spool(path="/nowhere")\n'
SHAPING = 'shaping.setup(["base.toml", "own.toml"])\n'
BASE = """
[default]
connection_limit = 5

[provider.big]
match = [{ MXSuffix = ".mx.big.example" }]
max_message_rate = "50/s"

[warmup."ip-2"]
start = "2030-01-01"
schedule = [{ day = 1, connection_limit = 1 }, { day = 3, connection_limit = 3 }, { day = 5 }]
"""
OWN = """
["small.example"]
connection_limit = 2

["small.example".sources."ip-1"]
max_message_rate = "1/s"
"""
FILES = {"base.toml": BASE, "own.toml": OWN}
ZONE = """\
$ORIGIN example.
small 60 IN MX 10 mx.small
mx.small 60 IN A 192.0.2.3
sister 60 IN MX 10 mx.small
big 60 IN MX 10 a.mx.big
big 60 IN MX 20 b.mx.big
a.mx.big 60 IN A 192.0.2.4
b.mx.big 60 IN A 192.0.2.5
"""


@pytest.fixture
def load(tmp_path: Path):
    loaded: list[ScriptHarness] = []

    def load(text: str = SHAPING, others: dict[str, str] | None = None, **options) -> ScriptHarness:
        options.setdefault("zones", [ZONE])
        files = FILES if others is None else others
        loaded.append(ScriptHarness.from_text(tmp_path, HEAD + text + INIT, files, **options))
        return loaded[-1]

    yield load
    for harness in loaded:
        harness.close()


def limits(harness: ScriptHarness, domain: str, source: str = "ip-3", **more):
    path = harness.fire("get_egress_path", domain, source, **more)
    rate = path.max_message_rate
    return path.connection_limit.limit, None if rate is None else str(rate)


# -- shaping


@pytest.mark.parametrize(
    ("domain", "source", "expected"),
    [
        ("other.example", "ip-3", (5, None)),
        ("big.example", "ip-3", (5, "50/s")),
        ("small.example", "ip-3", (2, None)),
        ("small.example", "ip-1", (2, "1/s")),
        ("sister.example", "ip-1", (2, "1/s")),
        ("other.example", "ip-2", (1, None)),
    ],
    ids=["default", "provider", "domain", "source", "same site", "warm-up"],
)
def test_paths_are_those_of_the_shaping_files(load, domain, source, expected):
    assert limits(load(), domain, source) == expected


def test_the_site_is_that_of_the_dns_unless_the_test_names_one(load):
    harness = load()

    assert limits(harness, "small.example", site_name="elsewhere.test") == (5, None)
    assert limits(harness, "elsewhere.example", site_name="mx.small.example") == (2, None)


def test_a_warm_up_goes_on_as_time_passes(load):
    harness = load()
    found = []
    for _ in range(5):
        found.append(limits(harness, "other.example", "ip-2")[0])
        harness.advance("1d")

    assert found == [1, 1, 3, 3, 5]


def test_months_pass_at_once(load, monkeypatch):
    harness = load()
    iterations = 0
    turn = harness._loop._run_once

    def count():
        nonlocal iterations
        iterations += 1
        turn()

    monkeypatch.setattr(harness._loop, "_run_once", count)
    harness.advance("365d")

    assert iterations < 1_000


def test_another_answer_of_the_dns_is_another_site(load):
    harness = load()
    harness.set_dns([ZONE.replace("sister 60 IN MX 10 mx.small", "sister 60 IN MX 10 mx.sister")])

    assert limits(harness, "sister.example") == (5, None)


def test_an_edit_of_a_file_counts_after_a_reload_and_a_mistake_does_not(load):
    harness = load()
    own = harness.path.parent / "own.toml"

    own.write_text(OWN.replace("connection_limit = 2", "connection_limit = 3"))
    harness.reload()
    assert limits(harness, "small.example") == (3, None)
    own.write_text("[default]\nconection_limit = 3\n")
    with pytest.raises(ScriptError, match=r"own.toml:2: default.conection_limit: unknown option"):
        harness.reload()
    assert limits(harness, "small.example") == (3, None)


def test_a_handler_before_the_files_may_change_what_they_say(load):
    harness = load(
        "@on('get_egress_path')\ndef f(domain, source, site):\n"
        "    if domain != 'small.example':\n        return None\n"
        "    options = shaping.resolve(domain, source, site)\n"
        "    return mta.make_egress_path(**{**options, 'connection_limit': 9})\n" + SHAPING
    )

    assert limits(harness, "small.example", "ip-1") == (9, "1/s")
    assert limits(harness, "sister.example", "ip-1") == (2, "1/s")


def test_a_function_may_read_what_the_files_say(load):
    harness = load(
        SHAPING + "def change(domain, source, site):\n"
        "    options = shaping.resolve(domain, source, site)\n"
        "    return mta.make_egress_path(**{**options, 'connection_limit': 9})\n"
    )

    path = harness.call("change", "small.example", "ip-1", "mx.small.example")
    assert (path.connection_limit.limit, str(path.max_message_rate)) == (9, "1/s")


def test_a_shaping_file_from_a_url_is_the_answer_of_the_test(load):
    url = "https://rules.test/base.toml"
    http = FakeHttp()
    http.answer("GET", url, text="[default]\nconnection_limit = 7\n")
    http.answer("GET", url, text="[default]\nconnection_limit = 8\n")
    http.fail("GET", url)
    harness = load(f"shaping.setup([{url!r}])\n", {}, http=http)

    assert limits(harness, "other.example") == (7, None)
    harness.advance("1m")
    assert limits(harness, "other.example") == (8, None)
    harness.advance("1m")
    assert limits(harness, "other.example") == (8, None)


def test_a_url_without_an_answer_leaves_its_sections_out(load):
    harness = load("shaping.setup(['https://rules.test/x.toml', 'own.toml'])\n")

    assert limits(harness, "small.example") == (2, None)
    assert limits(harness, "big.example") == (32, None)


# -- keys of a Vault

VAULT = """
dkim.setup([{
    "base": {"selector": "s1", "headers": ["From"], "vault_mount": "secret"},
    "domain": {"example.com": {}},
}])

@on("message_received")
def message_received(msg):
    dkim.sign(msg)
"""


def test_keys_of_a_vault_are_the_answers_of_the_test(load, monkeypatch):
    monkeypatch.setenv("VAULT_ADDR", "http://vault.test:8200")
    monkeypatch.setenv("VAULT_TOKEN", "token")
    http = FakeHttp()
    answer = {"data": {"data": {"key": rsa_pair().pem}}}
    http.answer("GET", "http://vault.test:8200/v1/secret/data/dkim/example.com/s1", json=answer)

    signed = load(VAULT, http=http)
    mail = signed.mail(sender="a@example.com")
    signed.fire("message_received", mail)

    assert len(mail.signers) == 1
    assert [one.headers for one in http.requests] == [{"X-Vault-Token": "token"}]


def test_a_vault_without_an_answer_is_one_that_is_not_there(load, monkeypatch):
    monkeypatch.setenv("VAULT_ADDR", "http://vault.test:8200")
    monkeypatch.setenv("VAULT_TOKEN", "token")

    answer = load(VAULT).fire("message_received")

    assert isinstance(answer, Refusal)
    assert answer.code == 451


def test_a_received_message_is_signed_by_the_files(load, tmp_path):
    (tmp_path / "key.pem").write_text(rsa_pair().pem)
    listener = (
        INIT + "    mta.start_esmtp_listener(listen='127.0.0.1:25', relay_hosts=['127.0.0.1'])\n"
    )
    table = VAULT.replace('"vault_mount": "secret"', "").replace("{}}", "{'filename': 'key.pem'}}")
    (tmp_path / "init.py").write_text(HEAD + table + listener)
    with ScriptHarness(tmp_path / "init.py") as harness:
        mail = harness.receive(sender="a@example.com").mail

    assert tags_of(mail.content)["s"] == "s1"


# -- other servers

CALLS = {
    "redis": "mta.redis.open(node='redis://127.0.0.1:6379').query('PING')",
    "nats": "mta.nats.connect(servers=['127.0.0.1:4222']).publish(subject='a', payload='b')",
    "amqp": "mta.amqp.basic_publish(routing_key='a', payload='b')",
    "kafka": "mta.kafka.build_producer(**{'bootstrap.servers': '127.0.0.1:9092'})"
    ".send(topic='a', payload='b')",
}


@pytest.mark.parametrize("name", CALLS)
def test_no_server_is_reached(load, name):
    harness = load(
        f"import mta.{name}\n@on('rewrite_delivery_status')\nasync def f(*a):\n"
        f"    try:\n        await {CALLS[name]}\n"
        "    except ConnectionError as error:\n        print(error)\n"
    )

    harness.fire("rewrite_delivery_status", "450 no")

    (line,) = harness.log
    assert "no server is there in a test" in line.text


def test_a_file_of_sqlite_is_a_file(load):
    harness = load(
        "@on('rewrite_delivery_status')\nasync def f(*a):\n"
        "    rows = await mta.sqlite.open('x.db').execute('SELECT 450 AS code')\n"
        "    return rows[0]\n"
    )

    assert harness.fire("rewrite_delivery_status", "550 no") == 450
