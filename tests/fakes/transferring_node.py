"""The queues of a node with everything for transfers but the other node, and operators of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine.admin.drain import Drain
from engine.control.transfer_targets import TransferTargets
from tests.fakes.admin_world import AdminWorld
from tests.fakes.queue_world import queue_world

TARGET = "http://10.0.0.2:8000"
QUEUE = "http://10.0.0.2:8000/.xfer.kumomta.internal"


class TransferringNode(AdminWorld):
    """A node as operators of transfers see it.

    Attributes:
        receiving: How many messages are being received.
        has_recovered: Whether the spool has been read.
        hands: What dispatchers hold, by anything.
    """

    def __init__(self, world: Any, folder: Path) -> None:
        super().__init__(world, folder)
        self.receiving = 0
        self.has_recovered = True
        self.hands: dict[Any, SimpleNamespace] = {}
        self.dispatching = SimpleNamespace(dispatchers=self.hands)
        targets = TransferTargets(world.clock.wall)
        self.drain = Drain(
            self,
            world.transferring,
            targets,
            receiving=lambda: self.receiving,
            has_recovered=lambda: self.has_recovered,
        )
        self.drain.open(folder)
        self.transfers = SimpleNamespace(
            targets=targets, transferring=world.transferring, drain=self.drain
        )

    def take_all(self) -> int:
        """Do as the dispatchers of a target do: what may go to it is there, and gone here."""
        count = 0
        for queue in self.world.ready:
            for message in queue.pull(lambda message: message.queue_name == QUEUE):
                self.world.store.remove(message)
                count += 1
        return count


@contextlib.asynccontextmanager
async def transferring_node(folder: Path) -> AsyncIterator[TransferringNode]:
    async with queue_world(folder) as world:
        world.gate.clear()
        made = TransferringNode(world, folder)
        yield made
        made.audit.close()
