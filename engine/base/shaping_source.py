"""Shaping files from disk and from URLs, read into layers.

Place in flow: ``engine.route.shaping_loader`` asks for all of them at each load; a helper that
watches its files itself hands their content to ``parse_shaping``.

Invariants:
    * What has not changed is not parsed again; parsing is done beside the event loop.
    * A URL that fails, or gives what is no shaping file, leaves in force what it gave last.
    * A URL is bounded in time and octets. What is said of it names neither user nor query, which
      may be secret.

Failure: what cannot be read is a finding and an empty layer. Nothing is raised.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from engine.base.data_file import SIZE_MAX, DataFile, DataFileError, parse_data_file
from engine.base.os_reason import os_reason
from engine.model.shaping_finding import FindingList, LoadOptions, Place, Severity, ShapingFinding
from engine.model.shaping_section import ShapingLayer, parse_layer

log = logging.getLogger("cirrus.shaping")

REDIRECTS_MAX = 5
#: URLs that are asked at once.
FETCHES_MAX = 16
#: Port: do work that takes time beside the event loop.
Offload = Callable[[Callable[[], ShapingLayer]], Awaitable[ShapingLayer]]
#: Port: return what a URL gives within a time, seconds; else a ``FetchError``.
Fetch = Callable[[str, float], Awaitable[bytes]]


def is_url(name: str) -> bool:
    """Return whether a source is a URL, not a file."""
    return name.lower().startswith(("http://", "https://"))


def shown_source(name: str) -> str:
    """Return how a source is named to people: a URL without user, password and query."""
    if not is_url(name):
        return name
    try:
        parts = urlsplit(name)
    except ValueError:
        # What is malformed cannot be told from what is secret in it.
        return f"{name.partition(':')[0].lower()}://..."
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def parse_shaping(raw: bytes, name: str, *, is_remote: bool = False) -> ShapingLayer:
    """Return the layer that a text holds; the suffix of its name says whether TOML or JSON.

    Args:
        raw: The content.
        name: The file or URL; without a telling suffix TOML is tried, then JSON.
        is_remote: Whether it came from a URL.

    Raises:
        DataFileError: It is neither.
    """
    file = _parse(raw, name)
    return parse_layer(file.name, file.values, file.line_of, is_remote=is_remote)


def _parse(raw: bytes, name: str) -> DataFile:
    suffix = Path(urlsplit(name).path if is_url(name) else name).suffix.lower()
    shown = shown_source(name)
    if suffix in (".toml", ".json"):
        return parse_data_file(raw, shown, is_json=suffix == ".json")
    try:
        return parse_data_file(raw, shown, is_json=False)
    except DataFileError as no_toml:
        try:
            return parse_data_file(raw, shown, is_json=True)
        except DataFileError as no_json:
            nearer = no_json if raw.lstrip()[:1] == b"{" else no_toml
            text = f"{no_toml.text}; {no_json.text}"
            raise DataFileError(shown, nearer.line, text) from no_json


class FetchError(Exception):
    """A URL could not be read; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a source gave when it was last read well."""

    digest: bytes
    layer: ShapingLayer


@dataclass(frozen=True, slots=True)
class SourceLayers:
    """What all sources gave.

    Attributes:
        layers: One for each that could be read, or could once be read, in order.
        findings: What could not be read.
    """

    layers: tuple[ShapingLayer, ...]
    findings: tuple[ShapingFinding, ...]


async def _in_thread(work: Callable[[], ShapingLayer]) -> ShapingLayer:
    return await asyncio.to_thread(work)


class ShapingSources:
    """Reads the sources of one consumer, time and again."""

    def __init__(self, offload: Offload | None = None, read_url: Fetch | None = None) -> None:
        self._offload = offload or _in_thread
        self._fetch: Fetch = read_url or fetch
        self._known: dict[str, _Known] = {}
        self._failing: dict[str, str] = {}

    async def read(
        self, sources: Sequence[str | ShapingLayer], options: LoadOptions
    ) -> SourceLayers:
        """Return the layers of all sources, in order.

        Args:
            sources: Paths, URLs, or layers that were read already.
            options: What is said of those that cannot be read.
        """
        findings = FindingList()
        turns = asyncio.Semaphore(FETCHES_MAX)
        reads = [self._read_one(one, options, findings, turns) for one in sources]
        found = await asyncio.gather(*reads)
        self._known = {name: known for name, known in self._known.items() if name in sources}
        self._failing = {name: text for name, text in self._failing.items() if name in sources}
        return SourceLayers(tuple(one for one in found if one is not None), tuple(findings.found))

    def known(self, source: str) -> ShapingLayer | None:
        """Return what a file or URL gave when it was last read well, None if it never was."""
        known = self._known.get(source)
        return known.layer if known is not None else None

    async def _read_one(
        self,
        source: str | ShapingLayer,
        options: LoadOptions,
        findings: FindingList,
        turns: asyncio.Semaphore,
    ) -> ShapingLayer | None:
        if isinstance(source, ShapingLayer):
            return source
        if is_url(source):
            if options.skip_remote:
                findings.add(Severity.WARN, _place(source), "is a URL and left out", ())
                return None
            async with turns:
                return await self._read_url(source, options, findings)
        return await self._read_file(source, options, findings)

    async def _read_file(
        self, name: str, options: LoadOptions, findings: FindingList
    ) -> ShapingLayer | None:
        try:
            raw = _read_path(name)
            return await self._layer(raw, name, is_remote=False)
        except OSError as error:
            text = f"cannot be read: {error.strerror or error}"
            findings.add(options.local_load, _place(name), text, ())
        except DataFileError as error:
            findings.add(options.local_load, Place(error.file, error.line), error.text, ())
        return None

    async def _read_url(
        self, url: str, options: LoadOptions, findings: FindingList
    ) -> ShapingLayer | None:
        try:
            raw = await self._fetch(url, options.http_timeout_s)
            layer = await self._layer(raw, url, is_remote=True)
        except FetchError as error:
            place, text = _place(url), str(error)
        except DataFileError as error:
            place, text = Place(error.file, error.line), error.text
        else:
            if self._failing.pop(url, None) is not None:
                log.info("%s can be read again", shown_source(url))
            return layer
        known = self._known.get(url)
        note = "; what it gave last stays in force" if known is not None else ""
        # Said once: a URL is asked again and again, and mostly fails for the same reason.
        if self._failing.get(url) != text:
            log.error("%s: %s%s", place, text, note)
        self._failing[url] = text
        findings.add(options.remote_load, place, text + note, ())
        return known.layer if known is not None else None

    async def _layer(self, raw: bytes, name: str, *, is_remote: bool) -> ShapingLayer:
        digest = hashlib.sha256(raw).digest()
        known = self._known.get(name)
        if known is not None and known.digest == digest:
            return known.layer
        layer = await self._offload(lambda: parse_shaping(raw, name, is_remote=is_remote))
        self._known[name] = _Known(digest, layer)
        return layer


def _place(source: str) -> Place:
    return Place(shown_source(source))


def _read_path(name: str) -> bytes:
    if "\0" in name:
        raise OSError(0, "no file has such a name")
    with Path(name).open("rb") as file:
        return file.read(SIZE_MAX + 1)


async def fetch(url: str, timeout_s: float) -> bytes:
    """Return what a URL gives.

    Args:
        url: An http or https URL.
        timeout_s: The longest that all of it may take.

    Raises:
        FetchError: It gave nothing, or not in time, or too much.
    """
    limits = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s, sock_read=timeout_s)
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(timeout=limits, auto_decompress=False) as session,
            session.get(
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": "cirrus"},
                max_redirects=REDIRECTS_MAX,
            ) as response,
        ):
            if not 200 <= response.status < 300:
                raise FetchError(f"answered with status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FetchError("answered compressed, though it was not asked to")
            return await _read_bounded(response.content)
    except TimeoutError as error:
        raise FetchError(f"gave no answer within {timeout_s:g} s") from error
    except aiohttp.InvalidURL as error:
        raise FetchError("is no URL that can be asked") from error
    except aiohttp.ClientConnectorError as error:
        raise FetchError(f"cannot be reached: {os_reason(error.os_error)}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Only the kind: the text of some holds the whole URL.
        raise FetchError(f"cannot be read: {type(error).__name__}") from error


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    read = bytearray()
    async for chunk in content.iter_any():
        read += chunk
        if len(read) > SIZE_MAX:
            raise FetchError(f"gave more than {SIZE_MAX >> 20} MiB")
    return bytes(read)
