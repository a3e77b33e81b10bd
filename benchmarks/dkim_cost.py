"""Messages that one core signs with DKIM in a second, canonicalisation included.

    python -m benchmarks.dkim_cost

Place in flow: the signer is called directly, as ``engine.receive.message_signing`` does in a
thread; no node runs. The goal is 1,500 a second for RSA-2048 and bodies of 10 KB.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from engine.base.dkim_signer import DkimSigner, SharedContent, SignerRegistry, sign_message

GOAL_PER_S = 1500
_HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID"),
    *("Reply-To", "MIME-Version", "Content-Type", "List-Unsubscribe"),
]
_FIELDS = {
    "Received": "from client.example.net (client.example.net [192.0.2.7])\r\n\tby mx.example.com"
    " (Cirrus) with ESMTPS id 0193\r\n\tfor <someone@example.org>; Tue, 4 Mar 2025 09:00:00 +0000",
    "From": "News of the Week <news@example.com>",
    "To": "Some One <someone@example.org>",
    "Subject": "What happened this week, and  what is\r\n\tgoing to happen next",
    "Date": "Tue, 4 Mar 2025 09:00:00 +0000",
    "Message-ID": "<20250304090000.0193@example.com>",
    "Reply-To": "answers@example.com",
    "MIME-Version": "1.0",
    "Content-Type": 'multipart/alternative; boundary="=_0193"',
    "List-Unsubscribe": "<https://example.com/u/0193>, <mailto:u-0193@example.com>",
    "X-Campaign": "weekly-10",
}


@dataclass(frozen=True, slots=True)
class DkimFigure:
    """Signatures per second of CPU time."""

    name: str
    per_s: float


def make_message(body_bytes: int) -> bytes:
    """Return a message of words, some indented and some lines ending in blanks."""
    rng = random.Random(7)
    header = "".join(f"{name}: {value}\r\n" for name, value in _FIELDS.items())
    lines: list[str] = []
    size = 0
    while size < body_bytes:
        words = " ".join("x" * rng.randint(1, 11) for _ in range(rng.randint(0, 11)))
        line = rng.choice(("", "", "", "  ", "\t")) + words + rng.choice(("", "", "", " "))
        lines.append(line)
        size += len(line) + 2
    return f"{header}\r\n".encode() + "\r\n".join(lines).encode()[:body_bytes] + b"\r\n"


def measure(signer: DkimSigner, data: bytes, count: int) -> float:
    """Return the signatures per second of CPU, each of a body of its own."""
    started = time.process_time()
    for number in range(count):
        # Nothing is shared between two messages but the signer.
        content = SharedContent(data, is_wire_ready=True)
        sign_message(b"X-Number: %d\r\n" % number, content, [signer], 1.7e9)
    return count / (time.process_time() - started)


def _pem(key: Any) -> str:
    octets: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return octets.decode()


def run(*, count: int, repeat: int) -> list[DkimFigure]:
    """Return the best of some repetitions for keys and sizes of body."""
    registry = SignerRegistry()
    common: dict[str, Any] = {"domain": "example.com", "selector": "s1", "headers": _HEADERS}
    rsa_key = {"key_data": _pem(rsa.generate_private_key(65537, 2048))}
    ed_key = {"key_data": _pem(ed25519.Ed25519PrivateKey.generate())}
    make: dict[str, Callable[[], DkimSigner]] = {
        "RSA-2048 relaxed": lambda: registry.rsa_sha256_signer(key=rsa_key, **common),
        "RSA-2048 simple": lambda: registry.rsa_sha256_signer(
            key=rsa_key,
            header_canonicalization="Simple",
            body_canonicalization="Simple",
            **common,
        ),
        "Ed25519 relaxed": lambda: registry.ed25519_signer(key=ed_key, **common),
    }
    figures = []
    for size, name in ((10_000, "10 KB"), (1_000_000, "1 MB"), (10_000_000, "10 MB")):
        data = make_message(size)
        calls = max(1, count * 10_000 // size)
        for kind, signer in make.items():
            best = max(measure(signer(), data, calls) for _ in range(repeat))
            figures.append(DkimFigure(f"{kind}, {name}", best))
    return figures


if __name__ == "__main__":
    for figure in run(count=2000, repeat=3):
        print(f"{figure.name:24} {figure.per_s:10,.1f} /s of CPU")
    print(f"goal: {GOAL_PER_S:,} /s for RSA-2048 and 10 KB")
