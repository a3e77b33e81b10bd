"""Operators at the SSH console of a running node, with OpenSSH's client."""

from __future__ import annotations

import json
import re
import stat

import pytest

from tests.fakes.node_process import NodeProcess, wait_until
from tests.fakes.ssh_client import SshClient, needs_ssh
from tests.samples.running_node import free_ports

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.slow,
    needs_ssh,
]
ROLES = {"vic": "viewer", "olga": "operator", "ada": "admin"}
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def node(tmp_path, make_node) -> NodeProcess:
    """Return a node with a console; mail of y.test waits, since nobody listens there."""
    (port,) = free_ports(1)
    authorized = SshClient.make_keys(tmp_path, stranger="viewer", **ROLES)
    text = authorized.read_text().splitlines(keepends=True)
    authorized.write_text("".join(text[1:]))
    made = make_node(
        sink=free_ports(1)[0],
        init=(
            f'mta.start_ssh_console(listen="127.0.0.1:{port}", '
            f"host_key={str(tmp_path / 'host_key')!r}, authorized_keys={str(authorized)!r})"
        ),
    )
    made.ssh = SshClient(tmp_path, port)
    return made


def test_ssh_in_a_script_gets_answers_and_exit_statuses(node, tmp_path):
    with node.running():
        node.send("waits")
        run = node.ssh.run
        node.wait_records("TransientFailure", 1)
        listed = run("vic", "queues", "--json")
        made = run("olga", "suspend --domain y.test --reason 'their request' --duration 1h")
        seen = run("vic", "cirrus suspend-list")
        denied = run("vic", "suspend --domain y.test --reason x")
        wrong = run("olga", "suspend --domain y.test")
        unsure = run("olga", "bounce --domain y.test --reason x")
        stranger = run("stranger", "queues")
        script = run("olga", text="whoami\n# nothing\nsuspend-cancel --id nope\nwhoami\n")
        forwarded = run("ada", options=("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:x:25"))
        copied = run("ada", "scp -t /tmp")
        audit = node.json("/api/admin/audit/v1?limit=100")["entries"]

    assert [one["queue_name"] for one in json.loads(listed.stdout)["scheduled"]] == ["y.test"]
    assert (made.returncode, bool(ID.fullmatch(made.stdout.strip()))) == (0, True)
    assert "their request (by olga)" in seen.stdout
    assert (denied.returncode, wrong.returncode, unsure.returncode) == (1, 2, 2)
    assert "for the role operator; you are viewer" in denied.stderr
    assert (stranger.returncode, stranger.stdout) == (255, "")
    assert (script.returncode, script.stdout.count("olga")) == (1, 1)
    assert forwarded.returncode == 255
    assert copied.returncode == 2
    acts = {(one["identity"], one["act"], one["result"]) for one in audit}
    assert {
        ("olga", "suspend", "done"),
        ("vic", "suspend", "denied"),
        ("olga", "suspend-cancel", "refused"),
        ("vic", "console-login", "done"),
        ("127.0.0.1", "console-login", "denied"),
    } <= acts
    assert stat.S_IMODE((tmp_path / "host_key").stat().st_mode) == 0o600


def test_a_person_at_the_console(node):
    with node.running():
        node.send("waits")
        node.wait_records("TransientFailure", 1)
        with node.ssh.terminal("olga") as screen:
            screen.see("Cirrus. You are olga, operator. Type help for the verbs, exit to go.")
            screen.see_prompt()
            screen.type("queues\t")
            screen.see("cirrus> queues")
            screen.type("\r")
            queues = screen.see("y.test")
            screen.see_prompt()
            screen.type("suspend --domain \t")
            screen.see("cirrus> suspend --domain y.test")
            screen.type(" --reason 'too hot'\r")
            made = screen.see("suspended; its id:")
            screen.see_prompt()
            screen.type("bounce --domain y.test --reason 'wrong list'\r")
            screen.see("bounce domain=y.test? [y/N]")
            screen.type("y\r")
            screen.see("the bounce goes on in the background")
            screen.see_prompt()
            node.wait_records("AdminBounce", 1)
            screen.type("set-nothing\r")
            screen.see("there is no 'set-nothing' here")
            screen.type("help bounce\r")
            screen.see("-- more: space, enter, q --")
            screen.type("q")
            screen.see_prompt()
            screen.type("exit\r")
            status = screen.end()

        def audited() -> list[dict[str, str]]:
            return node.json("/api/admin/audit/v1?identity=olga")["entries"]

        # The node hears that the connection is gone when the client does not care any more.
        wait_until("the logout", lambda: audited()[0]["act"] == "console-logout")
        audit = audited()

    assert any(line.startswith("SCHEDULED QUEUE") for line in queues)
    assert any(ID.fullmatch(line) for line in made)
    assert status == 0
    assert [one["act"] for one in audit] == ["console-logout", "bounce", "suspend", "console-login"]
    assert {one["channel"] for one in audit} == {"console"}


def test_a_live_view_at_the_console(node):
    with node.running():
        node.send("waits")
        node.wait_records("TransientFailure", 1)
        with node.ssh.terminal("vic") as screen:
            screen.see_prompt()
            screen.type("top\r")
            screen.see("live  ")
            screen.see("y.test")
            screen.type("2")
            screen.see("[queues]")
            screen.type("fnothing\r")
            screen.see("only 'nothing'")
            screen.type("q")
            screen.see_prompt()
            screen.type("exit\r")
            status = screen.end()
        refused = node.ssh.run("vic", "top")
        once = node.ssh.run("vic", "top --json --once")

    assert status == 0
    assert (refused.returncode, "ssh -t" in refused.stderr) == (2, True)
    assert [one["queue_name"] for one in json.loads(once.stdout)["scheduled"]] == ["y.test"]


def test_a_console_comes_and_goes_with_the_script_and_a_session_outlives_a_reload(node, tmp_path):
    with node.running():
        node.wait_log("SSH console on")
        with node.ssh.terminal("vic") as screen:
            screen.see_prompt()
            node.write("# a reload\n")
            node.wait_log("policy loaded", 2)
            screen.type("whoami\r")
            screen.see("viewer")
            without = node.policy.read_text().replace("mta.start_ssh_console", "dict")
            node.policy.write_text(without)
            wait_until("the end of the session", lambda: screen.end() is not None)
        refused = node.ssh.run("vic", "whoami")
        liveness = node.http("/api/check-liveness/v1")[0]

    assert refused.returncode == 255
    assert liveness == 200
