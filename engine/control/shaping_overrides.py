"""The overlay of the automation that is in force here: a layer over all shaping files.

Place in flow: written by ``engine.admin.decision_subscriber``; ``engine.helpers.shaping_keeper``
lays it over the files of the policy.

Invariants:
    * The last good overlay stays while no daemon can be reached.
"""

from __future__ import annotations

from engine.control.change_notice import ChangeNotice
from engine.model.shaping_section import ShapingLayer


class ShapingOverrides:
    """The overlay of this node.

    Attributes:
        on_change: Called after each change.
        origin: The daemon that it is of; empty while there is none.
        text: The overlay as it came, so that it can be kept over a restart.
    """

    def __init__(self) -> None:
        self._notice = ChangeNotice()
        self.on_change = self._notice.on_change
        self.origin = ""
        self.text = b""
        self._layer: ShapingLayer | None = None

    @property
    def layers(self) -> tuple[ShapingLayer, ...]:
        """Return what is laid over the shaping files."""
        return () if self._layer is None else (self._layer,)

    def replace(self, origin: str, text: bytes, layer: ShapingLayer) -> bool:
        """Return whether an overlay says something else than the one before.

        Args:
            origin: The URL of the daemon.
            text: What it gave.
            layer: What that holds.
        """
        if origin == self.origin and text == self.text:
            return False
        self.origin, self.text, self._layer = origin, text, layer
        self._notice()
        return True

    def clear(self) -> bool:
        """Return whether there was an overlay to be dropped."""
        if self._layer is None:
            return False
        self.origin, self.text, self._layer = "", b"", None
        self._notice()
        return True
