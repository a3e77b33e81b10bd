"""Names: which a script may use, which go through a guard, which are refused.

Place in flow: read by ``sandbox_rewrite`` when compiling and by ``guards`` for names that
are known only while running.
"""

from __future__ import annotations

import re

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

# Doors into the interpreter that carry no underscore.
FORBIDDEN_ATTRIBUTES = INSPECT_ATTRIBUTES | {
    "aclose",
    "ag_code",
    "ag_frame",
    "asend",
    "athrow",
    "co_consts",
    "cr_suspended",
    "f_lasti",
    "f_lineno",
    "func_code",
    "func_globals",
    "gi_suspended",
    "tb_lasti",
    "tb_lineno",
}

# Harmless on most objects; on builtin ones they make something huge out of something
# small, loop in C, change a class of the engine, or lead to an object of the engine.
GUARDED_ATTRIBUTES = frozenset(
    {
        "center",
        "decode",
        "elements",
        "encode",
        "expandtabs",
        "extend",
        "extendleft",
        "format",
        "format_map",
        "from_bytes",
        "join",
        "ljust",
        "mro",
        "obj",
        "register",
        "replace",
        "rjust",
        "rsplit",
        "send",
        "sort",
        "split",
        "splitlines",
        "strftime",
        "strptime",
        "throw",
        "to_bytes",
        "translate",
        "zfill",
    }
)

_BINARY = "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift"

# Not among them: what replaces attribute access or the making of classes and objects, what
# runs when nothing calls (``__del__``), and what passes for an integer (``__index__``).
ALLOWED_DUNDER_METHODS = frozenset(
    {f"__{prefix}{name}__" for name in _BINARY.split() for prefix in ("", "r", "i")}
) | frozenset(
    {
        "__abs__",
        "__bool__",
        "__bytes__",
        "__call__",
        "__ceil__",
        "__contains__",
        "__delitem__",
        "__enter__",
        "__eq__",
        "__exit__",
        "__float__",
        "__floor__",
        "__format__",
        "__ge__",
        "__getitem__",
        "__gt__",
        "__hash__",
        "__init__",
        "__int__",
        "__invert__",
        "__iter__",
        "__le__",
        "__len__",
        "__lt__",
        "__ne__",
        "__neg__",
        "__next__",
        "__pos__",
        "__post_init__",
        "__repr__",
        "__reversed__",
        "__round__",
        "__setitem__",
        "__str__",
        "__trunc__",
    }
)

ALLOWED_DUNDER_CLASS_VARIABLES = frozenset({"__hash__", "__match_args__", "__slots__"})

# Names a module may give itself; nothing reads them.
ALLOWED_DUNDER_VARIABLES = frozenset({"__all__", "__author__", "__version__"})

# What a named tuple offers behind an underscore is its public interface.
NAMED_TUPLE_METHODS = frozenset({"_asdict", "_field_defaults", "_fields", "_make", "_replace"})

MAX_WIDTH_DIGITS = 4
MAX_SPEC_CHARACTERS = 100
MAX_PERCENT_FIELDS = 10_000
_FLAGS = re.compile(r"[#0\- +]*")
_STAR = re.compile(r"\*|[0-9]*\.\*")
_SIZES = re.compile(r"[0-9]*\.?[0-9]*")
_PARENTHESES = re.compile(r"[()]")
_WIDE_NUMBER = re.compile(rf"\d{{{MAX_WIDTH_DIGITS + 1},}}")


def refusal_of_name(name: str) -> str | None:
    """Return why a script may not use an attribute of this name at all, or None."""
    if name.startswith("__"):
        return refusal_of_double(name, "attribute")
    if name in FORBIDDEN_ATTRIBUTES:
        return f"the attribute {name!r} leads into the interpreter and is not available"
    return None


def refusal_of_double(name: str, kind: str) -> str:
    """Return why a name that begins with two underscores is refused."""
    if not name.endswith("__"):
        return f"the {kind} {name!r} begins with two underscores; begin private names with one"
    return f"the {kind} {name!r} is not available in a policy script"


def check_percent_format(text: str) -> str | None:
    """Return why a ``%`` format asks for too much, or None.

    Its fields are found as the interpreter finds them: a name in parentheses may be of any length,
    hold parentheses and percent signs, and any number of flags may follow.
    """
    if max(text.count(one) for one in "%()") > MAX_PERCENT_FIELDS:
        return f"more than {MAX_PERCENT_FIELDS} fields in a % format"
    position = text.find("%") + 1
    while position:
        if text.startswith("(", position):
            position = _end_of_name(text, position)
            if not position:
                # The interpreter gets no further either.
                return None
        flags = _FLAGS.match(text, position)
        position = flags.end() if flags else position
        spec = text[position : position + MAX_SPEC_CHARACTERS]
        if _STAR.match(spec):
            return "a * width is not allowed in a % format"
        sizes = _SIZES.match(spec)
        if sizes and _WIDE_NUMBER.search(sizes[0]):
            return "a format width or precision of more than 4 digits is not allowed"
        position += text.startswith("%", position)
        position = text.find("%", position) + 1
    return None


def _end_of_name(text: str, start: int) -> int:
    """Return where the name of a field ends, 0 if it does not."""
    depth = 0
    for found in _PARENTHESES.finditer(text, start):
        depth += 1 if found[0] == "(" else -1
        if not depth:
            return found.end()
    return 0


def check_format_spec(spec: str) -> str | None:
    """Return why a format specification asks for too much, or None."""
    if len(spec) > MAX_SPEC_CHARACTERS or _WIDE_NUMBER.search(spec):
        return "a format width or precision of more than 4 digits is not allowed"
    return None
