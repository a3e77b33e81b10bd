"""What the answers of handlers must be, beyond their type: one function for each kind of answer.

Place in flow: ``engine.hooks`` declares them, ``policy.handler_call`` calls them with each answer:
what does not fit fails the handler, at its file and line, and the failure rule of the hook holds.

Invariants:
    * An answer is looked at, not used: no method of an object of the script is called.

Failure: a TypeError or ValueError that says what is wrong; the name of the hook is put before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.model.address import EnvelopeAddress, parse_address
from engine.model.keyword_options import closest
from engine.model.listener_options import ListenerOptions

_AUTH_KEYS = ("identities", "groups")
_SPLIT = "wants a list of lists of recipients, such as [[one, two], [three]]"


def check_kind(kind: type) -> Callable[[Any], None]:
    """Return a check for answers made by one of the ``make_*`` functions of ``mta``."""

    def check(answer: Any) -> None:
        if not isinstance(answer, kind):
            raise TypeError(f"wants an object {kind.__name__}, not {type(answer).__name__[:100]}")

    return check


def check_extensions(answer: Sequence[Any]) -> None:
    """Look at the lines of an EHLO reply."""
    for line in answer:
        if type(line) is not str or not line.isprintable():
            raise TypeError("wants a list of lines, such as the one it is given")


def check_split(answer: Sequence[Any]) -> None:
    """Look at the recipients of each message that a transaction is split into."""
    for group in answer:
        if type(group) not in (list, tuple):
            raise TypeError(_SPLIT)
        for recipient in group:
            if type(recipient) is str:
                parse_address(recipient)
            elif not isinstance(recipient, EnvelopeAddress):
                raise TypeError(_SPLIT)


def check_rewritten(answer: Sequence[Any]) -> None:
    """Look at a new status and text of a reply."""
    if len(answer) != 2:
        raise TypeError("wants a pair of a new status and a new text; None keeps either")
    code, text = answer
    if code is not None:
        check_code(code)
    if text is not None and type(text) is not str:
        raise TypeError(f"the text of a reply is text, not {type(text).__name__[:100]}")


def check_code(answer: Any) -> None:
    """Look at the code of a reply."""
    if type(answer) is not int or not 200 <= answer <= 599:
        raise ValueError(f"the code of a reply is 200 to 599, not {answer!r:.100}")


def check_listener_parameters(answer: Mapping[str, Any]) -> None:
    """Look at options of a listener for one connection."""
    ListenerOptions().overlay(answer)


def check_identities(answer: Any) -> None:
    """Look at what the credentials of a client were judged to be."""
    if type(answer) is bool:
        return
    for key in answer:
        if key not in _AUTH_KEYS:
            raise ValueError(f"unknown key {key!r:.100}{closest(str(key), _AUTH_KEYS)}")
    names = answer.get("identities")
    if type(names) not in (list, tuple) or not names:
        raise ValueError("wants a list of identities, of which there is at least one")
    for item in names:
        name = item.get("identity") if type(item) is dict else item
        context = item.get("context") if type(item) is dict else None
        if type(name) is not str or not name or type(context) not in (str, type(None)):
            raise ValueError('an identity is text, or {"identity": text, "context": text}')
    groups = answer.get("groups")
    if groups is None:
        return
    if type(groups) not in (list, tuple) or any(type(name) is not str for name in groups):
        raise ValueError("groups: a list of names is expected")
