"""Reading and showing options."""

from enum import Enum

import pytest

from engine.model import keyword_options as options
from engine.model.keyword_options import Option, function_of, read_options, show_options


class Colour(Enum):
    RED = "Red"


TABLE = {
    "size": Option(options.whole(1, 10), "size_bytes"),
    "colour": Option(options.choice(Colour)),
    "secret": Option(options.key_source, is_secret=True),
    "host": Option(options.host_name),
    "names": Option(options.list_of(options.text)),
    "limits": Option(options.table_of(options.whole(0))),
}


def test_reads_values_under_the_names_of_attributes():
    assert read_options("make", {"size": 3, "colour": "Red"}, TABLE) == {
        "size_bytes": 3,
        "colour": Colour.RED,
    }


def test_an_unknown_option_is_named_with_the_closest_known_one():
    with pytest.raises(
        TypeError, match=r"make: unknown option 'colur' \(did you mean 'colour'\?\)"
    ):
        read_options("make", {"colur": "Red"}, TABLE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("size", 11),
        ("size", True),
        ("size", "3"),
        ("colour", "red"),
        ("colour", ["Red"]),
        ("secret", 5),
        ("secret", {"vault": "x"}),
        ("secret", {"key_data": 5}),
        ("secret", lambda: "x"),
        ("host", "a b"),
        ("host", "a\r\nb"),
        ("host", "é.test"),
        ("secret", ""),
        ("names", "abc"),
        ("names", [""]),
        ("names", ["a\nb"]),
        ("names", 5),
        ("limits", [1]),
        ("limits", {"a": -1}),
        ("limits", {1: 1}),
    ],
)
def test_a_wrong_value_is_reported_with_its_option(name, value):
    with pytest.raises(ValueError, match=f"make: {name}: "):
        read_options("make", {name: value}, TABLE)


def test_none_means_not_given():
    assert read_options("make", {"size": None}, TABLE) == {}


def test_shows_plain_values_and_no_secrets():
    class Held:
        size_bytes = 3
        colour = Colour.RED
        secret = "hunter2"
        names = ("a", "b")
        limits = {"x": 1}

    assert show_options(Held(), TABLE) == {
        "size": 3,
        "colour": "Red",
        "secret": "(hidden)",
        "names": ["a", "b"],
        "limits": {"x": 1},
    }


def test_reads_addresses_in_one_spelling():
    assert options.ip_address("2001:DB8::0:1") == "2001:db8::1"
    with pytest.raises(ValueError):
        options.ip_address("localhost")


def test_a_flag_is_true_or_false_only():
    assert options.flag(False) is False
    with pytest.raises(ValueError):
        options.flag(0)


@pytest.mark.parametrize("value", [len, lambda a: a, lambda a, b=1: a, lambda *a: a])
def test_a_function_that_takes_as_many_arguments_is_read(value):
    assert function_of(1)(value) is value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "a function is expected, not 3"),
        (lambda: 1, "takes one argument is expected: too many"),
        (lambda a, b: 1, "takes one argument is expected: missing a required argument: 'b'"),
    ],
)
def test_a_function_that_does_not_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        function_of(1)(value)
