"""The operators' web page: a few files that a browser gets from the node itself.

Place in flow: routes of ``engine.base.http_service``. What the page shows and does it asks of the
administrative endpoints, under the rules that hold for everybody; nothing is decided here.

Invariants:
    * A fixed set of files is served, read once: no path of a request ever names a file.
    * The page may load, run and ask nothing but what comes from its own origin, may make no markup
      of text, and may not be shown inside another page.
    * It is for the callers that administration is for; a browser asks for their credentials.

Standard: Content Security Policy Level 3, Trusted Types; RFC 9110 for validators.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService

FOLDER = Path(__file__).with_name("ui")
INDEX = "index.html"
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A node that was updated must not be shown by the page of before.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page.

    Attributes:
        content: Its octets.
        content_type: Its media type.
        etag: Changes with its content.
    """

    content: bytes
    content_type: str
    etag: str


def read_files(folder: Path = FOLDER) -> dict[str, PageFile]:
    """Return the files of the page by name.

    Raises:
        OSError: They cannot be read: the installation is damaged.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        content_type = CONTENT_TYPES.get(path.suffix)
        if content_type is not None:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = PageFile(content, content_type, etag)
    return found


class WebPage:
    """The page of a node."""

    def __init__(self) -> None:
        self._files = read_files()

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""
        for path, function in (
            ("/ui", self._lead_in),
            ("/ui/", self._show_index),
            ("/ui/{file}", self._show_file),
        ):
            service.add_route("GET", path, function, Access.ADMIN, is_page=True)

    async def _lead_in(self, _call: HttpCall) -> web.Response:
        # Relative: the node may be behind a proxy that has it elsewhere.
        return web.Response(status=307, headers={**HEADERS, hdrs.LOCATION: "ui/"})

    async def _show_index(self, call: HttpCall) -> web.Response:
        return self._answer(call, INDEX)

    async def _show_file(self, call: HttpCall) -> web.Response:
        return self._answer(call, call.request.match_info["file"])

    def _answer(self, call: HttpCall, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            raise HttpRefusalError(404, "the page has no such file")
        headers = {**HEADERS, hdrs.ETAG: file.etag}
        if file.etag in call.request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=file.content, content_type=file.content_type, charset="utf-8", headers=headers
        )
