"""A script of the proxy is judged without a proxy: every finding, at its place."""

from __future__ import annotations

import pytest

from engine.tools.check import policy_kind
from proxy.policy_check import check_policy
from proxy.user_file import PasswordHash

GOOD = """\
import mta.proxy
from mta import on


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(
        listen="127.0.0.1:1080", users_file="users", allow_sources=["192.0.2.7"]
    )
    mta.proxy.start_http_listener(listen="127.0.0.1:8009")


@on("proxy_auth")
def proxy_auth(user, password, conn):
    return False
"""


@pytest.fixture
def findings(tmp_path):
    hashed = PasswordHash(4, 8, 1, b"salt", bytes(32))
    (tmp_path / "users").write_text(f"node:{hashed}\n")
    (tmp_path / "wrong").write_text("node\n")

    def check(*changes):
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        script = tmp_path / "policy.py"
        script.write_text(text)
        return [str(one).replace(f"{tmp_path}/", "") for one in check_policy(script)]

    return check


def test_there_is_nothing_to_say_of_a_good_script(findings):
    assert findings() == []


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("import mta.proxy", "import os", 1, "os"),
        ("def proxy_init():", "def proxy_init(x):", 5, "proxy_init"),
        ('"proxy_auth"', '"proxy_oauth"', 13, "did you mean 'proxy_auth'"),
        ('listen="127.0.0.1:1080"', "lisen=5", 7, "lisen"),
        ("192.0.2.7", "somewhere", 7, "allow_sources: not a network"),
        ("8009", "1080", 10, "two listeners"),
        ("user, password, conn", "user, password", 13, "proxy_auth"),
        ('users_file="users"', 'users_file="gone"', 5, "gone: No such file"),
        ('users_file="users"', 'users_file="wrong"', 5, "wrong:1: a line is"),
        ('users_file="users"', "require_auth=5", 7, "require_auth"),
        (
            'users_file="users"',
            'use_tls=True, tls_certificate="wrong"',
            5,
            "the listener on 127.0.0.1:1080 cannot speak TLS",
        ),
        (
            '"127.0.0.1:8009"',
            '"127.0.0.1:8009", use_tls=True, tls_certificate="gone.pem"',
            5,
            "the listener on 127.0.0.1:8009 cannot speak TLS",
        ),
    ],
)
def test_a_mistake_is_an_error_at_its_line(findings, old, new, line, said):
    (finding,) = findings((old, new))

    assert finding.startswith(f"policy.py:{line}: error: "), finding
    assert said in finding


def test_a_use_that_does_not_fit_is_found_where_nothing_runs(findings):
    (finding,) = findings(("return False", "return mta.proxy.start_listener()"))

    assert finding.startswith("policy.py:15: ")
    assert "start_listener" in finding


def test_a_script_that_is_not_there_is_named(tmp_path):
    (finding,) = check_policy(tmp_path / "gone.py")

    assert "gone.py" in str(finding)


def test_whose_a_script_is_its_events_tell(tmp_path):
    script = tmp_path / "policy.py"
    script.write_text(GOOD)

    assert policy_kind(script) == "policy.proxy"
