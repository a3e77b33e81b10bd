"""The Kubernetes manifests: probes, stops, volumes, rights and names agree with the scripts."""

from __future__ import annotations

import functools
import importlib
import json
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from tests.deploy.deployment import (
    CLOSING_S,
    DEPLOY,
    findings_of,
    parse_command,
    place_scripts,
    read_yaml,
)

FOLDER = DEPLOY / "kubernetes"
EGRESS = FOLDER / "egress"
ALIVE, LIVENESS = "/api/check-alive/v1", "/api/check-liveness/v1"
WORKLOADS = ("cirrus-node", "cirrus-tsa", "cirrus-proxy")
LABEL = "app.kubernetes.io/name"


@functools.cache
def kustomization(folder):
    (document,) = read_yaml(folder / "kustomization.yaml")
    return document


@functools.cache
def manifests():
    found = []
    for folder in (FOLDER, EGRESS):
        for name in kustomization(folder)["resources"]:
            found += read_yaml(folder / name)
    return found


def of_kind(*kinds):
    return [one for one in manifests() if one["kind"] in kinds]


def named(kind, name):
    (found,) = [one for one in of_kind(kind) if one["metadata"]["name"] == name]
    return found


def workload(name):
    (found,) = [
        one
        for one in of_kind("StatefulSet", "DaemonSet", "Deployment")
        if one["metadata"]["name"] == name
    ]
    return found


def pod(name):
    return workload(name)["spec"]["template"]["spec"]


def container(name):
    (found,) = pod(name)["containers"]
    return found


def ports(name):
    return {port["name"]: port["containerPort"] for port in container(name)["ports"]}


def script(name, folder=FOLDER):
    return (folder / "etc" / name).read_text()


# -- files


@pytest.mark.parametrize("folder", [FOLDER, EGRESS], ids=["nodes", "egress"])
def test_each_file_is_named_and_each_name_is_a_file(folder):
    document = kustomization(folder)
    generators = [
        *document["configMapGenerator"],
        *document.get("secretGenerator", []),
    ]
    files = [file for one in generators for file in one["files"]]

    assert sorted(document["resources"]) == sorted(
        path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    assert sorted(files) == sorted(
        str(path.relative_to(folder))
        for part in ("etc", "secrets")
        for path in (folder / part).glob("*.*")
    )
    # An edit is followed in place: another name would restart every pod.
    assert document["generatorOptions"] == {"disableNameSuffixHash": True}


def test_every_namespace_is_made_here():
    made = {one["metadata"]["name"] for one in of_kind("Namespace")}

    assert made == {kustomization(folder)["namespace"] for folder in (FOLDER, EGRESS)}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
@pytest.mark.parametrize("folder", [FOLDER, EGRESS], ids=["nodes", "egress"])
def test_kustomize_makes_what_is_written_here(folder):
    built = render(folder)
    generators = [
        *kustomization(folder)["configMapGenerator"],
        *kustomization(folder).get("secretGenerator", []),
    ]
    written = [
        one for name in kustomization(folder)["resources"] for one in read_yaml(folder / name)
    ]

    assert len(built) == len(written) + len(generators)
    for one in built:
        if one["kind"] in ("StatefulSet", "DaemonSet"):
            (image,) = [each["image"] for each in one["spec"]["template"]["spec"]["containers"]]
            assert image.startswith("registry.example.com/cirrus:")


def render(folder):
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("folder", [FOLDER, EGRESS], ids=["nodes", "egress"])
def test_the_schema_of_kubernetes_knows_all_of_it(folder):
    try:
        kubernetes_validate = importlib.import_module("kubernetes_validate")
    except ImportError:
        pytest.skip("no kubernetes-validate: pip install kubernetes-validate")
    for name in kustomization(folder)["resources"]:
        for one in read_yaml(folder / name):
            kubernetes_validate.validate(one, "1.29", strict=True)


# -- scripts


@pytest.mark.slow
def test_the_node_s_script_passes_the_check(tmp_path):
    secret = FOLDER / "secrets" / "redis.toml"
    folder = place_scripts(FOLDER / "etc", tmp_path, secrets__redis_toml=secret)

    assert findings_of(folder / "init.py") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "name"), [(FOLDER, "tsa.py"), (EGRESS, "proxy.py")], ids=["tsa", "proxy"]
)
def test_the_script_of_a_daemon_passes_the_check(folder, name, tmp_path):
    assert findings_of(place_scripts(folder / "etc", tmp_path) / name) == []


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_command_is_one_of_ours_with_a_script_that_is_mounted(name):
    policy = parse_command(container(name)["args"])["policy"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container(name)["volumeMounts"]}
    folder = EGRESS if name == "cirrus-proxy" else FOLDER

    assert mounts[str(policy.parent)] == "etc"
    assert (folder / "etc" / policy.name).is_file()
    assert "command" not in container(name)


def test_the_secret_is_where_the_script_looks_for_it():
    (path,) = re.findall(r'load_json_or_toml_file\("(.+)"\)', script("init.py"))
    (etc,) = [one for one in pod("cirrus-node")["volumes"] if one["name"] == "etc"]
    (secret,) = [one["secret"] for one in etc["projected"]["sources"] if "secret" in one]
    (generator,) = kustomization(FOLDER)["secretGenerator"]

    assert secret["name"] == generator["name"]
    assert [item["path"] for item in secret["items"]] == [path]
    assert generator["files"] == [f"secrets/{item['key']}" for item in secret["items"]]
    assert set(tomllib.loads((FOLDER / path).read_text())) >= {"node"}


def test_nodes_know_each_tsa_and_count_each_other():
    (urls,) = re.findall(r"^TSA = (.+)$", script("init.py"), re.M)
    tsa = workload("cirrus-tsa")
    count = tsa["spec"]["replicas"]
    secret = tomllib.loads((FOLDER / "secrets" / "redis.toml").read_text())

    assert json.loads(urls) == [
        f"http://cirrus-tsa-{number}.{tsa['spec']['serviceName']}:{ports('cirrus-tsa')['http']}"
        for number in range(count)
    ]
    assert secret["nodes"] == workload("cirrus-node")["spec"]["replicas"]


# -- stops and probes


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_stop_is_not_cut_off_before_its_drain_is_over(name):
    parameters = parse_command(container(name)["args"])
    drain_s = float(parameters.get("drain", parameters.get("drain_s", 0.0)))
    lifecycle = script("lifecycle.py")
    before_s = 0.0
    if name == "cirrus-node":
        before_s = float(re.findall(r"^HAND_ON_S = (\d+)$", lifecycle, re.M)[0])

    grace_s = pod(name)["terminationGracePeriodSeconds"]
    assert grace_s >= before_s + drain_s + CLOSING_S


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_full_disk_restarts_nothing(name):
    one = container(name)

    assert one["livenessProbe"]["httpGet"]["path"] == ALIVE
    assert one.get("startupProbe", one["livenessProbe"])["httpGet"]["path"] == ALIVE
    ready = {"cirrus-tsa": "/tsa/status"}.get(name, LIVENESS)
    assert one["readinessProbe"]["httpGet"]["path"] == ready
    # Half a minute of silence is not death.
    probe = one["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60


@pytest.mark.parametrize(
    ("name", "folder", "file"),
    [
        ("cirrus-node", FOLDER, "init.py"),
        ("cirrus-tsa", FOLDER, "tsa.py"),
        ("cirrus-proxy", EGRESS, "proxy.py"),
    ],
)
def test_ports_are_those_of_the_scripts(name, folder, file):
    listened = dict(re.findall(r'start_(\w+)_listener\(\s*listen="([^"]+)"', script(file, folder)))
    declared = ports(name)

    for kind, listen in listened.items():
        address, _, port = listen.rpartition(":")
        probes = [container(name)[one]["httpGet"] for one in ("livenessProbe", "readinessProbe")]
        if kind == "http" and address == "127.0.0.1":
            assert {(one["host"], one["port"]) for one in probes} == {(address, int(port))}
        else:
            known = {"esmtp": "smtp", "proxy": "socks"}.get(kind, kind)
            assert declared[known] == int(port)
            assert kind != "http" or {one["port"] for one in probes} == {"http"}


def test_services_and_policies_name_ports_and_pods_that_are_there():
    for one in of_kind("Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec = one["spec"]
        selector = spec.get("selector") or spec.get("podSelector")
        selector = selector.get("matchLabels", selector)
        if not selector:
            assert one["metadata"]["name"] == "nothing-else"
            continue
        there = ports(selector[LABEL])
        for port in spec.get("ports", []):
            assert port["targetPort"] in there
        for rule in spec.get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= set(there)
    for name in ("cirrus-node", "cirrus-tsa"):
        service = named("Service", workload(name)["spec"]["serviceName"])["spec"]
        assert service["clusterIP"] == "None"
        # Named also while it takes no mail, or no records.
        assert service["publishNotReadyAddresses"] is True


def test_mail_comes_in_at_port_25_and_needs_no_capability_for_it():
    (smtp,) = [one for one in named("Service", "cirrus")["spec"]["ports"] if one["name"] == "smtp"]

    assert smtp["port"] == 25
    assert ports("cirrus-node")[smtp["targetPort"]] >= 1024


def test_administration_is_for_nodes_and_monitoring_alone():
    allowed = []
    for one in of_kind("NetworkPolicy"):
        for rule in one["spec"].get("ingress", []):
            if {"port": "http"} in rule["ports"]:
                allowed += rule["from"]

    assert {json.dumps(one, sort_keys=True) for one in allowed} == {
        json.dumps(one, sort_keys=True)
        for one in (
            {"podSelector": {"matchLabels": {LABEL: "cirrus-node"}}},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
        )
    }
    assert named("NetworkPolicy", "nothing-else")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress"],
    }


# -- rights and volumes


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_container_is_nobody_and_may_do_nothing(name):
    context = pod(name)["securityContext"]

    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "limits" in container(name)["resources"]
    assert "cpu" not in container(name)["resources"]["limits"]


def test_nobody_has_the_network_of_a_host_but_the_proxies():
    assert [name for name in WORKLOADS if pod(name).get("hostNetwork")] == ["cirrus-proxy"]
    assert (
        named("Namespace", "cirrus")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_mount_is_a_volume_and_each_volume_is_mounted(name):
    claims = workload(name)["spec"].get("volumeClaimTemplates", [])
    volumes = [one["name"] for one in pod(name)["volumes"]]
    volumes += [one["metadata"]["name"] for one in claims]
    mounts = [one["name"] for one in container(name)["volumeMounts"]]

    assert sorted(mounts) == sorted(volumes)


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("cirrus-node", {"/var/spool/cirrus": "spool", "/var/log/cirrus": "logs"}),
        ("cirrus-tsa", {"/var/lib/cirrus-tsa": "state"}),
    ],
)
def test_what_is_to_survive_is_on_claims(name, folders):
    claims = {one["metadata"]["name"] for one in workload(name)["spec"]["volumeClaimTemplates"]}
    mounts = {one["mountPath"]: one["name"] for one in container(name)["volumeMounts"]}

    assert {path: mounts[path] for path in folders} == folders
    assert claims == set(folders.values())
    # Volumes belong to root: the group is how the daemon writes to them.
    assert pod(name)["securityContext"]["fsGroup"] == 10001


def test_no_volume_with_mail_is_deleted_by_a_controller():
    assert workload("cirrus-node")["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert workload("cirrus-node")["spec"]["podManagementPolicy"] == "Parallel"


def test_a_node_may_ask_how_many_there_are_to_be_and_nothing_else():
    (role,) = of_kind("Role")
    (binding,) = of_kind("RoleBinding")

    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["statefulsets/scale"],
            "resourceNames": ["cirrus-node"],
            "verbs": ["get"],
        }
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "cirrus-node"}]
    assert pod("cirrus-node")["serviceAccountName"] == "cirrus-node"
    assert named("ServiceAccount", "cirrus-node")["automountServiceAccountToken"] is False
    for name in ("cirrus-tsa", "cirrus-proxy"):
        assert pod(name)["automountServiceAccountToken"] is False


def test_each_source_is_an_address_that_the_proxies_hold():
    sources = tomllib.loads(script("sources.toml"))
    (held,) = re.findall(r"^SOURCES = (.+)$", script("proxy.py", EGRESS), re.M)
    ours = {one["socks5_proxy_source_address"] for one in sources["source"].values()}
    servers = {one["socks5_proxy_server"] for one in sources["source"].values()}

    assert ours == set(json.loads(held))
    assert {server.rpartition(":")[2] for server in servers} == {
        str(ports("cirrus-proxy")["socks"])
    }
    # Looked up by no name: the resolver for mail does not know those of the cluster.
    assert all(re.fullmatch(r"[0-9.]+:\d+", server) for server in servers)
