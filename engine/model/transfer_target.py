"""Where mail is transferred to: the URL of another node, and the queue of the mail that goes there.

Place in flow: operators and scripts name a target; ``engine.schedule`` knows the queue by its name,
``engine.deliver.transfer_client`` posts to the URL.

Invariants:
    * One target has one spelling, so one queue: scheme and host in lower case, no default port, a
      slash at the end.
    * User and password are never part of the URL nor of the queue's name, which records show.
    * A queue's name gives its target back, and reads as a queue name without tenant or campaign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote, urlsplit

#: How the names of queues for transfers end.
QUEUE_SUFFIX = ".xfer.kumomta.internal"
INJECT_PATH = "api/xfer/inject/v1"
#: What the protocol is called in the names of ready queues, and in records.
LABEL = "xfer"
DELIVERY_PROTOCOL = "Xfer"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Neither "@" nor "!": both part the names of queues.
_PATH = re.compile(r"[A-Za-z0-9._~%/-]*")
_URL_MAX = 500
_WRONG = "the URL of a node is expected, as in http://10.0.0.2:8000"


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """Another node.

    Attributes:
        url: Its URL without credentials; what follows is the path of its API.
        user: Who we are to it, where its address alone does not let us in.
        password: Shown to it along with the name.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.url

    @property
    def queue_name(self) -> str:
        """Return the name of the queue whose mail goes there."""
        return self.url + QUEUE_SUFFIX

    @property
    def inject_url(self) -> str:
        """Return the URL that messages are posted to."""
        return self.url + INJECT_PATH


def parse_target(value: object) -> TransferTarget:
    """Return the node that a URL names; user and password may stand in it.

    Raises:
        ValueError: It is no such URL. The text does not show it: it may hold a password.
    """
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError(_WRONG)
    if len(value) > _URL_MAX:
        raise ValueError(_WRONG)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(_WRONG) from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0:
        raise ValueError(_WRONG)
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path) or "!" in host:
        raise ValueError(f"{_WRONG}; without query and fragment")
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    url = f"{parts.scheme}://{shown}{parts.path.rstrip('/')}/"
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return TransferTarget(url, user, password)


def target_of(queue_name: str) -> TransferTarget | None:
    """Return where a queue's mail is transferred to; None for any other queue."""
    return _target_of(queue_name) if queue_name.endswith(QUEUE_SUFFIX) else None


def is_transfer_queue(queue_name: str) -> bool:
    """Return whether a queue holds mail that goes to another node."""
    return target_of(queue_name) is not None


@lru_cache(maxsize=4096)
def _target_of(queue_name: str) -> TransferTarget | None:
    try:
        target = parse_target(queue_name.removesuffix(QUEUE_SUFFIX))
    except ValueError:
        return None
    return target if target.queue_name == queue_name else None


def parse_transfer_queue(name: str) -> str:
    """Return the name of a transfer queue, given by its name or by the URL of its target.

    Raises:
        ValueError: It is neither.
    """
    if is_transfer_queue(name):
        return name
    try:
        return parse_target(name.removesuffix(QUEUE_SUFFIX)).queue_name
    except ValueError:
        raise ValueError(
            f"a transfer queue is named URL{QUEUE_SUFFIX}, by the URL of its node"
        ) from None
