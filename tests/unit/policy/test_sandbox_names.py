"""Which names are refused, and what the refusal says."""

from __future__ import annotations

import pytest

from policy.sandbox_names import (
    ALLOWED_DUNDER_METHODS,
    FORBIDDEN_ATTRIBUTES,
    GUARDED_ATTRIBUTES,
    check_format_spec,
    check_percent_format,
    refusal_of_double,
    refusal_of_name,
)


@pytest.mark.parametrize("name", ["lower", "_private", "_", "format", "send", "x1"])
def test_an_ordinary_name_is_not_refused_by_itself(name: str) -> None:
    assert refusal_of_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["gi_frame", "cr_frame", "ag_frame", "tb_frame", "f_back", "f_globals", "co_code", "asend"],
)
def test_a_door_into_the_interpreter_is_refused(name: str) -> None:
    assert "leads into the interpreter" in (refusal_of_name(name) or "")


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__x__"])
def test_a_special_name_is_refused(name: str) -> None:
    assert refusal_of_name(name) == f"the attribute {name!r} is not available in a policy script"


def test_a_mangled_name_is_refused_with_a_hint() -> None:
    assert "begin private names with one" in refusal_of_double("__x", "name")


def test_no_name_is_both_guarded_and_forbidden() -> None:
    assert not GUARDED_ATTRIBUTES & FORBIDDEN_ATTRIBUTES


@pytest.mark.parametrize(
    "name",
    [
        "__del__",
        "__getattr__",
        "__getattribute__",
        "__index__",
        "__init_subclass__",
        "__new__",
        "__set_name__",
        "__class_getitem__",
        "__await__",
    ],
)
def test_methods_that_change_how_objects_work_are_not_for_scripts(name: str) -> None:
    assert name not in ALLOWED_DUNDER_METHODS


@pytest.mark.parametrize("name", ["__add__", "__radd__", "__iadd__", "__eq__", "__repr__"])
def test_ordinary_methods_are(name: str) -> None:
    assert name in ALLOWED_DUNDER_METHODS


@pytest.mark.parametrize("spec", ["", ">10", "08.3f", "9999", "%Y-%m-%d"])
def test_an_ordinary_format_passes(spec: str) -> None:
    assert check_format_spec(spec) is None


@pytest.mark.parametrize("spec", ["10000", ".10000f", "x" * 101])
def test_a_wide_format_is_refused(spec: str) -> None:
    assert check_format_spec(spec)


@pytest.mark.parametrize(
    "text",
    [
        "%s * %s",
        "100%%* %s",
        "%-5.2f",
        "%(a)s*",
        "%%99999d",
        "%(a(b)c)5d",
        "%",
        "%(a",
        "*",
        "%%%5d",
    ],
)
def test_an_ordinary_percent_format_is_fine(text: str) -> None:
    assert check_percent_format(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%*d", "a * width"),
        ("%-5.*f", "a * width"),
        ("%(a)*d", "a * width"),
        ("%" + "0" * 500 + "*d", "a * width"),
        ("%99999d", "more than 4 digits"),
        ("%.99999f", "more than 4 digits"),
        ("%" + "-" * 500 + "99999d", "more than 4 digits"),
        ("%(" + "a" * 500 + ")99999d", "more than 4 digits"),
        ("%(a(b)" + "c" * 500 + ")99999d", "more than 4 digits"),
        ("%(a%" + "b" * 500 + ")99999d", "more than 4 digits"),
        ("%." + "0" * 500 + "99999d", "more than 4 digits"),
        ("%s" * 10_001, "fields"),
        ("%(" + "(" * 10_001, "fields"),
    ],
)
def test_a_percent_format_that_asks_for_too_much_is_refused(text: str, reason: str) -> None:
    assert reason in str(check_percent_format(text))
