"""Stubs are read as they are meant."""

from __future__ import annotations

import ast

import pytest

from policy.stub_catalog import (
    STUBS,
    Function,
    Shape,
    StubModule,
    Value,
    handler_shapes,
    members_of,
    read_stub,
)

STUB = """
_Duration: TypeAlias = int | float | str
class Thing:
    @property
    def name(self) -> str: ...
    @name.setter
    def name(self, value: str) -> None: ...
    @property
    def other(self) -> Thing | None: ...
    def slow(self) -> Awaitable[Thing]: ...
class Table(TypedDict):
    a: int
class Open(Mapping[str, str]):
    def more(self) -> None: ...
def call(a: _Duration, /, b: Literal["x", 1] = "x", *rest: bytes, c: Table | None, **d: Any): ...
"""


@pytest.fixture
def stub() -> StubModule:
    return StubModule("mta.test", ast.parse(STUB))


def test_the_stubs_of_the_project_are_there() -> None:
    assert [name for name in STUBS if read_stub(name) is None] == []
    assert read_stub("json") is None
    assert read_stub("mta.nothing") is None


def test_a_call_is_known_with_its_arguments(stub: StubModule) -> None:
    found = stub.functions["call"]
    assert isinstance(found, Function)
    (signature,) = found.signatures

    assert [one.name for one in signature.first] == ["a", "b"]
    assert [one.is_needed for one in signature.first] == [True, False]
    assert signature.unnamed == 1
    assert signature.more == Shape(frozenset({"bytes"}))
    assert [(one.name, one.is_needed) for one in signature.named] == [("c", True)]
    assert signature.takes_any


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("str | bytes", "text or bytes"),
        ("_Duration", "text or a number"),
        ("int", "a whole number"),
        ("bool | None", "True or False or None"),
        ("Literal['a', 'b']", "'a' or 'b'"),
        ("Mapping[str, str]", "a dict"),
        ("list[str]", "a list"),
        ("Callable[[str], None]", "a function"),
        ("Table", "a dict"),
        ("Thing | None", "an object Thing or None"),
    ],
)
def test_a_type_is_told_in_words(stub: StubModule, annotation: str, words: str) -> None:
    assert str(stub.shape_of(ast.parse(annotation, mode="eval").body)) == words


@pytest.mark.parametrize("annotation", ["Any", "_T", "object", "other.Thing", "str | _T"])
def test_what_is_not_known_may_be_anything(stub: StubModule, annotation: str) -> None:
    assert stub.shape_of(ast.parse(annotation, mode="eval").body).kinds is None


def test_members_of_a_class_are_known_with_what_they_give(stub: StubModule) -> None:
    thing = stub.kinds["Thing"]
    name, other, slow = (thing.members[one] for one in ("name", "other", "slow"))

    assert isinstance(name, Value)
    assert isinstance(other, Value)
    assert isinstance(slow, Function)
    assert (name.is_settable, other.is_settable) == (True, False)
    assert other.kind is thing
    assert (slow.waits, slow.signatures[0].answer) == (True, thing)
    assert (thing.is_open, stub.kinds["Open"].is_open) == (False, True)


def test_handlers_are_known_by_event() -> None:
    shapes = handler_shapes()
    names = [kind.name if kind else None for kind in shapes["smtp_rcpt_to"].arguments]

    assert names == ["Address", "Connection"]
    assert not shapes["smtp_rcpt_to"].has_answer
    assert str(shapes["smtp_ehlo"].answer) == "text or a list or None"


def test_a_module_tells_what_it_has() -> None:
    assert {"lookup_mx", "ptr_host"} <= dict(members_of("mta.dns")).keys()
    assert dict(members_of("nothing")) == {}
