"""samples/proxy/egress.py runs, and its rules hold as its comments say."""

from __future__ import annotations

import shutil

import pytest

from proxy.access import Who
from proxy.policy_check import check_policy
from proxy.script_api import ProxyScript
from proxy.user_file import PasswordHash
from tests.fakes.proxy_process import ProxyProcess
from tests.samples.running_node import ROOT

SAMPLES = ROOT / "samples" / "proxy"
SCRIPT = (SAMPLES / "egress.py").read_text()


def users_text():
    hashed = PasswordHash.make(b"secret")
    return f"shop:{hashed}:transactional\nnews:{hashed}:newsletters\n"


@pytest.fixture
def access(tmp_path):
    shutil.copy(SAMPLES / "egress.py", tmp_path)
    script = ProxyScript(tmp_path / "egress.py", lambda: 0.0)
    script.load()
    (listener,) = script.settings().listeners
    return listener.access


def who(group):
    return Who("127.0.0.1", frozenset({"x"}), frozenset({group}))


def test_there_is_nothing_to_say_of_the_script(tmp_path):
    shutil.copy(SAMPLES / "egress.py", tmp_path)
    (tmp_path / "users").write_text(users_text())

    assert check_policy(tmp_path / "egress.py") == []


def test_each_group_has_addresses_of_its_own(access):
    shop, news = who("transactional"), who("newsletters")

    assert access.may_reach(shop, "192.0.2.10", "203.0.113.9", 25)
    assert access.may_reach(news, "192.0.2.21", "203.0.113.9", 25)
    assert not access.may_reach(shop, "192.0.2.20", "203.0.113.9", 25)
    assert not access.may_reach(news, "192.0.2.10", "203.0.113.9", 25)
    assert access.default_source(news, "203.0.113.9") == "192.0.2.20"
    assert access.default_source(shop, "2001:db8:1::9") == "2001:db8::10"


def test_mail_goes_where_it_may_and_nowhere_else(access):
    shop = who("transactional")

    assert access.may_reach(shop, "192.0.2.10", "198.51.100.25", 2600)
    assert not access.may_reach(shop, "192.0.2.10", "198.51.100.26", 2600)
    assert not access.may_reach(shop, "192.0.2.10", "203.0.113.9", 587)
    assert not access.may_reach(shop, "192.0.2.10", "127.0.0.1", 25)
    assert not access.may_reach(Who("127.0.0.1"), "192.0.2.10", "203.0.113.9", 25)


@pytest.mark.real_time
@pytest.mark.slow
def test_it_runs_and_lets_in_whom_it_knows(tmp_path):
    (tmp_path / "users").write_text(users_text())
    script = SCRIPT
    for old, new in (
        ('"127.0.0.1:1080"', '"127.0.0.1:{port}"'),
        ('"127.0.0.1:8009"', '"127.0.0.1:{http_port}"'),
        ('"192.0.2.10", "2001:db8::10"', '"127.0.0.10"'),
        ('"*:25"', '"127.0.0.1:*"'),
    ):
        assert old in script
        script = script.replace(old, new)
    with ProxyProcess(tmp_path, script=script).running() as proxy, proxy.destination() as there:
        sock = proxy.connect(there.port, user="shop", password="secret")
        assert there.came_from()[0] == "127.0.0.10"
        sock.close()
        with pytest.raises(PermissionError, match="refused"):
            proxy.connect(there.port, user="shop", password="wrong")
        with pytest.raises(PermissionError, match="2"):
            proxy.connect(there.port, source="127.0.0.10", user="news", password="secret")
        assert proxy.json("/proxy/status")["connections"] == 0
