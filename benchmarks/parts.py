"""Where the unpacked real components are.

Place in flow: ``scripts/unpack_parts.sh`` puts them there; every round asks here.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DEBIAN = PROJECT / ".parts" / "debian"
SMTP_SOURCE = DEBIAN / "usr/sbin/smtp-source"
SMTP_SINK = DEBIAN / "usr/sbin/smtp-sink"
POSTFIX_MASTER = DEBIAN / "usr/lib/postfix/sbin/master"


def is_postfix_here() -> bool:
    """Return whether Postfix and its test programs are unpacked."""
    return all(os.access(path, os.X_OK) for path in (SMTP_SOURCE, SMTP_SINK, POSTFIX_MASTER))


@cache
def library_path() -> str:
    """Return the value of LD_LIBRARY_PATH that the unpacked programs need."""
    triplet = f"{platform.machine()}-linux-gnu"
    folders = ("usr/lib/postfix", f"usr/lib/{triplet}", f"lib/{triplet}")
    return ":".join(str(DEBIAN / folder) for folder in folders)


def environment() -> dict[str, str]:
    """Return the environment for an unpacked program."""
    # MAIL_CONFIG: the test programs read a main.cf if there is one; they shall not find another's.
    return {**os.environ, "LD_LIBRARY_PATH": library_path(), "MAIL_CONFIG": "/nonexistent"}
