"""What a machine tells of itself."""

from __future__ import annotations

import socket

from engine.base import machine_info
from engine.base.machine_info import collect_machine_info


def collect():
    return collect_machine_info(
        node_id="n", process_kind="cirrus", version="1", online_since="2026-01-01T00:00:00Z"
    )


def test_a_machine_has_a_name_cores_and_memory():
    found = collect()

    assert found.hostname == socket.gethostname()
    assert found.num_cores >= 1
    assert found.total_memory_bytes > 1 << 20
    assert found.platform.startswith("linux/")
    assert (found.node_id, found.process_kind, found.version) == ("n", "cirrus", "1")


def test_the_fingerprint_is_the_same_each_time_and_not_the_id_of_the_machine(tmp_path, monkeypatch):
    first = collect().fingerprint
    assert first == collect().fingerprint

    other = tmp_path / "machine-id"
    other.write_text("feedface\n")
    monkeypatch.setattr(machine_info, "_MACHINE_ID", other)
    assert collect().fingerprint not in (first, "feedface")


def test_what_cannot_be_found_out_is_left_open(tmp_path, monkeypatch):
    for name in ("_NETWORKS", "_MACHINE_ID", "_OS_RELEASE", "_CPU_INFO"):
        monkeypatch.setattr(machine_info, name, tmp_path / "none")

    found = collect()

    assert found.mac_address is found.distribution is found.os_version is found.cpu_brand is None


def test_a_container_is_known_by_its_mark(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    mark.touch()
    monkeypatch.setattr(machine_info, "_CONTAINER_MARKS", {mark: "podman"})

    assert collect().container_runtime == "podman"
