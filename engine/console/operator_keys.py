"""Who may come with which key, and in which role: a file like that of OpenSSH.

Place in flow: ``engine.console.server`` reads it for each connection, so that a key that was taken
out is out at once.

Each line is a public key in OpenSSH's format, with options before it: ``role="operator"`` (viewer
without it), ``name="ann"`` (who it is in the audit log; else the comment of the key, else its
fingerprint), ``from="10.0.0.0/8"`` (the only addresses it counts from).

Invariants:
    * Who somebody is comes from the file, never from the client.
    * A line that is not understood admits nobody. An option that would narrow a key down and is not
      known is such a line: a restriction that does nothing is worse than none.

Standard: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import asyncssh

from engine.model.cidr import CidrSet
from engine.model.role import Role, parse_role

#: What may stand before a key; options ``no-...`` may too: the console has nothing they forbid.
_VALUED = frozenset({"role", "name", "from"})
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?(?P<end>,|\s+)')
_KEY_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+\s", re.IGNORECASE)
#: Octets of the file.
FILE_MAX = 1 << 20
NAME_MAX = 64


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who came in.

    Attributes:
        name: Who it is, for the audit log.
        role: What they may do.
    """

    name: str
    role: Role


class _Entry(NamedTuple):
    key: asyncssh.SSHKey
    operator: Operator
    networks: CidrSet | None


@dataclass(frozen=True, slots=True)
class OperatorKeys:
    """Those who may come.

    Attributes:
        entries: Whose keys these are, and from where they count.
        findings: What is wrong with the file, for the log.
    """

    entries: tuple[_Entry, ...] = ()
    findings: tuple[str, ...] = ()

    def find(self, key: asyncssh.SSHKey, address: str) -> Operator | None:
        """Return whose key this is, None for nobody's.

        Args:
            key: The public key that a client shows.
            address: Where it comes from.
        """
        for entry in self.entries:
            if entry.key == key and (entry.networks is None or address in entry.networks):
                return entry.operator
        return None


def parse_operator_keys(text: str) -> OperatorKeys:
    """Return who may come.

    Args:
        text: The file.
    """
    entries = []
    findings = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            entries.append(_parse_line(line))
        except ValueError as error:
            findings.append(f"line {number}: {error}")
    return OperatorKeys(tuple(entries), tuple(findings))


def _parse_line(line: str) -> _Entry:
    options, rest = _split_options(line)
    try:
        key = asyncssh.import_public_key(rest)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ValueError("this is no public key") from error
    role = parse_role(options.get("role", Role.VIEWER.label))
    name = options.get("name") or key.get_comment() or key.get_fingerprint()
    if not name.isprintable() or len(name) > NAME_MAX:
        raise ValueError("the name is too long, or not printable")
    networks = None
    if "from" in options:
        networks = CidrSet.parse([part.strip() for part in options["from"].split(",")])
    return _Entry(key, Operator(name, role), networks)


def _split_options(line: str) -> tuple[dict[str, str], str]:
    """Return the options before a key, and the key."""
    options: dict[str, str] = {}
    at = 0
    while not _KEY_TYPE.match(line, at):
        found = _OPTION.match(line, at)
        if found is None:
            raise ValueError("this is no public key")
        name, value = found["name"].lower(), found["value"]
        if name in _VALUED:
            if not value or name in options:
                raise ValueError(f"{name} wants one value")
            options[name] = re.sub(r"\\(.)", r"\1", value)
        elif name != "restrict" and not name.startswith("no-"):
            raise ValueError(f"the option {name!r} is not known")
        at = found.end()
    return options, line[at:]
