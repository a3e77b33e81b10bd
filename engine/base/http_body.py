"""The body of an HTTP request, decompressed as it arrives and never beyond a limit.

Place in flow: used by ``engine.base.http_service`` for each request with a body.

Invariants:
    * Memory is bounded by the limit, however well the body was compressed.

Standard: RFC 9110, 8.4.1 (gzip, deflate).
"""

from __future__ import annotations

import zlib

from engine.base.http_call import HttpRefusalError


class Inflater:
    """Collects a body, decompressed, and stops at a limit."""

    def __init__(self, limit: int, wbits: int | None) -> None:
        self._limit = limit
        self._codec = None if wbits is None else zlib.decompressobj(wbits)
        self._out = bytearray()
        self._is_deflate = wbits == zlib.MAX_WBITS

    def feed(self, piece: bytes) -> None:
        """Take a piece as it came over the wire.

        Raises:
            HttpRefusalError: 413 past the limit, 422 for what does not decompress.
        """
        if self._codec is not None:
            try:
                piece = self._codec.decompress(piece, self._limit + 1 - len(self._out))
            except zlib.error as error:
                if not self._is_deflate or self._out:
                    raise HttpRefusalError(422, "the body cannot be decompressed") from error
                # "deflate" without the zlib wrapper is common enough to be understood.
                self._is_deflate = False
                self._codec = zlib.decompressobj(-zlib.MAX_WBITS)
                self.feed(piece)
                return
        if len(self._out) + len(piece) > self._limit:
            raise HttpRefusalError(413, f"the body has more than {self._limit} octets")
        self._out += piece

    def finish(self) -> bytes:
        """Return the whole body.

        Raises:
            HttpRefusalError: The compressed body was cut short.
        """
        if self._codec is not None and not self._codec.eof:
            raise HttpRefusalError(422, "the compressed body ends too early")
        return bytes(self._out)


def make_inflater(encoding: str, limit: int) -> Inflater:
    """Return a collector for a content encoding.

    Raises:
        HttpRefusalError: The encoding is not known.
    """
    match encoding:
        case "identity" | "":
            return Inflater(limit, None)
        case "gzip" | "x-gzip":
            return Inflater(limit, 16 + zlib.MAX_WBITS)
        case "deflate":
            return Inflater(limit, zlib.MAX_WBITS)
    raise HttpRefusalError(415, f"content encoding {encoding[:40]!r} is not known")
