"""The examples of the reference run, and give what they say; nothing scripts use lacks one."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import sys
import textwrap

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from engine.hooks import HOOKS
from engine.script_testing import Refusal, ScriptHarness
from proxy.authentication import Ends
from proxy.hooks import HOOKS as PROXY_HOOKS
from proxy.script_api import ProxyScript
from tests.architecture.shape import ROOT
from tests.fakes.amqp_broker import amqp_broker
from tests.fakes.example_servers import small_nats, small_redis
from tests.fakes.kafka_broker import kafka_broker
from tests.fakes.script_world import script_world
from tsa.hooks import HOOKS as DAEMON_HOOKS
from tsa.script_api import TsaScript

sys.path.insert(0, str(ROOT / "scripts"))
pages = importlib.import_module("module_reference")
events = importlib.import_module("event_reference")
sys.path.remove(str(ROOT / "scripts"))

#: Run elsewhere: what needs a server here, and those of other daemons in tests of their stubs.
SERVERS = ("redis", "amqp", "kafka", "nats")
ELSEWHERE = (*SERVERS, "tsa", "proxy")
DECLARING = {
    *pages.FUNCTIONS[0][2],
    *("dns.configure_resolver", "dns.configure_test_resolver", "dns.set_mx_timeout"),
    *("dns.set_mx_concurrency_limit", "dns.set_mx_negative_cache_ttl", "sqlite.allow_folder"),
}
REFUSING = {"reject": Refusal(550, "5.7.1 not from here")}
REFUSING["disconnect"] = Refusal(421, "4.7.0 too many connections", "ForceDisconnect")
FILES = {
    "tenants.json": '{"acme": "pool-a"}',
    "tenants.toml": '[acme]\npool = "pool-a"\n',
    "tenants.yaml": "acme: pool-a\n",
    "acl.toml": (
        '[[acl."http_listener/*/api/admin"]]\n'
        'allow = true\nprivileges = ["GET"]\nidentity.Group = "operators"\n'
    ),
    "operators": "",
    "welcome.txt": "Hello\nall\n",
}
ZONES = [
    """
$ORIGIN example.org.
@ 60 IN MX 10 mx
@ 60 IN TXT "v=spf1 mx -all"
mx 60 IN A 192.0.2.25
9.2.0.192.bl 60 IN A 127.0.0.2
9.2.0.192.bl 60 IN TXT "seen spamming"
""",
    "$ORIGIN 2.0.192.in-addr.arpa.\n25 60 IN PTR mx.example.org.\n",
]


def documented() -> dict[str, str]:
    """Return the docstring of all that scripts use, by name: functions, methods, classes."""
    found = {}
    for module in ("__init__", *pages.MODULES):
        prefix = "" if module == "__init__" else f"{module}."
        nodes = {**pages.functions(module), **pages.classes(module)}
        for name, node in nodes.items():
            if name == "on" or (isinstance(node, ast.ClassDef) and not pages.methods(node)):
                continue
            if module == "__init__" and name in pages.OBJECTS:
                for method, part in pages.methods(node).items():
                    found[f"{name}.{method}"] = ast.get_docstring(part) or ""
                continue
            found[prefix + name] = ast.get_docstring(node) or ""
    return found


DOCUMENTED = documented()


def examples(name: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(DOCUMENTED[name])


@pytest.mark.parametrize("name", DOCUMENTED)
def test_all_that_scripts_use_has_an_example(name):
    assert examples(name)


def test_the_pages_leave_nothing_out():
    text = "".join(
        (ROOT / "docs" / "reference" / page).read_text()
        for page in ("functions.md", "message.md", "script-modules.md")
    )
    call = {f"{kind}.": f"{name}." for kind, name in pages.OBJECTS.items()}
    missing = []
    for name in DOCUMENTED:
        kind, dot, method = name.rpartition(".")
        is_class = method[0].isupper()
        shown = method if is_class else call.get(f"{kind}.", f"mta.{kind}{dot}") + method
        if f"### {shown}\n" not in text and f"### await {shown}\n" not in text:
            missing.append(name)
    assert missing == []


def test_all_members_of_classes_are_explained():
    bare = [
        f"{module}.{kind}.{name}"
        for module in ("__init__", *pages.MODULES)
        for kind, node in pages.classes(module).items()
        for name, method in pages.methods(node).items()
        if not name.startswith("_") and not ast.get_docstring(method)
    ]
    assert bare == []


def as_code(name: str, folder, ports: dict[str, int] | None = None) -> tuple[str, list[str]]:
    """Return the lines of an example, and what they should print."""
    lines, wanted = [], []
    for example in examples(name):
        source = example.source.rstrip().replace("/etc/cirrus/dkim", str(folder))
        source = source.replace("/etc/cirrus/operators", str(folder / "operators"))
        for port, real in (ports or {}).items():
            source = source.replace(port, str(real))
        if example.want:
            source = f"print(repr(({source})))" if "," in source else f"print(repr({source}))"
            wanted.append(example.want.strip())
        lines.append(source)
    return "\n".join(lines), wanted


def write_files(folder) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    keys = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": None}
    keys["ed25519"] = ed25519.Ed25519PrivateKey.generate()
    for name, key in keys.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.key").write_bytes(pem)


@contextlib.contextmanager
def running(folder, event: str, body: str, arguments: str = ""):
    """Load a script whose handler of an event has this body."""
    write_files(folder)
    text = f"import mta\nfrom mta import on\n\n@on({event!r})\nasync def run({arguments}):\n"
    text += textwrap.indent(body, "    ")
    with ScriptHarness.from_text(folder, text, zones=ZONES) as script:
        script.http.answer("GET", "https://hooks.example.org/tenants", json={"acme": "pool-a"})
        script.http.answer("POST", "https://hooks.example.org/mail")
        script.http.answer("PUT", "https://hooks.example.org/acme", status=204)
        yield script


@pytest.mark.parametrize(
    "name",
    [name for name in DOCUMENTED if not name.startswith(ELSEWHERE) and name not in DECLARING],
)
def test_an_example_gives_what_it_says(name, tmp_path):
    body, wanted = as_code(name, tmp_path)
    raw = pages.EXAMPLE_MESSAGE.encode()

    with running(tmp_path, "smtp_data", body, "msg, conn") as script:
        mail = script.mail(
            raw=raw,
            sender="anna@example.com",
            recipient="someone@example.org",
            meta={"reception_protocol": "ESMTP"},
        )
        answer = script.fire("smtp_data", mail, {})
        printed = [one.text for one in script.log if not name.startswith("log_")]
        if name == "set_lruttl_cache_capacity":
            assert "not in force" in printed.pop()

    assert printed == wanted
    assert answer == REFUSING.get(name)


@pytest.mark.parametrize("name", sorted(DECLARING))
def test_an_example_of_init_declares_something(name, tmp_path):
    body, _ = as_code(name, tmp_path)
    with running(tmp_path, "init", "pass") as script:
        nothing = script.declared

    with running(tmp_path, "init", body) as script:
        # A log hook needs a handler beside it, which the example of the event shows.
        assert [one for one in script.warnings if "of a log hook" not in one] == []
        assert script.declared != nothing


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name.startswith(SERVERS)])
async def test_an_example_with_a_server_gives_what_it_says(name, tmp_path):
    async with (
        script_world(tmp_path) as world,
        small_redis() as redis_port,
        small_nats() as (nats_port, subjects),
        amqp_broker() as amqp,
        kafka_broker() as kafka,
    ):
        ports = {"6379": redis_port, "4222": nats_port, "5672": amqp.port, "9092": kafka.port}
        body, wanted = as_code(name, tmp_path, ports)
        printed = await world.ask(
            "printed = []\n" + body.replace("print(", "printed.append(") + "\nreturn printed"
        )

    assert printed == wanted
    arrived = {"amqp": amqp.published, "kafka": kafka.records, "nats": subjects, "redis": wanted}
    assert arrived[name.partition(".")[0]]


def test_each_event_has_an_entry_with_the_types_of_its_arguments_and_an_example():
    hooks = (*HOOKS, *DAEMON_HOOKS, *PROXY_HOOKS)
    declared = {hook.name: len(hook.arguments) for hook in hooks}

    heads = {name: len(types) for name, (types, _) in events.handler_heads().items()}
    assert heads == declared
    scripts = ("events", "automation", "egress")
    handled = {name for script in scripts for name in events.event_examples(script)}
    assert handled == set(declared)


# -- the examples of events --------------------------------------------------------------------

EVENTS = ROOT / "docs" / "reference" / "examples"


@pytest.fixture
def script():
    zones = ["$ORIGIN example.org.\n1.2.0.192.bl 60 IN A 127.0.0.2\n"]
    with ScriptHarness(EVENTS / "events.py", zones=zones) as made:
        yield made


#: What each handler is asked, and what it answers.
ASKED = {
    "smtp_connection_accepted": ({}, None),
    "smtp_ehlo": (
        {"domain": "old-appliance.example", "extensions": ["SIZE", "CHUNKING"]},
        ["SIZE"],
    ),
    "get_listener_parameters": (
        {"conn": {"received_from": "10.0.0.9:4000"}},
        {"max_message_size": 100_000_000},
    ),
    "smtp_auth_plain": ({"authc": "acme", "password": "acme-password"}, True),
    "smtp_mail_from": (
        {"sender": "a@blocked.example"},
        Refusal(550, "5.7.1 no mail from blocked.example"),
    ),
    "smtp_rcpt_to": (
        {"recipient": "b@example.com"},
        Refusal(550, "5.7.1 listed: 127.0.0.2"),
    ),
    "smtp_rewrite_response": (
        {"status": 550, "response": "no such user"},
        (None, "no such user (see https://postmaster.example.com)"),
    ),
    "http_auth_basic": ({"user": "acme", "password": "wrong"}, False),
    "http_auth_bearer": ({"token": "token-of-acme"}, True),
    "get_acl_definition": ({"resource": "queues"}, None),
    "rewrite_delivery_status": (
        {"response": "550 try again later", "domain": "strange.example"},
        450,
    ),
    "shutdown": ({}, None),
}


@pytest.mark.parametrize("event", ASKED)
def test_the_example_of_an_event_answers(script, event):
    arguments, answer = ASKED[event]
    assert script.fire(event, **arguments) == answer


def test_the_example_of_init_declares_a_node(script):
    assert script.declared.spool is not None
    assert script.declared.listeners


@pytest.mark.parametrize(
    ("event", "arguments", "shown"),
    [
        ("get_listener_domain", {"domain": "example.com"}, {"relay_to": True}),
        ("get_queue_config", {"domain": "example.org", "tenant": "acme"}, {"egress_pool": "acme"}),
        ("get_egress_pool", {"name": "acme"}, {"name": "acme"}),
        ("get_egress_source", {"name": "ip-1"}, {"ehlo_domain": "ip-1.example.com"}),
        (
            "get_egress_path",
            {"routing_domain": "x.test", "egress_source": "ip-1", "site_name": "mx.x.test"},
            {"connection_limit": 10},
        ),
    ],
)
def test_the_example_of_a_configuring_event_answers(script, event, arguments, shown):
    answer = script.fire(event, **arguments)
    found = {name: getattr(answer, name) for name in shown}
    assert {name: getattr(value, "limit", value) for name, value in found.items()} == shown


def test_the_examples_of_messages_change_them(script):
    mail = script.mail(headers={"X-Tenant": "acme"}, recipient=["a@x.test", "b@y.test", "c@x.test"])

    script.fire("message_received", mail)
    groups = script.fire("smtp_split_transaction", mail)

    assert mail.meta["tenant"] == "acme"
    assert mail.header("X-Tenant") is None
    assert [[one.user for one in group] for group in groups] == [["a", "c"], ["b"]]
    refused = script.fire("smtp_data", script.mail(headers={"From": None}))
    assert refused == Refusal(550, "5.6.0 a message needs a From")


@pytest.mark.parametrize(
    ("event", "arguments", "name", "value"),
    [
        ("xfer_message_received", {}, "moved", True),
        ("rebind_message", {"data": {"routing_domain": "y.test"}}, "routing_domain", "y.test"),
        ("message_requeued", {"response": "451 later"}, "campaign", "slow"),
        ("message_enumerated", {}, "routing_domain", "new.example"),
    ],
)
def test_the_example_of_an_event_sets_metadata(script, event, arguments, name, value):
    mail = script.mail(recipient="a@old.example", num_attempts=3)
    script.fire(event, msg=mail, **arguments)
    assert mail.meta[name] == value


def test_the_example_of_a_throttle_delays_the_message_after_the_last_that_may_go(script):
    mails = [script.mail(meta={"tenant": "acme"}) for _ in range(101)]
    for mail in mails:
        script.fire("throttle_insert_ready_queue", mail)
    assert [mail.delay_s > 0 for mail in mails] == [False] * 100 + [True]


def test_the_examples_of_records_choose_and_tell(script):
    bounce = {"type": "Bounce", "recipient": "a@x.test"}
    of_reception = script.mail(meta={"log_record": {"type": "Reception"}})
    of_bounce = script.mail(meta={"log_record": bounce})

    script.fire("log_disposition", None, bounce)

    assert [line.text for line in script.log] == ["a@x.test bounced"]
    assert script.fire("should_enqueue_log_record", of_reception, "hook") is False
    assert script.fire("should_enqueue_log_record", of_bounce, "hook") is True
    assert of_bounce.meta["queue"] == "hook.records"


def test_the_examples_of_the_automation_declare_a_daemon():
    script = TsaScript(EVENTS / "automation.py", lambda: 0.0)
    script.load()
    settings = script.settings()
    assert [one.listen for one in settings.listeners] == [("127.0.0.1", 8008)]
    assert len(settings.shaping) == 2


async def test_the_examples_of_the_proxy_declare_listeners_and_judge_passwords():
    script = ProxyScript(EVENTS / "egress.py", lambda: 0.0)
    script.load()
    settings = script.settings()
    here, elsewhere = (Ends((host, 4711), ("192.0.2.1", 1080)) for host in ("192.0.2.9", "::1"))

    assert [one.listen for one in settings.listeners] == [("192.0.2.1", 1080)]
    known = await script.authenticate("node-1", "correct-horse", here)
    assert (known.names, known.groups) == ({"node-1"}, {"nodes"})
    assert await script.authenticate("node-1", "correct-horse", elsewhere) is None
    assert await script.authenticate("node-1", "wrong", here) is None
