"""The load generator's way in by HTTP: ``POST /api/inject/v1``.

Place in flow: ``traffic_run`` hands over messages.
"""

from __future__ import annotations

import json

import aiohttp

from engine.tools.traffic_client import TrafficConnectionError
from engine.tools.traffic_content import TrafficMessage
from engine.tools.traffic_options import TrafficOptions
from engine.tools.traffic_tally import Tally

_PATH = "/api/inject/v1"
#: Statuses that say "not now".
_NOT_NOW = frozenset({408, 425, 429})
_MAX_ANSWER = 1 << 20


class HttpInjector:
    """A client of a node's injection.

    Args:
        options: Whom to call, and as whom.
        tally: Where answers are counted.
    """

    def __init__(self, options: TrafficOptions, tally: Tally) -> None:
        host, port = options.target
        shown = f"[{host}]" if ":" in host else host
        self._url = f"http://{shown}:{port}{_PATH}"
        self._tally = tally
        auth = None
        if options.auth_user:
            auth = aiohttp.BasicAuth(options.auth_user, options.auth_password)
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._note_connection)
        self._session = aiohttp.ClientSession(
            auth=auth,
            trace_configs=[trace],
            connector=aiohttp.TCPConnector(limit=options.sessions),
            timeout=aiohttp.ClientTimeout(total=options.timeout_s),
            trust_env=False,
        )

    async def _note_connection(self, *_: object) -> None:
        self._tally.connections += 1

    async def send(self, message: TrafficMessage) -> int:
        """Hand over a message; return an SMTP-like code: 250, 4xx or 5xx.

        Raises:
            TrafficConnectionError: There was no answer.
        """
        request = {
            "envelope_sender": message.sender,
            "recipients": [{"email": recipient} for recipient in message.recipients],
            "content": message.content.decode("utf-8", "replace"),
        }
        try:
            async with self._session.post(self._url, json=request) as answer:
                text = (await answer.content.read(_MAX_ANSWER)).decode("utf-8", "replace")
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TrafficConnectionError(str(error) or type(error).__name__) from error
        self._tally.note_reply("http", status, " ".join(text.split()))
        if status != 200:
            return 451 if status >= 500 or status in _NOT_NOW else 550
        return self._judge(text, len(message.recipients))

    def _judge(self, text: str, recipients: int) -> int:
        try:
            failed = int(json.loads(text).get("fail_count", 0))
        except (ValueError, AttributeError, TypeError):
            self._tally.note_reply("http", 502, "an answer that is no JSON object")
            return 451
        if failed >= recipients:
            return 550
        self._tally.recipients_refused += failed
        return 250

    async def close(self) -> None:
        """End its connections."""
        await self._session.close()
