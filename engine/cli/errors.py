"""What a verb ends with when it cannot do its work.

Place in flow: raised by the ways to a node (``http_node``, ``engine.admin.local_node``) and by
verbs; the command line and the console print the text and end with status 1.
"""

from __future__ import annotations

import click


class NodeRefusedError(click.ClickException):
    """The node said no.

    Attributes:
        status: The HTTP status of the refusal, or what it would be.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class NodeAwayError(click.ClickException):
    """The node gave no answer."""
