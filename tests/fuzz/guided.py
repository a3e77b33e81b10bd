"""``python -m tests.fuzz.guided``: the same targets under atheris, which looks for new branches.

Place in flow: ``make fuzz-guided`` runs it for each target. Sequences that reach something new are
kept under ``.fuzz/``, and later runs start from them. Needs ``pip install cirrus-mta[fuzz]``.

    python -m tests.fuzz.guided header -runs=500000      what follows the target is for libFuzzer
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["engine.deliver", "engine.model", "engine.receive", "proxy"]
):
    from tests.fuzz.targets import TARGETS

#: In front of each sequence: what picks the circumstances, and two places to cut at.
_HEAD = 3


def check(name: str, data: bytes) -> None:
    """Put one sequence through a target."""
    if len(data) < _HEAD:
        return
    octets = data[_HEAD:]
    cuts = sorted(place % (len(octets) + 1) for place in data[1:_HEAD])
    TARGETS[name].check(octets, cuts, data[0] % 12)


def corpus_of(name: str) -> Path:
    """Return the folder of a target's sequences, filled with valid ones."""
    folder = Path(".fuzz", name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(TARGETS[name].corpus):
        (folder / f"valid-{number}").write_bytes(bytes([number % 12, 7, 29]) + octets)
    return folder


def main() -> None:
    name, *words = sys.argv[1:]
    folder = corpus_of(name)
    findings = f"-artifact_prefix={folder}/finding-"
    atheris.Setup([sys.argv[0], *words, findings, str(folder)], lambda data: check(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
