"""Whether a call in the text of a script can be one of what a stub declares.

Place in flow: ``use_check`` asks about each call of which it knows the function.
"""

from __future__ import annotations

import ast
import difflib

from policy.literal_kind import fits, shown
from policy.stub_catalog import Function, Parameter, Signature


def misfit_of_call(function: Function, call: ast.Call) -> str:
    """Return why a call cannot work, or nothing.

    Args:
        function: What is called.
        call: The call; arguments with stars are not counted.
    """
    texts = [_misfit(function.name, signature, call) for signature in function.signatures]
    if not all(texts):
        return ""
    # Of several ways to call it, the one that was nearly met says most.
    return texts[-1] if texts else ""


def _misfit(name: str, signature: Signature, call: ast.Call) -> str:
    positional = [one for one in call.args if not isinstance(one, ast.Starred)]
    has_stars = len(positional) != len(call.args)
    has_table = any(one.arg is None for one in call.keywords)
    if len(positional) > len(signature.first) and signature.more is None:
        return _too_many(name, signature, len(positional))
    given: dict[str, tuple[Parameter, ast.expr]] = {}
    if not has_stars:
        for parameter, value in zip(signature.first, positional, strict=False):
            given[parameter.name] = parameter, value
    by_name = {one.name: one for one in (*signature.first[signature.unnamed :], *signature.named)}
    for keyword in call.keywords:
        if keyword.arg is None:
            continue
        found = by_name.get(keyword.arg)
        if found is None and not signature.takes_any:
            close = difflib.get_close_matches(keyword.arg, list(by_name), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            return f"{name}: there is no option {keyword.arg!r}{hint}"
        if keyword.arg in given:
            return f"{name}: {keyword.arg!r} is given twice"
        if found is not None:
            given[keyword.arg] = found, keyword.value
    if not has_stars and not has_table:
        missing = [
            one.name
            for one in (*signature.first, *signature.named)
            if one.is_needed and one.name not in given
        ]
        if missing:
            return f"{name}: {' and '.join(missing)} must be given"
    for parameter, value in given.values():
        if not fits(parameter.shape, value):
            return f"{name}: {parameter.name}: {parameter.shape} is expected, not {shown(value)}"
    for value in positional[len(signature.first) :] if not has_stars else ():
        if signature.more is not None and not fits(signature.more, value):
            return f"{name}: {signature.more} is expected, not {shown(value)}"
    return ""


def _too_many(name: str, signature: Signature, count: int) -> str:
    names = ", ".join(one.name for one in signature.named[:3])
    if not signature.first and names:
        return f"{name}: arguments are given by name, such as {names}"
    return f"{name}: {count} arguments are too many: there are {len(signature.first)}"
