"""Names are trusted only where one thing binds them."""

from __future__ import annotations

import ast

from policy.script_scope import bound_anywhere, bound_names, functions_of, scope_of_module

TEXT = """
import mta
import mta.dns as names
from helpers import queues as q
import mta as twice
from mta import twice
once = f()
again = f()
again = g()
for loop in x: pass
def outer(a, *b, c=1, **d):
    global once
    import mta
    local = f()
    a2 = [i for i in x]
    def inner(): pass
    class K:
        def method(self): pass
match x:
    case {"k": v, **rest}: pass
    case [first, *others]: pass
try: pass
except E as error: pass
"""
TREE = ast.parse(TEXT)


def test_imports_and_values_of_a_script_are_known_if_nothing_else_binds_them() -> None:
    scope = scope_of_module(TREE)

    assert scope.imports == {
        "mta": ("mta", ""),
        "names": ("mta.dns", ""),
        "q": ("helpers", "queues"),
    }
    # ``once`` is bound by a function too.
    assert scope.values == {}
    assert scope.stored == (
        {"once", "again", "loop", "outer", "v", "rest", "first", "others", "error"}
    )


def test_a_function_binds_its_arguments_and_what_it_assigns() -> None:
    (outer,) = [one for one in functions_of(TREE.body) if one.name == "outer"]
    scope = bound_names(outer)

    assert scope.names >= {"a", "b", "c", "d", "mta", "local", "a2", "i", "inner", "K", "once"}
    assert scope.imports == {"mta": ("mta", "")}
    assert set(scope.values) == {"local", "a2"}
    assert {one.name for one in functions_of(outer.body)} == {"inner", "method"}


def test_every_name_that_is_bound_anywhere_is_known() -> None:
    bound = bound_anywhere(TREE)

    assert bound >= {"a", "i", "inner", "method", "K", "mta", "names", "q", "v", "rest", "error"}
    assert not bound & {"x", "f", "g", "E", "dns", "queues"}
