"""The sink's AUTH: PLAIN and LOGIN against a table.

Place in flow: ``sink_session`` hands it the client's lines and says what it answers.

Standard: RFC 4954, RFC 4616; LOGIN as commonly spoken.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

_USER = "334 VXNlcm5hbWU6"
_PASSWORD = "334 UGFzc3dvcmQ6"  # noqa: S105 - a prompt
_WRONG = "535 5.7.8 user or password is wrong"
_BAD = "501 5.5.2 that is no base64"


class SinkAuth:
    """One exchange.

    Attributes:
        user: Who was named last.
    """

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self._accounts = accounts
        self._mechanism = ""
        self._has_user = False
        self.user = ""

    def begin(self, rest: str) -> str:
        """Return the reply to ``AUTH rest``; 334 asks for another line."""
        mechanism, _, initial = rest.strip().partition(" ")
        self._mechanism = mechanism.upper()
        self._has_user = False
        if self._mechanism not in ("PLAIN", "LOGIN"):
            return "504 5.5.4 PLAIN or LOGIN"
        if initial:
            return self.take("" if initial == "=" else initial)
        return "334 " if self._mechanism == "PLAIN" else _USER

    def take(self, line: str) -> str:
        """Return the reply to a line of the exchange."""
        if line == "*":
            return "501 5.7.0 given up"
        try:
            text = base64.b64decode(line, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return _BAD
        if self._mechanism == "PLAIN":
            fields = text.split("\0")
            if len(fields) != 3:
                return "501 5.5.2 three fields are wanted"
            self.user = fields[1]
            return self._check(fields[2])
        if not self._has_user:
            self._has_user = True
            self.user = text
            return _PASSWORD
        return self._check(text)

    def _check(self, password: str) -> str:
        wanted = self._accounts.get(self.user)
        if wanted is None or not hmac.compare_digest(wanted.encode(), password.encode()):
            return _WRONG
        return "235 2.7.0 welcome"
