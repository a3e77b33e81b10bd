"""A proxy that cannot start says why in one line, with file and line where there is one."""

from __future__ import annotations

import socket
import subprocess

import pytest

from tests.fakes.proxy_process import ProxyProcess, command_line
from tests.fakes.tool_process import ROOT

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SCRIPT = """\
import mta.proxy
from mta import on


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(listen="127.0.0.1:{port}", users_file="users")
    mta.proxy.start_http_listener(listen="127.0.0.1:{http_port}")
"""


def run(*arguments, text=None):
    """Return status, standard output and the lines on standard error."""
    ended = subprocess.run(
        command_line(*map(str, arguments)),
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr.splitlines()


def failure_of(proxy):
    """Return status and last line of a proxy that does not start."""
    status = proxy.launch().wait(20)
    text = proxy.log_text()
    assert "Traceback" not in text, text
    return status, text.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nowhere to listen: give --listen ADDRESS:PORT or --policy FILE"),
        (["--listen", "somewhere"], "--listen"),
        (["--listen", "127.0.0.1:0", "--allow-client", "somewhere"], "--allow-client"),
        (["--listen", "127.0.0.1:0", "--allow-destination", "mx.example"], "--allow-destination"),
        (["--listen", "127.0.0.1:0", "--policy", "x.py"], "the script's to name"),
        (["--lisen"], "--lisen"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_line(arguments, said):
    status, _, lines = run(*arguments)

    assert status == 2
    assert lines[-1].startswith("cirrus: ")
    assert said in lines[-1]


def test_help_is_a_page():
    status, text, _ = run("--help")

    assert status == 0
    for word in ("--allow-destination", "--users", "hash-password", "*:25,465,587,2525", "SIGTERM"):
        assert word in text


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("import mta.proxy", "import mta.proxy\nimport os", "policy.py:2"),
        ("def proxy_init():", "def proxy_init(:", "policy.py:6"),
        ("listen=", "lisen=", "policy.py:7"),
        ('users_file="users"', 'allow_sources=["x"]', "policy.py:7"),
        ("start_http", "start_htp", "policy.py:8"),
        ("users_file", "users_file", "users: No such file"),
        (', users_file="users"', ', use_tls=True, tls_certificate="gone.pem"', "gone.pem"),
    ],
)
def test_a_mistake_in_the_script_is_named(tmp_path, old, new, place):
    assert old in SCRIPT

    status, line = failure_of(ProxyProcess(tmp_path, script=SCRIPT.replace(old, new, 1)))

    assert status == 1
    assert line.startswith("cirrus: ")
    assert place in line


def test_a_mistake_among_the_users_is_named(tmp_path):
    (tmp_path / "users").write_text("# ours\nnode:secret\n")

    status, line = failure_of(ProxyProcess(tmp_path, ("--users", str(tmp_path / "users"))))

    assert status == 1
    assert "users:2: not a hash" in line
    assert "secret" not in line


def test_a_port_in_use_is_named(tmp_path):
    proxy = ProxyProcess(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", proxy.port))
        taken.listen()
        status, line = failure_of(proxy)

    assert status == 1
    assert f"127.0.0.1:{proxy.port}: Address already in use" in line
