"""Write docs/reference from the code, so that the pages cannot say something else than it does.

    python scripts/make_reference.py            write the pages
    python scripts/make_reference.py --check    say which are stale; exit status 1 if any is

A test runs the check.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from api_reference import make_api_page  # noqa: E402
from command_reference import make_commands_page  # noqa: E402
from event_reference import make_hooks_page  # noqa: E402
from module_reference import (  # noqa: E402
    make_functions_page,
    make_message_page,
    make_modules_page,
)

from engine.base.dkim_signer import (  # noqa: E402
    SIGNER_OPTIONS,
    UNSUPPORTED,
    DkimSigner,
)
from engine.base.metric_names import ENGINE_METRICS  # noqa: E402
from engine.model import egress, listener_options, queue_config  # noqa: E402
from engine.model.egress_options import PATH_NOT_IN_FORCE, PATH_OPTIONS  # noqa: E402
from engine.model.keyword_options import Option  # noqa: E402
from engine.model.log_record import LogRecord, RecordKind  # noqa: E402
from engine.model.retry_schedule import RetrySchedule  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
NOTE = "*Made by `scripts/make_reference.py` from the code; do not edit.*"
#: How converters without an own word for what they take are described.
KINDS = {
    "parse_duration": "duration",
    "_positive": "duration above zero",
    "parse_throttle": "rate",
    "parse_limit": "limit",
    "parse_protocol": "protocol",
    "parse_target": "URL of a node",
    "parse_listen": '`"address:port"`',
    "CidrSet.parse": "list of networks",
    "flag": "True or False",
    "_switch": "True or False",
    "text": "text",
    "_maildir_path": "text",
    "_text": "text",
    "_host_name": "host name",
    "host_name": "host name",
    "_number": "whole number from 1",
    "ip_address": "IP address",
    "key_source": "key source",
    "_key_source": "key source",
    "proxy_server": "`host:port`",
    "_suspend_rule": "`{trigger, duration}`",
    "_pool_entry": "`{name, weight}`",
    "_shrink_entry": "`{interval, policy}`",
    "_meta": "table of values",
    "parse_mx_entry": "hosts, `host:port`, or `{name, addr}`",
    "_layers": "table from networks to options",
    "read_trace_headers": "table",
    "domain_name": "domain name",
    "header_names": "list of header names; From is among them",
    "lifetime": "duration above zero",
    "signing_key": "key source",
}

SOURCE_NOTES = """\
A source leaves from this machine, or by a **proxy**; with a proxy never without it. Of the two
kinds `ha_proxy_server` goes first. Its name is looked up at each connect, every address it has
is tried within `connect_timeout`, and `source_address` is what it is reached from.

* `socks5_proxy_server` with `socks5_proxy_source_address`: the proxy is asked by BIND for the
  source, then to connect, on one connection; that takes a proxy that knows it, such as `cirrus
  proxy`; another that leaves from an address of its own choice is not used. Without a source
  address any SOCKS5 server will do; one that does not say from where it leaves shows as `0.0.0.0`
  in records. User and password are sent where it asks for them.
* `ha_proxy_server` with `ha_proxy_source_address`: a PROXY header, version 2, tells source and
  destination. There is no answer: a source that the proxy does not have shows as a timeout.

The families of source address and destination have to agree; other addresses of a host are left
out.

`suspend_when_unplumbed` takes a source out when its address is not on this machine, or not at
its proxy; `suspend_when_proxy_unhealthy` when its proxy cannot be reached or used. The rule is
`{"trigger": "Immediate", "duration": "5m"}` or `{"trigger": {"Threshold": "3/min"}, ...}`. Mail
of the source goes to the others of its pool; if none is left it is held without burning
attempts. What a destination does never counts. Records name the proxy in `source_address`.\
"""


LISTENER_NOTES = """\
`client_timeout` is how long a client may be silent, take over one line, or leave replies unread;
the header of `require_proxy_protocol` has to be there within it, counted from the connection's
beginning, and so has the hello of `tls_from_first_byte`. Before either of them nothing is said, not
even at the end.

`data_buffer_size` is how much of what a client sends is held before the node gets to it, in octets:
beyond that the connection is not read, and the client waits. One read, of up to 256 KiB, may come
on top. A smaller one saves memory where very many clients send large messages at once.\
"""


def describe_kind(convert: Callable[..., Any]) -> str:
    """Return what a converter takes, in words."""
    # What scripts may call as well has its name among them by now.
    name = convert.__qualname__.removeprefix("mta.")
    if name in KINDS:
        return KINDS[name]
    inner: Mapping[str, Any] = inspect.getclosurevars(convert).nonlocals
    match name.partition(".")[0]:
        case "whole":
            return f"whole number from {inner['least']}"
        case "choice":
            return ", ".join(f"`{member.value}`" for member in inner["kind"])
        case "_one_of":
            return ", ".join(f"`{choice}`" for choice in inner["choices"])
        case "function_of":
            return "function of the script"
        case "list_of":
            return f"list of {describe_kind(inner['convert'])}"
        case "table_of":
            return f"table of {describe_kind(inner['convert'])}s by name"
    raise LookupError(f"say in KINDS what {name} takes")


def describe_default(value: Any) -> str:
    """Return a default as an operator would write it."""
    if value in (None, (), {}):
        return ""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
        return f"`{value[0]}:{value[1]}`"
    if hasattr(value, "networks"):
        return " ".join(f"`{network}`" for network in value.networks)
    if hasattr(value, "to_dict"):
        return f"`{value.to_dict()}`"
    if dataclasses.is_dataclass(value) and hasattr(value, "limit"):
        return f"`{value.limit}`"
    if dataclasses.is_dataclass(value):
        return ""
    return f"`{value}`"


def defaults_of(kind: type) -> dict[str, Any]:
    """Return the defaults of a dataclass by field; fields without one are left out."""
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def make_table(
    options: Mapping[str, tuple[str, Callable[..., Any]]],
    defaults: Mapping[str, Any],
    not_in_force: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> list[str]:
    """Return a table of options: name, what it takes, default, whether it is in force."""
    rows = ["| option | takes | default | |", "|---|---|---|---|"]
    for name, (field, convert) in options.items():
        if name in skip:
            continue
        note = "known, not yet in force" if name in not_in_force else ""
        default = describe_default(defaults.get(field))
        rows.append(f"| `{name}` | {describe_kind(convert)} | {default} | {note} |")
    return rows


def _fields(table: Mapping[str, Option]) -> dict[str, tuple[str, Callable[..., Any]]]:
    return {name: (option.field or name, option.convert) for name, option in table.items()}


VALUES = """\
A *duration* is a number of seconds or text such as `"20m"`, `"5 minutes"`, `"1h30m"`. A *rate* is
text such as `"100/s"`, `"1,000/min"`, `"50/h,max_burst=5"`. A *limit* is a whole number. A
*network* is text such as `"10.0.0.0/8"`. A *key source* is the name of a file or
`{"key_data": "PEM text"}`. An unknown option, and a value that does not fit, is an error at load,
with file and line."""


def make_listener_page() -> str:
    """Return the page of ``start_esmtp_listener``."""
    defaults = defaults_of(listener_options.ListenerOptions)
    lines = ["# Options of an SMTP listener", "", NOTE, ""]
    lines += [
        "`mta.start_esmtp_listener(...)` in `init`. `peer` and `via` lay other options over these",
        "for clients of a network, or for addresses of this machine; a handler of",
        "`get_listener_parameters` does so for one connection. The host name defaults to that of",
        "the machine.",
        "",
        VALUES,
        "",
    ]
    lines += make_table(listener_options._READERS, defaults | {"hostname": None})
    lines += ["", LISTENER_NOTES]
    later = ", ".join(f"`{name}`" for name in sorted(listener_options._NOT_YET))
    lines += [
        "",
        f"Known but not yet in force: {later}.",
        "",
    ]
    return "\n".join(lines)


def make_path_page() -> str:
    """Return the page of ``make_egress_path``."""
    defaults = defaults_of(egress.EgressPath)
    lines = ["# Options of an egress path", "", NOTE, ""]
    lines += ["`mta.make_egress_path(...)`, the answer of `get_egress_path`.", "", VALUES, ""]
    lines += make_table(_fields(PATH_OPTIONS), defaults, PATH_NOT_IN_FORCE)
    lines += [
        "",
        "`enable_mta_sts` is known and not yet in force. `enable_dane` is refused: what asks for",
        "more safety than can be had is an error.",
        "",
    ]
    return "\n".join(lines)


def make_source_page() -> str:
    """Return the page of ``make_egress_source`` and ``make_egress_pool``."""
    lines = ["# Egress sources and pools", "", NOTE, "", VALUES, ""]
    lines += [
        "## Source",
        "",
        "`mta.make_egress_source(...)`, the answer of `get_egress_source`.",
        "",
    ]
    lines += make_table(
        _fields(egress.SOURCE_OPTIONS),
        defaults_of(egress.EgressSource),
        (),
    )
    lines += ["", SOURCE_NOTES, ""]
    lines += [
        "## Pool",
        "",
        "`mta.make_egress_pool(...)`, the answer of `get_egress_pool`. An entry",
        "",
    ]
    lines[-2] += " without a weight has the weight 1; one of weight 0 gets no mail."
    lines += make_table(_fields(egress.POOL_OPTIONS), defaults_of(egress.EgressPool))
    return "\n".join([*lines, ""])


def make_queue_page() -> str:
    """Return the page of ``make_queue_config``."""
    defaults = defaults_of(queue_config.QueueConfig) | defaults_of(RetrySchedule)
    unused = ("strategy", "timerwheel_tick_interval", "shrink_policy")
    lines = ["# Options of a scheduled queue", "", NOTE, ""]
    lines += ["`mta.make_queue_config(...)`, the answer of `get_queue_config`.", "", VALUES, ""]
    lines += make_table(_fields(queue_config.OPTIONS), defaults, unused)
    lines += ["", "## Protocols", "", "| protocol | option | takes |", "|---|---|---|"]
    for name, (_, table, _) in queue_config._PROTOCOLS.items():
        rows = [(option, describe_kind(reader.convert)) for option, reader in table.items()]
        lines += [f"| `{name}` | `{option}` | {takes} |" for option, takes in rows]
        lines += [] if rows else [f"| `{name}` | | |"]
    lines += [
        "",
        'Written as `protocol={"smtp": {"mx_list": ["mail.example.com", "192.0.2.1:2525"]}}`. The',
        "protocol `null` drops what it gets.",
        "",
    ]
    return "\n".join(lines)


def make_signer_page() -> str:
    """Return the page of the DKIM signers."""
    lines = ["# DKIM signers", "", NOTE, ""]
    lines += [
        "`mta.dkim.rsa_sha256_signer(...)` and `mta.dkim.ed25519_signer(...)` return a signer, and",
        "`msg.dkim_sign(signer)` notes it on a message in `smtp_data`, `smtp_split_transaction` or",
        "`message_received`. The message is signed after its last handler, before it is stored:",
        "later edits are covered. Several signers sign in order. Making a signer again with the",
        "same options costs a look-up. A message that cannot be signed is answered 451.",
        "",
        "```python",
        '@on("message_received")',
        "def message_received(msg):",
        "    msg.dkim_sign(",
        "        mta.dkim.rsa_sha256_signer(",
        '            domain="example.com",',
        '            selector="s2025",',
        '            headers=["From", "To", "Subject", "Date", "Message-ID"],',
        '            key="/etc/cirrus/dkim/example.com.key",',
        "            over_sign=True,",
        "        )",
        "    )",
        "```",
        "",
        VALUES,
        "",
    ]
    lines += make_table(_fields(SIGNER_OPTIONS), defaults_of(DkimSigner), skip=UNSUPPORTED)
    refused = ", ".join(f"`{name}`" for name in UNSUPPORTED)
    lines += [
        "",
        "`domain`, `selector`, `headers` and `key` must be given. A key is PEM or DER (PKCS#1 or",
        "PKCS#8), for Ed25519 also the seed in base64; RSA keys have at least 1024 bits. A changed",
        "file counts within five seconds, or `ttl` if that is less; while it is unreadable the key",
        "in use stays. `headers` may name a field several times: the k-th mention signs the k-th",
        "from the bottom. With `over_sign` each name is listed once more than there are fields of",
        "it; with `expiration`, leave a signature more time than `max_age` leaves the message.",
        "",
        f"Not supported, and refused: {refused}.",
        "",
    ]
    return "\n".join(lines)


def make_metrics_page() -> str:
    """Return the page of metrics."""
    lines = ["# Metrics", "", NOTE, "", "Prometheus text at `/metrics` of an HTTP listener.", ""]
    lines += ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in ENGINE_METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.help} |")
    return "\n".join([*lines, ""])


def describe_type(kind: Any) -> str:
    """Return a field's type as it is in JSON."""
    parts = [part for part in get_args(kind) if part not in (type(None), UnsetType)]
    if parts and get_origin(kind) in (Union, UnionType):
        words = " or ".join(describe_type(part) for part in parts)
        return f"{words}, or null" if type(None) in get_args(kind) else words
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inner = (f"`{field.encode_name}`" for field in msgspec.structs.fields(kind))
        return f"object: {', '.join(inner)}"
    names = {"str": "text", "int": "number", "RecordKind": "text"}
    base = get_origin(kind) or kind
    if base is list:
        return f"list of {describe_type(get_args(kind)[0])}"
    return names.get(base.__name__, "object")


def make_record_page() -> str:
    """Return the page of the log record."""
    lines = ["# Log record", "", NOTE, ""]
    lines += [
        "One line of JSON in a zstd segment. Fields are added, never changed: skip what you do not",
        "know. `record_id` is unique per record; `id` is the message's and repeats. Times are UTC.",
        "",
        f"Types: {', '.join(f'`{kind.value}`' for kind in RecordKind)}.",
        "",
        "| field | is | |",
        "|---|---|---|",
    ]
    for field in msgspec.structs.fields(LogRecord):
        note = "absent when unknown" if UnsetType in get_args(field.type) else ""
        lines.append(f"| `{field.encode_name}` | {describe_type(field.type)} | {note} |")
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {
    "hooks.md": make_hooks_page,
    "listener-options.md": make_listener_page,
    "egress-path-options.md": make_path_page,
    "egress-sources.md": make_source_page,
    "queue-options.md": make_queue_page,
    "dkim-signers.md": make_signer_page,
    "functions.md": make_functions_page,
    "message.md": make_message_page,
    "script-modules.md": make_modules_page,
    "metrics.md": make_metrics_page,
    "log-record.md": make_record_page,
    "http-api.md": lambda: make_api_page(NOTE),
    "commands.md": lambda: make_commands_page(NOTE),
}


def find_stale() -> list[str]:
    """Return the names of the pages that differ from what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != make()
    ]


def main() -> int:
    """Write the pages, or check them; return the exit status."""
    if "--check" in sys.argv[1:]:
        stale = find_stale()
        for name in stale:
            print(f"docs/reference/{name} is stale: run scripts/make_reference.py")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
