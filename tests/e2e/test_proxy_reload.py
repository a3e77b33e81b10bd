"""A running proxy follows its script, its users and its certificate; what is wrong stays out."""

from __future__ import annotations

import signal
import ssl
import subprocess

import pytest

from tests.e2e.test_tls_listeners import name_shown, write_pair
from tests.fakes.proxy_process import ProxyProcess, command_line, echoes
from tests.fakes.tool_process import ROOT
from tests.samples.running_node import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SCRIPT = """\
import mta.proxy
from mta import on


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(listen="127.0.0.1:{port}", allow_destinations=["127.0.0.1:*"])
    mta.proxy.start_http_listener(listen="127.0.0.1:{http_port}")
"""


def refused(proxy, port, **options):
    """Return the code with which a connection is refused, None if it is not."""
    try:
        proxy.connect(port, **options).close()
    except PermissionError as error:
        return str(error)
    return None


def test_other_rules_hold_for_new_clients_and_connections_go_on(tmp_path):
    with ProxyProcess(tmp_path, script=SCRIPT).running() as proxy, proxy.destination() as there:
        before = proxy.connect(there.port)
        proxy.write_script(SCRIPT.replace('"127.0.0.1:*"', '"127.0.0.2:*"'))
        wait_until("the new rules", lambda: refused(proxy, there.port) == "2")

        assert echoes(before)
        proxy.write_script(SCRIPT.replace("listen=", "lisen="))
        line = proxy.wait_log("policy rejected, the running one stays")
        assert "policy.py:7" in line
        assert refused(proxy, there.port) == "2"
        proxy.write_script(SCRIPT)
        wait_until("the old rules", lambda: refused(proxy, there.port) is None)
        assert echoes(before)
        before.close()


def hashed(name, password):
    made = subprocess.run(
        command_line("hash-password", name),
        cwd=ROOT,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return made.stdout


def test_users_come_and_go_with_their_file(tmp_path):
    users = tmp_path / "users"
    users.write_text(hashed("node", "secret"))
    with (
        ProxyProcess(tmp_path, ("--users", str(users))).running() as proxy,
        proxy.destination() as there,
    ):
        assert refused(proxy, there.port) == "refused"
        assert refused(proxy, there.port, user="node", password="wrong") == "refused"
        assert refused(proxy, there.port, user="node", password="secret") is None

        users.write_text(hashed("node", "changed"))
        proxy.signal(signal.SIGHUP)
        proxy.wait_log("was read anew")
        assert refused(proxy, there.port, user="node", password="secret") == "refused"
        assert refused(proxy, there.port, user="node", password="changed") is None

        users.write_text("node\n")
        proxy.wait_log("the users known before stay")
        assert refused(proxy, there.port, user="node", password="changed") is None
        assert "users:1" in proxy.json("/proxy/status")["failing"]
        assert proxy.metric("proxy_policy_failing") == 1


def test_a_new_certificate_is_shown_without_a_restart(tmp_path):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    write_pair(tmp_path, "first.example")
    files = ("--tls-certificate", tmp_path / "cert.pem", "--tls-private-key", tmp_path / "key.pem")

    def shown():
        with proxy.open(tls=context) as sock:
            return name_shown(sock)

    with (
        ProxyProcess(tmp_path, map(str, files)).running() as proxy,
        proxy.destination() as there,
        proxy.connect(there.port, source="127.0.0.7", tls=context) as before,
    ):
        assert shown() == "CN=first.example"
        write_pair(tmp_path, "second.example")
        wait_until("the second certificate", lambda: shown() == "CN=second.example")

        assert echoes(before, b"x" * 100_000)
        assert there.came_from()[0] == "127.0.0.7"
