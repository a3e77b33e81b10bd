"""Bodies are bounded while they are decompressed, in whatever pieces they come."""

from __future__ import annotations

import gzip
import zlib

import pytest

from engine.base.http_body import make_inflater
from engine.base.http_call import HttpRefusalError


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_body_comes_back_from_any_pieces(encoding, compress, size):
    data = bytes(range(256)) * 20
    packed = compress(data)
    inflater = make_inflater(encoding, len(data))

    for start in range(0, len(packed), size):
        inflater.feed(packed[start : start + size])

    assert inflater.finish() == data


def test_one_octet_too_many_is_refused():
    inflater = make_inflater("gzip", 999)

    with pytest.raises(HttpRefusalError) as caught:
        inflater.feed(gzip.compress(b"x" * 1000))

    assert caught.value.status == 413


def test_an_unknown_encoding_is_refused():
    with pytest.raises(HttpRefusalError) as caught:
        make_inflater("br", 1)

    assert caught.value.status == 415
