"""Frozen settings of the daemon, from the command line or from its script.

Place in flow: made by ``tsa.__main__`` or ``tsa.script_api``; read by ``tsa.app``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.base.http_service import LOOPBACK
from engine.model.cidr import CidrSet

#: Where the daemon listens when nothing is said.
LISTEN = ("127.0.0.1", 8008)
LOOPBACK_ONLY = CidrSet.parse(LOOPBACK)
#: Where it keeps its decisions when nothing is said.
STATE = Path("/var/spool/cirrus/tsa")
#: How often the shaping files are looked at, seconds. Only what changed is read and parsed.
REFRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class TsaListener:
    """One HTTP listener.

    Attributes:
        hostname: Shown in the certificate.
        trusted_hosts: Networks of nodes that may publish and read.
        tls_certificate, tls_private_key: Key sources; a certificate is made without.
    """

    listen: tuple[str, int] = LISTEN
    hostname: str = "localhost"
    trusted_hosts: CidrSet = LOOPBACK_ONLY
    use_tls: bool = False
    tls_certificate: Any = field(default=None, repr=False)
    tls_private_key: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TestResolver:
    """Names answered from given zones only.

    Attributes:
        zones: Texts of zone files.
        servfail: Names whose look-up fails.
    """

    zones: tuple[str, ...]
    servfail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TsaSettings:
    """How the daemon runs.

    Attributes:
        shaping: Files and URLs of rules; later ones override.
        state: The folder of its decisions.
        is_switched_off: Whether rules decide nothing; decisions in force run out.
        name_servers: Asked instead of those of the system.
        refresh_s: How often the shaping files are looked at, seconds.
    """

    listeners: tuple[TsaListener, ...] = (TsaListener(),)
    shaping: tuple[str, ...] = ()
    state: Path = STATE
    is_switched_off: bool = False
    name_servers: tuple[str, ...] | None = None
    test_resolver: TestResolver | None = None
    refresh_s: float = REFRESH_S
