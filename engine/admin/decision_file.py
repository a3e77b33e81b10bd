"""What the automation decided, kept over a restart of the node.

Place in flow: ``engine.admin.decision_subscriber`` reads it at start and writes it after changes;
plain functions of the disk, called in threads.

Invariants:
    * A crash leaves the old content or the new.
    * A file that cannot be understood is as good as none: the daemons tell it all again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from engine.model.decision import Decision, frame_of, parse_frame


class KeptDecisions(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file.

    Attributes:
        is_off: Whether an operator had the node obey nobody.
        frames: By daemon, the frames of decisions in force.
        overlay_origin: The daemon of the overlay.
        overlay: The overlay, as it came.
    """

    is_off: bool = False
    frames: dict[str, list[dict[str, Any]]] = {}
    overlay_origin: str = ""
    overlay: str = ""

    def decisions(self) -> Iterable[tuple[str, list[Decision]]]:
        """Yield the decisions of each daemon."""
        for origin, frames in self.frames.items():
            found = []
            for frame in frames:
                with contextlib.suppress(ValueError):
                    decision = parse_frame(frame)
                    if decision is not None:
                        found.append(decision)
            yield origin, found


def keep(
    decisions: Iterable[tuple[str, Decision]], *, is_off: bool, origin: str, overlay: bytes
) -> KeptDecisions:
    """Return what is to be written.

    Args:
        decisions: Each with its daemon.
        is_off: Whether the node obeys nobody.
        origin: The daemon of the overlay.
        overlay: The overlay, as it came.
    """
    frames: dict[str, list[dict[str, Any]]] = {}
    for name, decision in decisions:
        frames.setdefault(name, []).append(frame_of(decision))
    text = overlay.decode("utf-8", "replace")
    return KeptDecisions(is_off=is_off, frames=frames, overlay_origin=origin, overlay=text)


def load_decisions(path: Path) -> KeptDecisions:
    """Return what was kept; nothing where there is no file, or none that can be understood.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptDecisions)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return KeptDecisions()


def save_decisions(path: Path, kept: KeptDecisions) -> None:
    """Write what is to be kept.

    Raises:
        OSError: It cannot be written; what was kept before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(kept))
    fresh.replace(path)
