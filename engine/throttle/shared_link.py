"""What shared limits see of the way to other nodes: a place to put questions.

Place in flow: ``shared_limiter`` and ``shared_lease`` put questions; ``redis_link`` answers them.
It is read only where the policy names a Redis, for the library behind it is large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from engine.throttle.redis_scripts import RedisScript

#: Before each key, so that the Redis can be shared with other programs.
PREFIX = "cirrus:"

#: Is told what a script returned, or None.
OnAnswer = Callable[[Any], None]
#: Makes the arguments when the question is sent, not when it is put.
MakeArguments = Callable[[], Sequence[Any]]


class Question(NamedTuple):
    """A script to run on a key."""

    script: RedisScript
    key: str
    arguments: MakeArguments
    on_answer: OnAnswer


class SharedLink(Protocol):
    """The way to other nodes.

    Attributes:
        node_id: Who asks.
        is_alone: Whether nobody can be asked.
        nodes: Nodes that share the limits, as last seen; at least one.
        on_return: Called each time the node stops being alone.
    """

    node_id: str
    is_alone: bool
    nodes: int
    on_return: list[Callable[[], None]]

    def ask(self, question: Question) -> None:
        """Put a question; its ``on_answer`` is called once, never from inside this call."""
