"""Signing of HTTP requests with keys from key sources.

Place in flow: ``http_client`` asks it for what ``request.aws_sign_v4`` names.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.model.keyword_options import Option, key_source, list_of, read_options, text
from engine.script_modules.aws_signature import AwsCredentials, sign_request

OPTIONS: Mapping[str, Option] = {
    "access_key": Option(key_source),
    "secret_key": Option(key_source),
    "region": Option(text),
    "service": Option(text),
    "session_token": Option(key_source),
    "headers": Option(list_of(text)),
}
_REQUIRED = ("access_key", "secret_key", "region", "service")

#: Port: return the secret of a key source.
LoadSecret = Callable[[Any], Awaitable[bytes]]


class RequestSigning:
    """Makes what signs requests.

    Args:
        load_secret: Reads keys.
        wall: Seconds since the epoch.
    """

    def __init__(self, load_secret: LoadSecret, wall: Callable[[], float]) -> None:
        self._load_secret = load_secret
        self._wall = wall

    def make(
        self, options: Mapping[str, Any]
    ) -> Callable[[str, str, Mapping[str, str], bytes], Awaitable[dict[str, str]]]:
        """Return what signs by these options.

        Raises:
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit.
        """
        read = read_options("aws_sign_v4", options, OPTIONS)
        missing = [name for name in _REQUIRED if name not in read]
        if missing:
            raise TypeError(f"aws_sign_v4: missing {', '.join(missing)}")
        wanted = {name.lower() for name in read.get("headers", ())}

        async def sign(
            method: str, url: str, headers: Mapping[str, str], body: bytes
        ) -> dict[str, str]:
            credentials = AwsCredentials(
                await self._text(read["access_key"]),
                await self._text(read["secret_key"]),
                read["region"],
                read["service"],
                await self._text(read["session_token"]) if "session_token" in read else None,
            )
            covered = {name: value for name, value in headers.items() if name.lower() in wanted}
            at = datetime.datetime.fromtimestamp(self._wall(), datetime.UTC)
            return sign_request(credentials, method, url, covered, body, at)

        return sign

    async def _text(self, source: Any) -> str:
        return (await self._load_secret(source)).decode().strip()
