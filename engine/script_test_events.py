"""What events are given in tests, by position, by name or not at all; what they answer, as options.

Place in flow: ``engine.script_testing`` fires events with them; what has to be made by a node, such
as a message, it makes itself.

Invariants:
    * What a handler would not get from a node is refused: too many arguments, unknown names, none
      where nothing can be made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.hooks import HOOKS
from engine.model import egress, listener_domain, queue_config
from engine.script_metadata import AUTHENTICATION, AUTHORIZATION, AuthInfo, ConnectionView
from policy.hook import Hook
from policy.hook_registry import HookTable

_HOOKS = HookTable(HOOKS)
#: What a test may leave out of any event, and of single ones.
_MADE_UP: Mapping[str, Any] = {
    "attempt_counted": True,
    "authz": "",
    "campaign": None,
    "command": None,
    "data": {},
    "delay": 0,
    "domain": "example.org",
    "extensions": (),
    "reasons": (),
    "routing_domain": None,
    "tenant": None,
}
_MADE_UP_FOR: Mapping[tuple[str, str], Any] = {
    ("get_egress_path", "routing_domain"): "example.org",
    ("get_egress_path", "egress_source"): "unspecified",
}


def find_hook(event: str) -> Hook:
    """Return an event by its name.

    Raises:
        LookupError: There is none.
    """
    __tracebackhide__ = True
    hook = _HOOKS.find(event)
    if hook is None:
        nearest = _HOOKS.nearest(event)
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        raise LookupError(f"there is no event {event!r}{hint}")
    return hook


def name_arguments(hook: Hook, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a test gives, by name.

    Raises:
        TypeError: There are too many, one is given twice, or one is unknown.
    """
    __tracebackhide__ = True
    if len(args) > len(hook.arguments):
        raise TypeError(f"{_shape(hook)} takes no {len(args)} arguments")
    given = dict(zip(hook.arguments, args, strict=False))
    for name, value in named.items():
        if name not in hook.arguments or name in given:
            raise TypeError(f"{_shape(hook)}: {name!r} is given twice, or no argument of it")
        given[name] = value
    return given


def make_up(hook: Hook, name: str) -> Any:
    """Return what stands for an argument that a test does not care about.

    Raises:
        TypeError: Nothing can: the event is about it.
    """
    __tracebackhide__ = True
    if (hook.name, name) in _MADE_UP_FOR:
        return _MADE_UP_FOR[hook.name, name]
    if name not in _MADE_UP:
        raise TypeError(f"{_shape(hook)}: {name!r} must be given")
    return _MADE_UP[name]


def make_connection(meta: Mapping[str, Any], groups: tuple[str, ...] = ()) -> ConnectionView:
    """Return a client's connection with this metadata; who the client is follows from it.

    Args:
        meta: Metadata, those that AUTH sets among them.
        groups: What the client is counted among.
    """
    known = {"received_from": "192.0.2.1:40000", **meta}
    shown = (("authz_id", AUTHORIZATION), ("authn_id", AUTHENTICATION))
    identities = tuple((str(known[name]), context) for name, context in shown if name in known)
    address = str(known["received_from"]).rpartition(":")[0].strip("[]")
    return ConnectionView(known, AuthInfo(address, identities, groups))


def options_of(answer: Any) -> dict[str, Any]:
    """Return the options in force of a queue, pool, source, path or listener domain.

    They have the names of the reference and plain values, as an operator sees them in the
    administration: rates and limits are text, durations are seconds. What is not set is left out.

    Args:
        answer: Of an event that begins with ``get_``.

    Raises:
        TypeError: It is none of these: the script gave no answer, or refused.
    """
    __tracebackhide__ = True
    if isinstance(answer, queue_config.QueueConfig):
        return queue_config.to_json(answer)
    if isinstance(answer, egress.EgressPath | egress.EgressPool | egress.EgressSource):
        return egress.to_json(answer)
    if isinstance(answer, listener_domain.ListenerDomain):
        return listener_domain.to_json(answer)
    if isinstance(answer, Mapping):
        return dict(answer)
    raise TypeError(f"the answer has no options: {answer!r}")


def _shape(hook: Hook) -> str:
    return f"{hook.name}({', '.join(hook.arguments)})"
