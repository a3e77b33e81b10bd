"""What the script of the traffic shaping daemon declares, in ``tsa_init`` only."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | bytes | Mapping[str, str | bytes]

def start_http_listener(
    *,
    listen: str = "127.0.0.1:8008",
    hostname: str | None = None,
    trusted_hosts: Iterable[str] = ...,
    use_tls: bool = False,
    tls_certificate: _KeySource | None = None,
    tls_private_key: _KeySource | None = None,
) -> None:
    """Declare a listener; ``trusted_hosts`` are the networks of nodes that publish and read.

    >>> mta.tsa.start_http_listener(listen="0.0.0.0:8008", trusted_hosts=["192.0.2.0/24"])
    """

def configure_state(*, path: str) -> None:
    """Keep decisions in this folder; /var/spool/cirrus/tsa without. Another counts at a start.

    >>> mta.tsa.configure_state(path="/srv/cirrus/tsa")
    """

def configure_tsa_db_path(path: str) -> None:
    """The same by the name of a file, as older scripts do: its folder is taken.

    >>> mta.tsa.configure_tsa_db_path("/srv/cirrus/tsa/tsa.db")
    """

def set_refresh_interval(duration: _Duration) -> None:
    """How often the shaping files are looked at; 5 s.

    >>> mta.tsa.set_refresh_interval("30s")
    """

def switch_off() -> None:
    """Let the rules decide nothing. Decisions in force run out; without this line rules act again.

    >>> mta.tsa.switch_off()
    """
