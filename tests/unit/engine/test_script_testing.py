"""The harness for operators' scripts: what loads, fires, refuses, answers and waits is theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.script_testing import LogLine, Refusal, ScriptError, ScriptHarness
from policy.errors import HookFailedError, ScriptFrame

HEAD = "import mta\nfrom mta import on\n"
INIT = """\
@on("init")
def init():
    mta.define_spool(path="/nowhere")
    mta.start_esmtp_listener(listen="127.0.0.1:2525", relay_hosts=["127.0.0.1"])
"""


@pytest.fixture
def load(tmp_path: Path):
    loaded: list[ScriptHarness] = []

    def load(text: str = "", others: dict[str, str] | None = None, **options) -> ScriptHarness:
        loaded.append(ScriptHarness.from_text(tmp_path, HEAD + text + INIT, others, **options))
        return loaded[-1]

    yield load
    for harness in loaded:
        harness.close()


# -- loading


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1 / 0\n", 3),
        ("x = (\n", 3),
        ("@on('smtp_helo')\ndef f(): pass\n", 3),
        ("@on('get_egress_pool')\ndef f(name):\n    return mta.make_egress_pool(nam=name)\n", 5),
    ],
    ids=["exception", "syntax", "event", "keyword"],
)
def test_a_script_that_no_node_would_take_fails_the_test_with_file_and_line(load, text, line):
    with pytest.raises(ScriptError) as caught:
        load(text)

    assert Path(caught.value.file).name == "init.py"
    assert caught.value.line == line
    assert f"init.py:{line}: " in str(caught.value)


def test_an_error_at_load_shows_the_lines_of_the_script(load):
    with pytest.raises(ScriptError, match=r"at .*tenants.py:2 in share: return 1 / n"):
        load(
            "from tenants import share\nshare(0)\n",
            {"tenants.py": "def share(n):\n    return 1 / n"},
        )


def test_what_init_declares_can_be_read(load):
    harness = load()

    assert harness.declared.spool.path == Path("/nowhere")
    assert list(harness.declared.listeners) == [("127.0.0.1", 2525)]


def test_warnings_of_the_load_can_be_read(load):
    answer = "    return mta.make_egress_path(tls_prefer_openssl=True)\n"
    harness = load(f"@on('get_egress_path')\ndef f(*a):\n{answer}")

    assert [line for line in harness.warnings if "init.py:5: warning:" in line]


def test_an_edit_holds_after_a_reload_and_a_broken_one_leaves_the_old(load):
    text = "@on('rewrite_delivery_status')\ndef f(*a):\n    return 451\n"
    harness = load(text)

    harness.path.write_text(harness.path.read_text().replace("451", "452"))
    harness.reload()
    harness.path.write_text("x = (")
    with pytest.raises(ScriptError):
        harness.reload()

    assert harness.fire("rewrite_delivery_status", "450 4.2.1 busy") == 452


def test_an_error_of_a_script_is_an_assertion_with_its_lines():
    frame = ScriptFrame("init.py", 7, "f", "look_up(x)")
    error = HookFailedError(
        "probe", file="tenants.py", line=2, message="KeyError: 'x'", trace=(frame,)
    )

    shown = ScriptError(error)

    assert isinstance(shown, AssertionError)
    assert str(shown) == "probe: tenants.py:2: KeyError: 'x'\n  at init.py:7 in f: look_up(x)"
    assert (shown.file, shown.line, shown.reason) == ("tenants.py", 2, "KeyError: 'x'")


# -- firing


def test_an_answer_is_the_value_that_the_script_made(load):
    harness = load(
        "@on('get_queue_config')\ndef f(domain, tenant, campaign, routing_domain):\n"
        "    return mta.make_queue_config(provider_name=tenant or 'none')\n"
    )

    assert harness.fire("get_queue_config", "example.net", "shop").provider_name == "shop"
    assert harness.fire("get_queue_config", tenant="bank").provider_name == "bank"
    assert harness.fire("get_queue_config").provider_name == "none"


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        ("mta.reject(550, '5.1.1 nobody')", Refusal(550, "5.1.1 nobody")),
        ("mta.reject(421, 'later')", Refusal(421, "later")),
        (
            "mta.disconnect(451, '4.7.0 enough', 'FollowWith421')",
            Refusal(451, "4.7.0 enough", "FollowWith421"),
        ),
    ],
)
def test_a_refusal_is_a_value(load, call, refusal):
    harness = load(f"@on('smtp_rcpt_to')\ndef f(recipient, conn):\n    {call}\n")

    assert harness.fire("smtp_rcpt_to", "who@example.org") == refusal


def test_addresses_and_connections_are_given_as_text_and_a_dict(load):
    harness = load(
        "@on('smtp_mail_from')\ndef f(sender, conn):\n"
        "    mta.reject(550, sender.domain + ' ' + conn.get_meta('authn_id'))\n"
    )

    answer = harness.fire("smtp_mail_from", "a@Example.COM", {"authn_id": "shop"})

    assert answer == Refusal(550, "example.com shop")


def test_what_a_handler_notes_on_a_connection_can_be_read(load):
    harness = load(
        "@on('smtp_ehlo')\ndef f(domain, conn, extensions):\n    conn.set_meta('h', domain)\n"
    )
    connection = harness.connection()

    harness.fire("smtp_ehlo", "client.test", connection)

    assert connection.get_meta("h") == "client.test"


def test_what_a_handler_does_to_a_message_can_be_read(load):
    harness = load(
        "@on('message_received')\ndef f(msg):\n"
        "    msg.set_meta('tenant', msg.get_first_named_header_value('X-Tenant'))\n"
        "    msg.remove_all_named_headers('X-Tenant')\n"
        "    msg.append_text_plain('-- \\nbye')\n"
    )
    mail = harness.mail("hello", recipient="b@example.net", headers={"X-Tenant": "shop"})

    harness.fire("message_received", mail)

    assert mail.queue_name == "shop@example.net"
    assert mail.header("X-Tenant") is None
    assert "bye" in mail.body


def test_a_handler_that_fails_fails_the_test_with_the_scripts_lines(load):
    harness = load(
        "def look_up(name):\n    return {}[name]\n"
        "@on('message_received')\ndef f(msg):\n    look_up('shop')\n"
    )

    with pytest.raises(ScriptError) as caught:
        harness.fire("message_received")

    assert caught.value.line == 4
    assert caught.value.reason == "KeyError: 'shop'"
    assert "init.py:7 in f: look_up('shop')" in str(caught.value)
    assert "engine/" not in str(caught.value).replace(str(harness.path), "")


def test_an_endless_handler_fails_the_test_within_its_budget(load):
    harness = load("@on('message_received')\ndef f(msg):\n    while True:\n        pass\n")

    with pytest.raises(ScriptError, match="init.py:"):
        harness.fire("message_received")


@pytest.mark.parametrize(
    ("event", "args", "named", "error", "text"),
    [
        ("smtp_rcpt_too", (), {}, LookupError, "did you mean 'smtp_rcpt_to'"),
        ("smtp_ehlo", (), {}, LookupError, "has no handler of 'smtp_ehlo'"),
        ("smtp_rcpt_to", (), {}, TypeError, "'recipient' must be given"),
        ("smtp_rcpt_to", ("a@b.test", {}, 1), {}, TypeError, "takes no 3 arguments"),
        ("smtp_rcpt_to", ("a@b.test",), {"to": 1}, TypeError, "'to' is given twice, or no"),
    ],
)
def test_wrong_use_is_told_apart_from_a_wrong_script(load, event, args, named, error, text):
    harness = load("@on('smtp_rcpt_to')\ndef f(recipient, conn): pass\n")

    with pytest.raises(error, match=text):
        harness.fire(event, *args, **named)


def test_a_function_of_the_script_is_called_as_handlers_are(load):
    harness = load(
        "def share(n): return 10 / n\n"
        "async def later(n):\n    t = mta.make_throttle('t', '1/h,max_burst=1')\n"
        "    await t.sleep_if_throttled()\n    return n\n"
        "def refuse(): mta.reject(550, 'no')\n"
    )

    assert harness.call("share", 5) == 2
    assert harness.call("later", 7) == 7
    assert harness.call("refuse") == Refusal(550, "no")
    with pytest.raises(ScriptError, match="init.py:3: ZeroDivisionError"):
        harness.call("share", 0)
    with pytest.raises(LookupError, match="no function 'nothing'"):
        harness.call("nothing")


async def test_inside_a_running_loop_it_says_how_it_is_used(tmp_path):
    with pytest.raises(TypeError, match="plain `def test_...`"):
        ScriptHarness.from_text(tmp_path, HEAD + INIT)


# -- the world


def test_lines_of_the_log_are_kept_whatever_their_level(load):
    harness = load(
        "@on('message_received')\ndef f(msg):\n    mta.log_debug('one')\n"
        "    mta.log_warn('two')\n    print('three')\n"
    )

    harness.fire("message_received")

    assert harness.log == [
        LogLine("debug", "one"),
        LogLine("warning", "two"),
        LogLine("info", "three"),
    ]


def test_what_the_script_counts_can_be_read(load):
    harness = load(
        "counter = mta.make_counter('mail', labels=['kind', 'size'])\n"
        "@on('message_received')\ndef f(msg):\n"
        "    counter.inc(kind='a', size=1)\n    counter.inc(3, kind='a', size=2)\n"
        "    counter.inc(5, kind='b', size=1)\n"
    )
    assert harness.counted("mail") == 0

    harness.fire("message_received")

    assert harness.counted("mail") == 9
    assert harness.counted("mail", kind="a") == 4
    assert harness.counted("mail", kind="a", size="2") == 3
    assert harness.counted("mail", kind="c") == 0
    with pytest.raises(LookupError, match="script_letters"):
        harness.counted("letters")


def test_time_stands_still_until_it_is_moved(load):
    harness = load(now="2030-01-31T09:00:00Z")

    harness.advance("1h30m")
    assert harness.now == datetime(2030, 1, 31, 10, 30, tzinfo=UTC)
    harness.move_to("2030-02-01T00:00:00Z")
    assert harness.now == datetime(2030, 2, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="forward only"):
        harness.move_to("2030-01-31T00:00:00Z")


def test_a_throttle_of_the_script_delays_mail(load):
    harness = load(
        "@on('throttle_insert_ready_queue')\ndef f(msg):\n"
        "    mta.make_throttle('t', '1/h,max_burst=1').delay_message_if_throttled(msg)\n"
    )
    harness.fire("throttle_insert_ready_queue")
    mail = harness.mail()

    harness.fire("throttle_insert_ready_queue", mail)
    harness.advance("20m")

    assert mail.delay_s == pytest.approx(2400)


def test_waiting_takes_no_time(load):
    harness = load(
        "@on('get_queue_config')\nasync def f(*a):\n"
        "    t = mta.make_throttle('t', '1/h,max_burst=1')\n"
        "    await t.sleep_if_throttled()\n    return mta.make_queue_config()\n"
    )
    began = harness.now
    harness.fire("get_queue_config")

    with pytest.raises(ScriptError, match=r"init.py:6: waited longer than 10"):
        harness.fire("get_queue_config")

    assert (harness.now - began).total_seconds() == pytest.approx(10)


ASK = (
    "@on('rewrite_delivery_status')\nasync def f(response, domain, *rest):\n"
    "    return 450 + len(await mta.dns.lookup_txt(domain))\n"
)
ZONE = "$ORIGIN example.org.\n@ 60 IN TXT one\n@ 60 IN TXT two\n"


def test_the_dns_knows_the_zones_of_the_test_and_nothing_else(load):
    harness = load(ASK, zones=[ZONE], servfail=["bad.test"])

    assert harness.fire("rewrite_delivery_status", "450 no", "example.org") == 452
    with pytest.raises(ScriptError, match="example.net does not exist"):
        harness.fire("rewrite_delivery_status", "450 no", "example.net")
    with pytest.raises(ScriptError, match="init.py:5"):
        harness.fire("rewrite_delivery_status", "450 no", "bad.test")


def test_the_dns_may_change_and_zones_of_init_count_where_the_test_gives_none(load):
    harness = load(ASK + f"ZONE = {ZONE!r}\n")
    harness.path.write_text(
        harness.path.read_text() + "    mta.dns.configure_test_resolver(zones=[ZONE])\n"
    )
    harness.reload()

    assert harness.fire("rewrite_delivery_status", "450 no", "example.org") == 452
    harness.set_dns([ZONE.replace("@ 60 IN TXT two\n", "")])
    assert harness.fire("rewrite_delivery_status", "450 no", "example.org") == 451


def test_a_request_gets_the_answer_of_the_test(load):
    harness = load(
        "client = mta.http.build_client()\n"
        "@on('http_auth_bearer')\nasync def f(token):\n"
        "    answer = await client.post('https://auth.test/check').body(token).send()\n"
        "    return answer.json()['ok']\n"
    )
    harness.http.answer("POST", "https://auth.test/check", json={"ok": True})

    assert harness.fire("http_auth_bearer", "secret") is True
    assert [request.body for request in harness.http.requests] == [b"secret"]


def test_a_message_that_the_script_makes_can_be_read(load):
    harness = load(
        "@on('message_received')\nasync def f(msg):\n"
        "    content = 'Subject: copy\\r\\n\\r\\nx'\n"
        "    note = mta.make_message('a@example.com', 'b@example.net', content)\n"
        "    await mta.inject_message(note)\n"
    )

    harness.fire("message_received")

    assert [(mail.queue_name, mail.header("Subject")) for mail in harness.injected] == [
        ("example.net", "copy")
    ]


# -- reception


def test_a_message_goes_through_reception_to_its_queue(load):
    harness = load(
        "@on('smtp_rcpt_to')\ndef g(recipient, conn):\n    conn.set_meta('campaign', 'spring')\n"
        "@on('message_received')\ndef f(msg):\n    msg.set_meta('tenant', 'shop')\n"
    )

    reception = harness.receive(recipient="b@example.net")

    assert reception.refusal is None
    assert reception.queue_names == ["spring:shop@example.net"]
    assert reception.mail.header("Received").startswith("from client.example.com (127.0.0.1)")
    assert [record["type"] for record in harness.records] == ["Reception"]


def test_a_message_may_be_made_before_or_meanwhile(load):
    harness = load()
    made = harness.mail("one", recipient="b@example.net")

    assert harness.receive(made).mail.body == "one\n"
    assert harness.receive("two", recipient="b@example.net").mail.body == "two\n"
    with pytest.raises(TypeError, match="made already; recipient, text come too late"):
        harness.receive(made, recipient="c@example.net", text="three")


def test_names_of_this_machine_do_not_show(load):
    reception = load().receive()

    assert reception.exchanges[0].text == "mx.example.com Cirrus"
    assert " by mx.example.com " in reception.mail.header("Received")


def test_relay_rules_are_those_of_the_listener(load):
    refusal = load().receive(client="192.0.2.1").refusal

    assert refusal == Refusal(550, "5.7.1 relaying not permitted")


def test_each_part_of_a_split_transaction_is_a_message(load):
    harness = load(
        "@on('smtp_split_transaction')\ndef f(msg, conn):\n"
        "    return [[one] for one in msg.recipient_list]\n"
    )

    reception = harness.receive(recipient=["a@one.test", "b@two.test"])

    assert reception.queue_names == ["one.test", "two.test"]


def test_a_client_can_be_one_that_authenticated(load):
    harness = load(
        "@on('smtp_auth_plain')\ndef f(authz, authc, password, conn):\n"
        "    return password == 'Right'\n"
    )

    assert harness.receive(client="192.0.2.1", credentials=("shop", "Right")).mail
    refused = harness.receive(client="192.0.2.1", credentials=("shop", "wrong"))
    assert refused.refusal.code == 535
    assert [one.command for one in refused.exchanges] == [
        "",
        "EHLO client.example.com",
        "AUTH PLAIN",
    ]


def test_a_handler_that_fails_at_reception_fails_the_test(load):
    harness = load("@on('message_received')\ndef f(msg):\n    return {}['x']\n")

    with pytest.raises(ScriptError, match=r"init.py:5: KeyError: 'x'"):
        harness.receive()


def test_a_listener_that_init_does_not_declare_is_told(load):
    with pytest.raises(LookupError, match="no listener on 127.0.0.1:26"):
        load().receive(listen="127.0.0.1:26")


def test_a_message_is_signed_as_the_script_asks(load):
    key = "-----BEGIN PRIVATE KEY-----"
    harness = load(
        "@on('message_received')\ndef f(msg):\n"
        "    signer = mta.dkim.ed25519_signer(domain='example.com', selector='s', headers=['From'],"
        " key={'key_data': 'nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A='})\n"
        "    msg.dkim_sign(signer)\n"
    )
    mail = harness.mail()

    harness.fire("message_received", mail)
    signed = harness.receive().mail

    assert len(mail.signers) == 1
    assert "d=example.com" in signed.header("DKIM-Signature")
    assert key not in repr(mail.signers)
