"""A stand-in for HashiCorp Vault: answers as a recorded one does, and is no Vault.

The shapes of its answers are those of ``GET /v1/secret/data/:path`` of Vault 1.13, by its
documentation; there is no Vault in Debian to run.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes.web_server import WebServer

TOKEN = "hvs.CAESIJ"
RECORDED: dict[str, Any] = {
    "request_id": "7f3d2b64-8f1f-4a4a-9b51-9f6f4f1a2c11",
    "lease_id": "",
    "renewable": False,
    "lease_duration": 0,
    "data": {
        "data": {},
        "metadata": {
            "created_time": "2024-02-12T10:11:12.123456789Z",
            "custom_metadata": None,
            "deletion_time": "",
            "destroyed": False,
            "version": 3,
        },
    },
    "wrap_info": None,
    "warnings": None,
    "auth": None,
}


class VaultServer:
    """Secrets behind a web server.

    Attributes:
        secrets: Values by path below the mount ``secret``.
        asked: How often it was asked.
        trouble: What it does instead of answering, if anything: ``sealed``, ``slow``, ``odd``,
            ``large``, ``standby``.
    """

    def __init__(self, server: WebServer) -> None:
        self.secrets: dict[str, dict[str, Any]] = {"dkim/example": {"key": "the key", "n": 5}}
        self.asked = 0
        self.trouble = ""
        self._server = server
        server.answer = self.answer  # type: ignore[method-assign]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        match self.trouble:
            case "sealed":
                return _json({"errors": ["Vault is sealed"]}, 503)
            case "slow":
                await asyncio.sleep(3600)
            case "odd":
                return web.Response(text="<html>not found</html>", content_type="text/html")
            case "large":
                return web.Response(body=b"x" * (3 << 20))
            case "standby":
                self.trouble = ""
                raise web.HTTPTemporaryRedirect(request.path)
            case "downgrade":
                raise web.HTTPTemporaryRedirect("ftp://127.0.0.1/")
            case "circle":
                raise web.HTTPTemporaryRedirect(request.path)
        if request.headers.get("X-Vault-Token") != TOKEN:
            return _json({"errors": ["permission denied"]}, 403)
        secret = self.secrets.get(request.path.removeprefix("/v1/secret/data/"))
        if secret is None:
            return _json({"errors": []}, 404)
        return _json(RECORDED | {"data": RECORDED["data"] | {"data": secret}}, 200)


def _json(value: Any, status: int) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")
