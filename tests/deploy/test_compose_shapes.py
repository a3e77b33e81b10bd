"""The four shapes as compose files: scripts, ports, volumes and stops agree with each other."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shlex
import subprocess
import tomllib

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.duration import parse_duration
from tests.deploy.deployment import (
    BASE_SHAPING,
    CLOSING_S,
    DEPLOY,
    findings_of,
    flags,
    parse_command,
    place_scripts,
    read_yaml,
)
from tests.fakes.redis_server import PARTS, library_path, redis_server
from tests.samples.running_node import wait_until

COMPOSE = DEPLOY / "compose"
#: Of each shape: nodes, TSAs, servers of Redis, proxies.
SHAPES = {
    "single-node": (1, 1, 0, 0),
    "two-nodes": (2, 2, 1, 0),
    "many-nodes": (3, 2, 6, 0),
    "behind-proxies": (3, 1, 1, 2),
}
#: What the compose files may say of a service: a mistyped key is ignored by nobody but some.
KEYS = set(
    "image restart read_only cap_drop security_opt tmpfs ulimits logging command stop_grace_period"
    " mem_limit healthcheck hostname ports volumes network_mode networks user entrypoint"
    " depends_on".split()
)


def load(shape):
    (document,) = read_yaml(COMPOSE / shape / "compose.yaml")
    return document


def services(shape, program=None):
    found = load(shape)["services"]
    if program is None:
        return found
    if program == "redis":
        return {
            name: one
            for name, one in found.items()
            if "redis" in one["image"] and "entrypoint" not in one
        }
    return {
        name: one
        for name, one in found.items()
        if "cirrus" in one["image"] and one["command"][0] == program
    }


def script(shape, name):
    return (COMPOSE / shape / "etc" / name).read_text()


def constants(shape, name):
    """Return the names that a script gives to literals."""
    found = {}
    for key, value in re.findall(r"^([A-Z]+) = (.+)$", script(shape, name), re.M):
        found[key] = eval(value)
    return found


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


def test_there_is_a_file_for_each_shape_and_no_other():
    assert {path.parent.name for path in COMPOSE.glob("*/compose.yaml")} == set(SHAPES)


def test_it_holds_what_the_shape_is_made_of(shape):
    counts = tuple(len(services(shape, program)) for program in ("run", "tsa", "redis", "proxy"))

    assert counts == SHAPES[shape]
    assert load(shape)["name"] == f"cirrus-{shape}"


def test_no_service_says_what_nobody_knows(shape):
    for name, one in services(shape).items():
        assert set(one) <= KEYS, name


@pytest.mark.slow
def test_the_node_s_script_passes_the_check(shape, tmp_path):
    folder = place_scripts(COMPOSE / shape / "etc", tmp_path)

    assert findings_of(folder / "init.py") == []


@pytest.mark.slow
def test_the_tsa_s_script_passes_the_check(shape, tmp_path):
    folder = place_scripts(COMPOSE / shape / "etc", tmp_path)

    assert findings_of(folder / "tsa.py") == []


def test_nodes_and_tsa_follow_the_same_files(shape):
    sources = re.findall(r'"([^"]+\.toml)"', script(shape, "tsa.py"))

    assert sources == [BASE_SHAPING, "shaping.toml"]
    assert '["/usr/share/cirrus/shaping/base.toml", "shaping.toml"]' in script(shape, "init.py")
    assert parse_shaping(script(shape, "shaping.toml").encode(), "shaping.toml")


def test_each_command_is_one_of_ours(shape):
    for program in ("run", "tsa", "proxy"):
        for one in services(shape, program).values():
            parameters = parse_command(one["command"])
            assert program == "proxy" or str(parameters["policy"]).startswith("/etc/cirrus/")


def test_a_stop_is_not_cut_off_before_its_drain_is_over(shape):
    for program in ("run", "tsa", "proxy"):
        for one in services(shape, program).values():
            parameters = parse_command(one["command"])
            drain_s = float(parameters.get("drain", parameters.get("drain_s", 0.0)))
            assert parse_duration(one["stop_grace_period"]) >= drain_s + CLOSING_S
            # Nothing stands between the signal and the daemon.
            assert "entrypoint" not in one
            assert "init" not in one


def test_nobody_is_root_or_may_write_elsewhere(shape):
    for name, one in services(shape).items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one.get("user", "redis") == "redis", name
        assert "privileged" not in one, name
        assert "cap_add" not in one, name


def test_mail_logs_and_decisions_are_on_volumes_of_their_own(shape):
    document = load(shape)
    used = []
    for program, folders in (
        ("run", {"/var/spool/cirrus", "/var/log/cirrus"}),
        ("tsa", {"/var/lib/cirrus-tsa"}),
    ):
        for one in services(shape, program).values():
            mounts = dict(reversed(mount.split(":")[:2]) for mount in one["volumes"])
            assert set(mounts) == {*folders, "/etc/cirrus"}
            assert "./etc:/etc/cirrus:ro" in one["volumes"]
            used += [mounts[folder] for folder in folders]
    assert len(used) == len(set(used)), "two share a volume"
    assert set(used) <= set(document["volumes"])


def test_what_the_scripts_listen_on_is_what_is_asked_and_published(shape):
    smtp, http = re.findall(r'listen="0\.0\.0\.0:(\d+)"', script(shape, "init.py"))
    (tsa,) = re.findall(r'listen="0\.0\.0\.0:(\d+)"', script(shape, "tsa.py"))

    published = []
    for one in services(shape, "run").values():
        assert [port.rpartition(":")[2] for port in one["ports"]] == [smtp, http]
        assert f"http://127.0.0.1:{http}/api/check-alive/v1" in one["healthcheck"]["test"][-1]
        published += one["ports"]
    for one in services(shape, "tsa").values():
        assert f"http://127.0.0.1:{tsa}/api/check-alive/v1" in one["healthcheck"]["test"][-1]
        assert "ports" not in one
    for one in services(shape, "proxy").values():
        (status,) = flags(one["command"], "--http-listen")
        assert f"http://{status}/api/check-alive/v1" in one["healthcheck"]["test"][-1]
    # Whoever comes in by a published port counts as trusted.
    hosts = [port.rpartition(":")[0].rpartition(":") for port in published]
    assert {host for host, _, _ in hosts} == {"127.0.0.1"}
    assert len({port for _, _, port in hosts}) == len(published)


def test_a_full_disk_replaces_no_container(shape):
    for one in services(shape).values():
        assert "check-liveness" not in str(one.get("healthcheck", ""))


def test_every_node_is_told_of_every_tsa_by_its_name(shape):
    urls = constants(shape, "init.py")["TSA"]
    port = re.findall(r'listen="0\.0\.0\.0:(\d+)"', script(shape, "tsa.py"))[0]

    assert urls == [f"http://{name}:{port}" for name in services(shape, "tsa")]


def test_limits_are_shared_where_there_are_several_nodes(shape):
    nodes, _, servers, _ = SHAPES[shape]
    named = constants(shape, "init.py").get("REDIS", [])
    named = [named] if isinstance(named, str) else named

    assert named == [f"redis://{name}:6379" for name in services(shape, "redis")]
    assert (servers > 0) == (nodes > 1)
    if nodes > 1:
        call = f"mta.configure_redis_throttles(node=REDIS, nodes={nodes})"
        assert call in script(shape, "init.py")


def test_the_scripts_trust_the_network_of_their_file(shape):
    (config,) = load(shape)["networks"]["default"]["ipam"]["config"]
    network = ipaddress.ip_network(config["subnet"])

    for name, key in (("init.py", "TRUSTED"), ("tsa.py", "NODES")):
        assert constants(shape, name)[key] == ["127.0.0.1", "::1", str(network)]
    for one in services(shape).values():
        for host in re.findall(r"172\.30\.\d+\.\d+", str(one.get("networks", ""))):
            assert ipaddress.ip_address(host) in network
            assert ipaddress.ip_address(host) not in ipaddress.ip_network(config["ip_range"])


def test_shapes_can_run_beside_each_other():
    networks = [load(shape)["networks"]["default"]["ipam"]["config"][0] for shape in SHAPES]

    assert len({network["subnet"] for network in networks}) == len(SHAPES)


def test_each_source_is_at_the_proxy_that_has_it():
    text = script("behind-proxies", "sources.toml")
    asked = set(
        re.findall(r'socks5_proxy_server = "(.+)"\nsocks5_proxy_source_address = "(.+)"', text)
    )
    (config,) = load("behind-proxies")["networks"]["default"]["ipam"]["config"]
    gateway = str(next(ipaddress.ip_network(config["subnet"]).hosts()))

    held = set()
    for one in services("behind-proxies", "proxy").values():
        (listen,) = flags(one["command"], "--listen")
        held |= {(listen, source) for source in flags(one["command"], "--allow-source")}
        assert listen.rpartition(":")[0] == gateway
        assert flags(one["command"], "--allow-client") == [config["subnet"]]
        assert one["network_mode"] == "host"
    assert asked == held
    assert len(asked) == 4


def test_every_source_is_in_the_pool_that_queues_use(shape):
    sources = tomllib.loads(script(shape, "sources.toml"))
    queues = tomllib.loads(script(shape, "queues.toml"))

    assert set(sources["pool"][queues["queue"]["default"]["egress_pool"]]) == set(sources["source"])


def redis_options(shape, *left_out):
    """Return the settings of a shape's Redis as arguments, but for what the test chooses."""
    found = []
    for line in script(shape, "redis.conf").splitlines():
        if line and not line.startswith("#"):
            key, *values = shlex.split(line)
            if key not in ("port", "dir", *left_out):
                found += [f"--{key}", *values]
    return found


def ask(server, *words):
    done = subprocess.run(
        [PARTS / "usr" / "bin" / "redis-cli", "-p", str(server.port), *words],
        env={"LD_LIBRARY_PATH": library_path()},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.parametrize("shape", ["two-nodes", "behind-proxies"])
def test_the_redis_starts_keeps_nothing_and_forgets_nothing_by_itself(shape, tmp_path):
    with redis_server(tmp_path, *redis_options(shape)) as server:
        ask(server, "set", "a", "1")
        settings = ask(server, "config", "get", "maxmemory-policy").split()
        kept = ask(server, "config", "get", "save").split()

    assert settings == ["maxmemory-policy", "noeviction"]
    assert kept == ["save"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_time
@pytest.mark.slow
def test_six_servers_become_a_cluster_once(tmp_path):
    members = load("many-nodes")["services"]["redis-cluster"]["command"]
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(len(members)):
            folder = tmp_path / str(number)
            folder.mkdir()
            options = redis_options("many-nodes", "cluster-config-file")
            servers.append(stack.enter_context(redis_server(folder, *options)))
        members = [f"127.0.0.1:{server.port}" for server in servers]
        said = [make_cluster(members) for _ in range(2)]
        wait_until("replicas", lambda: ask(servers[0], "cluster", "nodes").count(" slave ") == 3)
        state = ask(servers[0], "cluster", "info")
        rows = [line.split() for line in ask(servers[0], "cluster", "nodes").splitlines()]

    assert len(members) == 6
    assert "All 16384 slots covered" in said[0]
    assert said[1] == "the cluster is there\n"
    assert "cluster_state:ok" in state
    masters = [row[0] for row in rows if "master" in row[2]]
    assert len(masters) == 3
    assert sorted(row[3] for row in rows if "slave" in row[2]) == sorted(masters)


def make_cluster(members):
    done = subprocess.run(
        ["sh", str(COMPOSE / "many-nodes" / "etc" / "make-cluster.sh"), *members],
        env={"LD_LIBRARY_PATH": library_path(), "PATH": f"{PARTS}/usr/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
