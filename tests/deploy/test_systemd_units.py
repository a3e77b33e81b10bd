"""The systemd units: what they run, how they stop, and what they may not do."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from engine.model.duration import parse_duration
from tests.deploy.deployment import CLOSING_S, DEPLOY, parse_command

UNITS = ("node", "tsa", "proxy")
SYSTEMD = DEPLOY / "systemd"
CIRRUS = "/opt/cirrus/bin/cirrus"
ANALYZE = shutil.which("systemd-analyze")
#: As systemd-analyze counts: 0 is safe, 10 is not.
EXPOSURE_MAX = 2.0

HARDENING = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
}


def read_unit(path):
    """Return the values of each key of a unit, by section and key."""
    section, found = "", {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


@pytest.fixture(params=UNITS)
def name(request):
    return request.param


@pytest.fixture
def unit(name):
    return read_unit(SYSTEMD / f"cirrus-{name}.service")


def test_each_command_is_one_of_ours_and_complete(name, unit):
    (start,) = unit["Service.ExecStart"]
    check, hang_up = unit["Service.ExecReload"]
    binary, *arguments = shlex.split(start)
    checker, *checked = shlex.split(check)
    policy = parse_command(arguments)["policy"]

    assert (binary, checker) == (CIRRUS, CIRRUS)
    assert arguments[0] == {"node": "run"}.get(name, name)
    # A reload is tried before it is asked for, on the script that runs.
    assert parse_command(checked)["policies"] == (policy,)
    assert hang_up == "/bin/kill -HUP $MAINPID"


def test_a_stop_is_not_cut_off_before_its_drain_is_over(name, unit):
    (start,) = unit["Service.ExecStart"]
    drain = parse_command(shlex.split(start)[1:])
    drain_s = float(drain.get("drain", drain.get("drain_s", 0.0)))

    assert parse_duration(*unit["Service.TimeoutStopSec"]) >= drain_s + CLOSING_S
    # The signal is for the daemon alone, and not for a child that mends the spool.
    assert unit["Service.KillMode"] == ["mixed"]
    assert "Service.KillSignal" not in unit
    assert (drain_s > 0) == (name != "tsa")


def test_a_failure_is_followed_by_another_try_for_ever(unit):
    assert unit["Service.Restart"] == ["on-failure"]
    assert unit["Unit.StartLimitIntervalSec"] == ["0"]
    assert unit["Service.RestartPreventExitStatus"] == ["2"]


def test_it_is_nobody_and_may_do_nothing(name, unit):
    user = {"node": "cirrus"}.get(name, f"cirrus-{name}")

    assert unit["Service.User"] == [user]
    assert {key: unit.get(f"Service.{key}") for key in HARDENING} == {
        key: [value] for key, value in HARDENING.items()
    }
    assert unit["Service.SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert int(unit["Service.LimitNOFILE"][0]) >= 65536


def test_it_writes_where_its_data_is_and_nowhere_else(name, unit):
    writes = {
        key: unit[f"Service.{key}"]
        for key in ("ReadWritePaths", "StateDirectory", "LogsDirectory")
        if f"Service.{key}" in unit
    }

    assert (
        writes
        == {
            "node": {"ReadWritePaths": ["/var/spool/cirrus"], "LogsDirectory": ["cirrus"]},
            "tsa": {"StateDirectory": ["cirrus-tsa"]},
            "proxy": {},
        }[name]
    )


def test_no_node_begins_a_spool_on_the_wrong_disk():
    unit = read_unit(SYSTEMD / "cirrus-node.service")

    assert unit["Unit.RequiresMountsFor"] == ["/var/spool/cirrus /var/log/cirrus"]


def test_several_nodes_of_a_host_differ_in_what_they_must():
    one, many = (read_unit(SYSTEMD / f"cirrus-node{at}.service") for at in ("", "@"))

    assert {key: many[key] for key in many if many[key] != one.get(key)} == {
        "Unit.Description": ["Cirrus MTA node %i"],
        # One id for all of them would be that of none.
        "Service.EnvironmentFile": ["-/etc/cirrus/node-%i.env"],
        "Service.Environment": ["CIRRUS_INSTANCE=%i"],
        "Service.LogsDirectory": ["cirrus/%i"],
        "Service.MemoryMax": ["4G"],
    }
    assert set(one) <= set(many)


def test_each_unit_has_a_user_of_its_own_and_its_folders():
    users = re.findall(r"^u (\S+)", (SYSTEMD / "sysusers.d" / "cirrus.conf").read_text(), re.M)
    folders = {
        path: (mode, user, group)
        for path, mode, user, group in re.findall(
            r"^d (\S+)\s+(\S+)\s+(\S+)\s+(\S+)",
            (SYSTEMD / "tmpfiles.d" / "cirrus.conf").read_text(),
            re.M,
        )
    }

    assert users == ["cirrus", "cirrus-tsa", "cirrus-proxy"]
    assert folders["/var/spool/cirrus"] == ("0700", "cirrus", "cirrus")
    # Read by the node, written by nobody but root.
    assert folders["/etc/cirrus/secrets"] == ("0750", "root", "cirrus")


def test_port_25_gives_one_capability_and_nothing_else():
    drop_in = read_unit(SYSTEMD / "drop-ins" / "node-port-25.conf")

    assert drop_in == {
        "Service.CapabilityBoundingSet": ["CAP_NET_BIND_SERVICE"],
        "Service.AmbientCapabilities": ["CAP_NET_BIND_SERVICE"],
        "Service.PrivateUsers": ["no"],
    }


@pytest.fixture
def placed(tmp_path, name):
    """Return a unit with a program that is there."""
    if ANALYZE is None:
        pytest.skip("no systemd-analyze on this machine")
    program = tmp_path / "cirrus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / f"cirrus-{name}.service"
    text = (SYSTEMD / path.name).read_text()
    path.write_text(text.replace(CIRRUS, str(program)).replace("/bin/kill", "/bin/sh"))
    return path


def analyze(*arguments):
    return subprocess.run(
        [ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_systemd_finds_nothing_to_say(placed):
    done = analyze("verify", "--man=no", str(placed))

    about_it = [line for line in (done.stderr + done.stdout).splitlines() if placed.name in line]
    assert about_it == []


@pytest.mark.slow
def test_systemd_calls_it_hardly_exposed(placed):
    done = analyze("security", "--offline=yes", "--no-pager", str(placed))
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze judges no file")

    (exposure,) = re.findall(r"Overall exposure level.*?: ([0-9.]+)", done.stdout)
    assert float(exposure) <= EXPOSURE_MAX
