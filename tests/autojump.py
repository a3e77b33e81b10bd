"""An event loop in virtual time: hours of waiting pass in milliseconds.

When nothing is ready, loopback traffic first gets one real millisecond to arrive; then the
loop's clock jumps to the next timer instead of waiting for it. Work in threads or other
processes is invisible to the loop: such tests carry ``@pytest.mark.real_time``.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import Any

#: How long loopback traffic may take to show up before time jumps, seconds.
GRACE_S = 0.001


class _JumpingSelector(selectors.BaseSelector):
    """A selector that waits no longer than the grace; the rest is added to the clock."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.jumped_s = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._inner.select(None)
        if timeout <= 0:
            return self._inner.select(0)
        ready = self._inner.select(min(timeout, GRACE_S))
        if not ready:
            self.jumped_s += timeout
        return ready

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()


class AutojumpLoop(asyncio.SelectorEventLoop):
    """A selector loop whose time jumps over waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return time.monotonic() + self._jumping.jumped_s
