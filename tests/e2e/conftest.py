"""What the scenarios share: a host that takes mail, and nodes that no test leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import NodeProcess


@pytest.fixture
def sink() -> Iterator[LoopbackSink]:
    with LoopbackSink().listening() as sink:
        yield sink


@pytest.fixture
def make_node(tmp_path, sink) -> Iterator[Callable[..., NodeProcess]]:
    """Make nodes that deliver to the sink; what still runs at the end is killed."""
    made: list[NodeProcess] = []

    def make(handlers: str = "", **options) -> NodeProcess:
        folder = options.pop("folder", tmp_path)
        node = NodeProcess(folder, options.pop("sink", sink.port), handlers, **options)
        made.append(node)
        return node

    yield make
    for node in made:
        node.kill()
