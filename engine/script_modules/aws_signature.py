"""Signatures of requests to AWS, version 4: pure.

Place in flow: ``http_client`` signs a request that asked for it, when it is sent.

Standard: AWS Signature Version 4, with the headers in ``Authorization``.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Who signs, and for what.

    Attributes:
        access_key: Id of the key.
        secret_key: The key.
        region: Such as ``eu-west-1``.
        service: Such as ``s3``.
        session_token: Of temporary credentials.
    """

    access_key: str
    secret_key: str
    region: str
    service: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"<credentials for {self.service}>"


def sign_request(
    credentials: AwsCredentials,
    method: str,
    url: str,
    headers: Mapping[str, str],
    payload: bytes,
    at: datetime.datetime,
) -> dict[str, str]:
    """Return the header fields to add to a request.

    Args:
        credentials: Who signs.
        method: Of the request.
        url: Of the request, absolute.
        headers: To be covered beside host and date.
        payload: The body.
        at: The time, in UTC.
    """
    parts = urlsplit(url)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(payload).hexdigest()
    added = {"X-Amz-Date": stamp}
    if credentials.service == "s3":
        added["X-Amz-Content-Sha256"] = digest
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    covered = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    covered |= {name.lower(): value for name, value in added.items()}
    covered["host"] = parts.netloc.rpartition("@")[2]
    names = ";".join(sorted(covered))
    path = parts.path or "/"
    canonical = "\n".join(
        [
            method.upper(),
            path if credentials.service == "s3" else quote(path, safe="/" + _UNRESERVED),
            _canonical_query(parts.query),
            *(f"{name}:{covered[name]}" for name in sorted(covered)),
            "",
            names,
            digest,
        ]
    )
    scope = f"{stamp[:8]}/{credentials.region}/{credentials.service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashed}"
    signature = hmac.new(_signing_key(credentials, stamp[:8]), to_sign.encode(), hashlib.sha256)
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature.hexdigest()}"
    )
    return added


def _canonical_query(query: str) -> str:
    pairs = [
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _signing_key(credentials: AwsCredentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, credentials.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
