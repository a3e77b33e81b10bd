"""Programs of other people on hosts of the shapes: HAProxy, SOCKS servers and clients.

Place in flow: as ``daemons``; the binaries are those that ``make parts`` unpacks.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests.fakes.redis_server import PARTS, library_path
from tests.shapes.daemons import Daemon
from tests.shapes.hosts import Host

HAPROXY = PARTS / "usr/sbin/haproxy"
MICROSOCKS = PARTS / "usr/bin/microsocks"
DANTE = PARTS / "usr/sbin/danted"
NETCAT = PARTS / "bin/nc.openbsd"

#: The source of a connection is what the PROXY header names, its destination likewise.
_HAPROXY = """\
global
 maxconn 200
defaults
 mode tcp
 timeout connect 5s
 timeout client 30s
 timeout server 30s
frontend nodes
 bind 0.0.0.0:{port} accept-proxy
 use_backend by-ipv4 if {{ dst 0.0.0.0/0 }}
 default_backend by-ipv6
backend by-ipv4
 source 0.0.0.0 usesrc clientip
 server there 0.0.0.0:0
backend by-ipv6
 source [::] usesrc clientip
 server there [::]:0
"""
_DANTE = """\
logoutput: stderr
internal: {inner} port = {port}
external: {outer}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 192.0.2.0/24 to: 0.0.0.0/0 }}
socks pass {{ from: 192.0.2.0/24 to: 0.0.0.0/0 }}
"""


def needs(*binaries: Path) -> pytest.MarkDecorator:
    """Mark a test that needs programs of others."""
    missing = [one.name for one in binaries if not one.exists()]
    return pytest.mark.skipif(bool(missing), reason=f"make parts unpacks {', '.join(missing)}")


class Foreign(Daemon):
    """A program that listens at a port; killed in the end."""

    is_ours = False
    port = 1080

    def __init__(self, host: Host, folder: Path, *command: str | Path) -> None:
        libraries = {"LD_LIBRARY_PATH": library_path()}
        super().__init__(host, folder, [str(one) for one in command], env=libraries)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), self.host.inside():
            socket.create_connection((self.host.address, self.port), timeout=1).close()
            return True
        return False


class Haproxy(Foreign):
    """HAProxy that leaves from the source a PROXY header names, where the host has it."""

    def __init__(self, host: Host, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "haproxy.cfg").write_text(_HAPROXY.format(port=self.port))
        super().__init__(host, folder, HAPROXY, "-db", "-f", "haproxy.cfg")


class Microsocks(Foreign):
    """A small SOCKS5 server."""

    def __init__(self, host: Host, folder: Path) -> None:
        super().__init__(host, folder, MICROSOCKS, "-i", "0.0.0.0", "-p", str(self.port))


class Dante(Foreign):
    """The SOCKS server that most distributions have; it leaves from the host's second address."""

    def __init__(self, host: Host, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        inner, outer = host.addresses[:2]
        (folder / "danted.conf").write_text(_DANTE.format(inner=inner, outer=outer, port=self.port))
        super().__init__(host, folder, DANTE, "-f", "danted.conf", "-p", "danted.pid")
