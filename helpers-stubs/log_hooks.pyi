"""Records of the log sent on, by a function of the script or as JSON.

Set hooks up before ``queues.setup``: it answers for every queue that is left.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from mta import Message

_Duration: TypeAlias = int | float | str
_Filter: TypeAlias = Callable[[Message], bool | Coroutine[Any, Any, bool | None] | None]
_Sender: TypeAlias = (
    Callable[[Message], str | Coroutine[Any, Any, str | None] | None]
    | Callable[[list[Message]], str | Coroutine[Any, Any, str | None] | None]
)

def new(
    *,
    name: str,
    sender: _Sender,
    log_parameters: Mapping[str, Any] | None = None,
    queue_config: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    min_batch_size: int = 1,
    max_batch_latency: _Duration = 0,
    filter: _Filter | None = None,
) -> None:
    """Have a function of the script take the records of a hook, a list with batch_size above 1.

    Its queue is NAME.log_hook. A filter that answers True leaves a record out.
    """

def new_json(
    *,
    name: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    timeout: _Duration = 60,
    log_parameters: Mapping[str, Any] | None = None,
    queue_config: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    min_batch_size: int = 1,
    max_batch_latency: _Duration = 0,
    filter: _Filter | None = None,
) -> None:
    """Have the records of a hook posted as JSON: an object, or an array with batch_size above 1.

    2xx takes them; anything else is tried again until max_age.
    """

def new_disposition_hook(
    *,
    name: str,
    hook: Callable[[Message | None, dict[str, Any]], Coroutine[Any, Any, None] | None],
) -> None:
    """Have a function told of each record where it is made."""
