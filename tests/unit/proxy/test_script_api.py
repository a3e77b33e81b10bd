"""What a script of the proxy declares becomes settings, and what it answers lets people in."""

from __future__ import annotations

import asyncio
import logging

import pytest

from policy.errors import PolicyLoadError
from proxy.authentication import Ends, Identity
from proxy.errors import ConfigurationError
from proxy.script_api import ProxyScript, read_identity
from proxy.settings import ZoneAnswers

HEAD = (
    'import mta\nimport mta.proxy\nfrom mta import on\n\n\n@on("proxy_init")\ndef proxy_init():\n'
)
PLAIN = "mta.proxy.start_proxy_listener()"
AUTH = '\n\n@on("proxy_auth")\ndef proxy_auth(user, password, conn):\n    '
ENDS = Ends(("192.0.2.9", 4711), ("::1", 1080))


class Written:
    """A script in a folder; ``write`` replaces it."""

    def __init__(self, folder):
        self.path = folder / "policy.py"
        self.script = ProxyScript(self.path, lambda: 0.0)

    def write(self, body=PLAIN, rest=""):
        lines = "".join(f"    {line}\n" for line in body.split("\n"))
        self.path.write_text(HEAD + lines + rest)

    def load(self, body=PLAIN, rest=""):
        self.write(body, rest)
        self.script.load()
        return self.script.settings()

    def judge(self, answer, user="node", password="secret"):
        self.load(PLAIN, AUTH + answer + "\n")
        return self.script.authenticate(user, password, ENDS)


@pytest.fixture
def written(tmp_path):
    return Written(tmp_path)


def test_listeners_are_declared_with_their_options(written):
    settings = written.load(
        'mta.proxy.start_proxy_listener(listen="127.0.0.1:1080", users_file="users")\n'
        'mta.proxy.start_proxy_listener(listen="127.0.0.1:1081", allow_clients=["10.0.0.0/8"])\n'
        'mta.proxy.start_http_listener(listen="127.0.0.1:8009")'
    )

    assert [one.listen[1] for one in settings.listeners] == [1080, 1081]
    assert settings.listeners[0].users_file == written.path.parent / "users"
    assert settings.listeners[1].access.may_enter("10.0.0.1")
    assert [one.listen[1] for one in settings.http] == [8009]


def test_names_can_be_answered_by_other_servers_or_from_zones(written):
    zone = "$ORIGIN x.test.\\n@ 60 IN A 192.0.2.1"
    settings = written.load(
        f'{PLAIN}\nmta.dns.configure_resolver(name_servers=["192.0.2.53"])\n'
        f'mta.dns.configure_test_resolver(zones=["{zone}"], servfail=["y.test"])'
    )

    assert settings.name_servers == ("192.0.2.53",)
    assert settings.test_resolver == ZoneAnswers((zone.replace("\\n", "\n"),), ("y.test",))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "no listener for clients"),
        ("mta.proxy.start_http_listener()", "no listener for clients"),
        (f"{PLAIN}\n{PLAIN}", "two listeners on 127.0.0.1:1080"),
        (
            f'{PLAIN}\nmta.proxy.start_http_listener(listen="127.0.0.1:1080")',
            "two listeners on 127.0.0.1:1080",
        ),
        ('mta.proxy.start_proxy_listener(listen="x")', "listen"),
        ("mta.proxy.start_proxy_listener(lisen='x')", "lisen"),
        ("mta.proxy.start_proxy_listener(require_auth=True)", "nothing to judge them"),
        (f"{PLAIN}\nmta.dns.configure_resolver(name_servers=['x'])", "name server 'x'"),
        (f"{PLAIN}\nmta.dns.configure_test_resolver(zones=[5])", "zone file"),
        (f"{PLAIN}\n1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_load(written, body, said):
    with pytest.raises(PolicyLoadError, match=said) as caught:
        written.load(body)

    assert caught.value.file == str(written.path)
    assert caught.value.line is not None


def test_declarations_belong_into_their_event(written):
    written.path.write_text(f"import mta\nimport mta.proxy\n\n{PLAIN}\n")

    with pytest.raises(PolicyLoadError, match="belongs into proxy_init"):
        written.script.load()


def test_rules_for_users_that_nobody_can_be_are_a_warning(written, caplog):
    written.load('mta.proxy.start_proxy_listener(rules=[{"users": ["node"]}])')

    assert "nothing to judge passwords" in caplog.text


def test_two_listeners_may_have_ports_that_the_system_chooses(written):
    body = 'mta.proxy.start_proxy_listener(listen="127.0.0.1:0")'

    assert len(written.load(f"{body}\n{body}").listeners) == 2


def test_a_reload_that_fails_changes_nothing(written, caplog):
    written.load()
    written.write("mta.proxy.start_proxy_listener(listen='x')")

    assert written.script.runtime.reload_if_changed() is None
    assert len(written.script.settings().listeners) == 1
    assert "policy rejected, the running one stays" in caplog.text


def test_a_script_that_fails_later_is_an_error_of_the_configuration(written):
    written.load(f"import random\n{PLAIN}")
    written.script.runtime.epoch.runners["proxy_init"] = broken

    with pytest.raises(ConfigurationError, match="proxy_init"):
        written.script.settings()


def broken():
    from policy.errors import HookFailedError

    raise HookFailedError("proxy_init", file="policy.py", line=7, message="broken")


# -- judging passwords


async def test_without_a_handler_nothing_is_judged(written):
    written.load()

    assert not written.script.can_judge
    assert await written.script.authenticate("node", "secret", ENDS) is None


async def test_a_handler_says_yes_or_no(written):
    judged = written.judge('return user == "node" and password == "secret"')

    assert await judged == Identity(frozenset({"node"}))
    assert written.script.can_judge
    assert await written.script.authenticate("node", "wrong", ENDS) is None


async def test_a_handler_sees_where_the_client_is_from(written):
    judged = written.judge(
        'conn.set_meta("seen", True)\n    return {"identities": ['
        'conn.get_meta("received_from"), conn.get_meta("received_via"),'
        ' conn.get_meta("reception_protocol"), str(conn.get_meta("seen")),'
        ' str(conn.get_meta("nothing"))]}'
    )

    assert (await judged).names == {"192.0.2.9:4711", "[::1]:1080", "SOCKS5", "True", "None"}


@pytest.mark.parametrize(
    "answer",
    [
        "return None",
        "return 1 / 0",
        "return str(user)",
        'return {"groups": ["nodes"]}',
        'mta.log_info("x", every=str(password))',
        "conn.set_meta(len(user), 5)",
        'conn.set_meta("a", [])',
        "while True: pass",
    ],
)
async def test_a_handler_that_fails_lets_nobody_in(written, answer):
    assert await written.judge(answer) is None


async def test_a_handler_may_take_its_time(written):
    written.load(PLAIN, AUTH.replace("def proxy_auth", "async def proxy_auth") + "return True\n")

    assert await written.script.authenticate("node", "secret", ENDS)


async def test_what_goes_wrong_in_a_handler_is_in_the_log(written, caplog):
    await written.judge("return 1 / 0")
    await written.judge('return {"identity": "node"}')

    assert "handler of proxy_auth failed" in caplog.text
    assert "no place for ['identity']" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "identity"),
    [
        (True, Identity(frozenset({"node"}))),
        (False, None),
        (None, None),
        ({"identities": ["a", "b"]}, Identity(frozenset("ab"))),
        ({"identities": [{"identity": "a", "context": "x"}]}, Identity(frozenset("a"))),
        (
            {"identities": ("a",), "groups": ["g"], "peer_address": "x"},
            Identity(frozenset("a"), frozenset("g")),
        ),
    ],
)
def test_an_answer_says_who_it_is(answer, identity):
    assert read_identity(answer, "node") == identity


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "without identities"),
        ({"identities": []}, "without identities"),
        ({"identities": [5]}, "an identity is text"),
        ({"identities": [""]}, "an identity is text"),
        ({"identities": [{"name": "a"}]}, "an identity is text"),
        ({"identities": ["a"], "groups": "g"}, "groups"),
        ({"identities": ["a"], "groups": [5]}, "groups"),
        ({"identities": ["a"], "user": "a"}, "no place for"),
    ],
)
def test_an_answer_that_says_something_else_is_an_error(answer, said):
    with pytest.raises(ValueError, match=said):
        read_identity(answer, "node")


def test_what_a_script_prints_is_in_the_log(written, caplog):
    caplog.set_level(logging.INFO)
    written.load(f'print("hello")\n{PLAIN}')

    assert "script: hello" in caplog.text


@pytest.mark.real_time
async def test_reloads_and_judgements_do_not_meet(written):
    written.load(PLAIN, AUTH + "return True\n")
    written.write(PLAIN, AUTH + "return False\n")
    epoch = await asyncio.to_thread(written.script.runtime.load_if_changed)

    assert await written.script.authenticate("node", "secret", ENDS)
    written.script.runtime.swap(epoch)
    assert await written.script.authenticate("node", "secret", ENDS) is None
