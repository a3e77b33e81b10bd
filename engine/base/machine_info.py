"""What this machine and this process are, for inventories.

Place in flow: collected once, in a thread; shown at ``/api/machine-info``.

Invariants:
    * What cannot be found out is null; nothing here fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
from pathlib import Path

import msgspec

_NETWORKS = Path("/sys/class/net")
_MACHINE_ID = Path("/etc/machine-id")
_OS_RELEASE = Path("/etc/os-release")
_CPU_INFO = Path("/proc/cpuinfo")
_CONTAINER_MARKS = {Path("/.dockerenv"): "docker", Path("/run/.containerenv"): "podman"}
_CGROUP_MARKS = ("kubepods", "docker", "containerd", "libpod", "lxc")


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A machine and a process on it.

    Attributes:
        node_id: The id of the node.
        hostname: The name of the machine.
        mac_address: Of its first network card.
        num_cores: CPUs that the process may use.
        kernel_version, platform, distribution, os_version: What it runs.
        total_memory_bytes: Of the machine.
        container_runtime: What the process is contained by.
        cpu_brand: Of its CPU.
        fingerprint: The same for all processes of a machine, and for no other machine.
        online_since: When the process was started, RFC 3339.
        process_kind: Which program it is.
        version: Of the program.
    """

    node_id: str
    hostname: str
    mac_address: str | None
    num_cores: int
    kernel_version: str
    platform: str
    distribution: str | None
    os_version: str | None
    total_memory_bytes: int | None
    container_runtime: str | None
    cpu_brand: str | None
    fingerprint: str
    online_since: str
    process_kind: str
    version: str


def collect_machine_info(
    *, node_id: str, process_kind: str, version: str, online_since: str
) -> MachineInfo:
    """Return what there is to know; reads files."""
    mac_address = _mac_address()
    release = _os_release()
    hostname = socket.gethostname()
    return MachineInfo(
        node_id=node_id,
        hostname=hostname,
        mac_address=mac_address,
        num_cores=len(os.sched_getaffinity(0)),
        kernel_version=platform.release(),
        platform=f"{platform.system().lower()}/{platform.machine()}",
        distribution=release.get("ID"),
        os_version=release.get("PRETTY_NAME"),
        total_memory_bytes=_total_memory(),
        container_runtime=_container_runtime(),
        cpu_brand=_cpu_brand(),
        fingerprint=_fingerprint(hostname, mac_address),
        online_since=online_since,
        process_kind=process_kind,
        version=version,
    )


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def _mac_address() -> str | None:
    with contextlib.suppress(OSError):
        for card in sorted(_NETWORKS.iterdir()):
            address = _read(card / "address").strip()
            if card.name != "lo" and address.strip("0:"):
                return address
    return None


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in _read(_OS_RELEASE).splitlines())
    return {name: value.strip().strip('"') for name, equals, value in pairs if equals}


def _total_memory() -> int | None:
    with contextlib.suppress(ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container_runtime() -> str | None:
    for path, name in _CONTAINER_MARKS.items():
        if path.exists():
            return name
    groups = _read(Path("/proc/1/cgroup"))
    return next((mark for mark in _CGROUP_MARKS if mark in groups), None)


def _cpu_brand() -> str | None:
    for line in _read(_CPU_INFO).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return None


def _fingerprint(hostname: str, mac_address: str | None) -> str:
    # Not the machine's id itself: that is a secret of the machine.
    known = "\n".join((_read(_MACHINE_ID).strip(), hostname, mac_address or ""))
    return hashlib.sha256(f"cirrus\n{known}".encode()).hexdigest()[:32]
