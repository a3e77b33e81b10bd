"""Messages for another node, one at a time.

A message that is set aside is posted to the other node, which goes on with it as it is: metadata,
schedule, attempts, due time. It counts in the events after which the queue of a message is named:
``message_received`` and the SMTP events before it, ``xfer_message_received``,
``message_requeued``, ``message_enumerated``. The other node has to trust this one's address
(``trusted_hosts``); a user and password in the URL are shown to it, where its rules ask for them.
"""

from collections.abc import Sequence

from . import Message

def xfer(msg: Message, target: str, reason: str | None = None) -> None:
    """Have a message transferred to another node, given by the URL of its HTTP listener.

    A message that is to go there already is left alone; one that was to go elsewhere goes here.
    With a reason the move is an AdminRebind record. ValueError: it is no such URL.

    >>> mta.xfer.xfer(msg, "http://10.0.0.2:8000", reason="node 2 sends for this tenant")
    """

def xfer_in_requeue(
    msg: Message,
    target: str,
    reasons: Sequence[str],
    attempt_counted: bool,
    delay: float | str | None,
    reason: str | None = None,
) -> None:
    """Do so in ``message_requeued``: the attempt that just failed goes along.

    The arguments in the middle are those that the handler was given.

    >>> reasons, attempt_counted, delay = ["LoggedTransientFailure"], True, 1200
    >>> mta.xfer.xfer_in_requeue(msg, "http://backup.example:8000", reasons, attempt_counted, delay)
    """

def cancel_xfer(msg: Message, reason: str | None = None) -> None:
    """Have a message go on here that was to be transferred; any other is left alone.

    >>> mta.xfer.cancel_xfer(msg)
    """

def get_xfer_target(msg: Message) -> str | None:
    """The URL of the node that a message is to be transferred to, or None.

    >>> mta.xfer.xfer(msg, "http://10.0.0.2:8000")
    >>> mta.xfer.get_xfer_target(msg)
    'http://10.0.0.2:8000/'
    """
