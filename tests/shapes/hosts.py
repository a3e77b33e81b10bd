"""Hosts of a test: network namespaces, joined by a bridge in a namespace of its own.

Place in flow: ``daemons`` runs programs on them; a test makes the hosts of a deployment shape.

Invariants:
    * The machine's own namespace gets no link, no address and no route: every veth is made in the
      bridge's namespace, and nothing leads out of there.
    * Names hold the process that made them; ``close`` removes its hosts and ends what runs on them,
      ``remove_leftovers`` those of processes that ended without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

PREFIX = "cirrus-test"
NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
#: How long ``ip`` may take, seconds.
_IP_S = 30.0

_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)
_where = threading.local()


def what_is_missing() -> str | None:
    """Return why hosts cannot be made on this machine, None if they can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2: left out"
    name = f"{_own_prefix()}-probe"
    made = _run("ip", "netns", "add", name)
    if made.returncode:
        return f"network namespaces cannot be made here ({made.stderr.strip()}): left out"
    _run("ip", "netns", "del", name)
    return None


def is_on_a_host() -> bool:
    """Return whether this thread's sockets are those of a host that a test made."""
    return getattr(_where, "host", None) is not None


def _run(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=_IP_S, check=False
    )


def _ip(*arguments: str, lines: list[str]) -> None:
    """Run a batch of ``ip``."""
    done = _run("ip", *arguments, "-batch", "-", text="\n".join(lines) + "\n")
    assert done.returncode == 0, f"{done.stderr}\nof:\n" + "\n".join(lines)


def _started(pid: int) -> str | None:
    """Return when a process was started, as the kernel counts; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _own_prefix() -> str:
    """Return what the names of this process's namespaces begin with."""
    return f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}"


def namespaces() -> list[str]:
    """Return the names of all namespaces that tests made and did not remove."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith(PREFIX))


def remove_leftovers() -> list[str]:
    """Remove the hosts of test runs that are over, and end what runs there; return their names."""
    removed = []
    for name in namespaces():
        pid, started = name.removeprefix(f"{PREFIX}-").split("-")[:2]
        if _started(int(pid)) != started:
            _remove(name)
            removed.append(name)
    return removed


def _remove(name: str) -> None:
    # A daemon that was told to end may start no other: two rounds are enough.
    for _ in range(2):
        pids = _run("ip", "netns", "pids", name).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if not pids:
            break
    # Two runs may clear the same leftovers at a time.
    _run("ip", "netns", "del", name)


class Host:
    """A host; made by a network.

    Attributes:
        name: Its name in the test.
        namespace: Its name for ``ip netns``.
        addresses: Without the lengths of their prefixes.
    """

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self.addresses: list[str] = []

    @property
    def address(self) -> str:
        """Return its first address."""
        return self.addresses[0]

    def add_addresses(self, *addresses: str) -> None:
        """Give it further addresses, each with the length of its prefix."""
        lines = []
        for each in addresses:
            # Without the search for duplicates an IPv6 address can be used at once.
            lines.append(f"addr add {each} dev eth0" + (" nodad" if ":" in each else ""))
            self.addresses.append(each.partition("/")[0])
        _ip("-n", self.namespace, lines=lines)

    def remove_address(self, address: str) -> None:
        """Take an address away, as an operator's mistake would."""
        length = "64" if ":" in address else "24"
        _ip("-n", self.namespace, lines=[f"addr del {address}/{length} dev eth0"])
        self.addresses.remove(address)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Have the sockets and processes that this thread makes be those of the host."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        before = getattr(_where, "host", None)
        try:
            there = os.open(NAMESPACES / self.namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(there)
            finally:
                os.close(there)
            _where.host = self.name
            try:
                yield
            finally:
                _enter(home)
                _where.host = before
        finally:
            os.close(home)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Network:
    """A bridge and the hosts at it; nothing else can be reached from them."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._prefix = f"{_own_prefix()}-{next(_serial)}"
        self._bridge = f"{self._prefix}-bridge"
        _ip(lines=[f"netns add {self._bridge}"])
        _ip(
            "-n",
            self._bridge,
            lines=["link set lo up", "link add br0 type bridge", "link set br0 up"],
        )

    def add_host(self, name: str, *addresses: str) -> Host:
        """Return a new host.

        Args:
            name: At most 11 letters.
            addresses: Each with the length of its prefix, such as ``192.0.2.1/24``.
        """
        host = Host(name, f"{self._prefix}-{name}")
        _ip(lines=[f"netns add {host.namespace}"])
        self.hosts[name] = host
        _ip(
            "-n",
            self._bridge,
            lines=[
                f"link add to-{name} type veth peer name eth0 netns {host.namespace}",
                f"link set to-{name} master br0 up",
            ],
        )
        _ip("-n", host.namespace, lines=["link set lo up", "link set eth0 up"])
        host.add_addresses(*addresses)
        return host

    def set_cable(self, host: Host, *, is_plugged: bool) -> None:
        """Pull a host's cable, or plug it in again; the host keeps its addresses."""
        state = "up" if is_plugged else "down"
        _ip("-n", self._bridge, lines=[f"link set to-{host.name} {state}"])

    def close(self) -> None:
        """End what runs on the hosts, and remove them."""
        for name in (*(one.namespace for one in self.hosts.values()), self._bridge):
            _remove(name)
        self.hosts.clear()
