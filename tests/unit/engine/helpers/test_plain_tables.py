"""Small things do what their names say, and nothing endless."""

from __future__ import annotations

import pytest

from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.helper_world import HelperWorld, make_message

TELLS = "@on('message_received')\ndef f(msg):\n    mta.tell(VALUE)\n"


@pytest.fixture
def world(tmp_path):
    return HelperWorld(tmp_path)


def value(world, expression, files=None, top=""):
    """Return what an expression of a script amounts to, made while it loads."""
    world.load(f"{top}VALUE = {expression}\n{TELLS}", files)
    return told(world)


def told(world):
    """Return what the script tells now."""
    world.told.clear()
    world.handle("message_received", make_message())
    return world.told[0]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("split_ip_port('10.0.0.1:25')", ("10.0.0.1", 25)),
        ("split_ip_port('[::1]:65535')", ("::1", 65535)),
        ("starts_with('abc', 'ab')", True),
        ("ends_with('abc', 'ab')", False),
        ("table_contains([1, 2], 2)", True),
        ("table_contains({'a': 1}, 'a')", False),
        ("table_contains({'a': 1}, 1)", True),
        ("table_keys({'a': 1, 'b': 2})", ["a", "b"]),
        ("table_is_empty({})", True),
        ("table_is_empty([0])", False),
        ("equals({'a': [1, (2,)]}, {'a': [1, (2,)]})", True),
        ("equals({'a': 1}, {'a': 2})", False),
        ("dumps({'a': [1, None, True, 'ü']})", '{"a": [1, null, true, "ü"]}'),
        ("merge_into({'a': {'x': 1}}, {'a': {'y': 2}, 'b': 3})", {"a": {"x": 1}, "b": 3}),
        (
            "recursive_merge_into({'a': {'x': 1}, 'c': [1]}, {'a': {'y': 2}, 'b': 3})",
            {"a": {"x": 1, "y": 2}, "b": 3, "c": [1]},
        ),
        ("load_json_or_toml_file({'a': 1})", {"a": 1}),
        ("load_json_or_toml_file('a.toml')", {"x": {"y": 1}}),
        ("load_json_or_toml_file('b.json')", {"z": [1]}),
        ("assert_eq([1], [1])", None),
        ("assert_ne(1, 2)", None),
        ("assert_matches('hello world', '^h.*d$')", None),
    ],
)
def test_it_returns(world, expression, wanted):
    files = {"a.toml": "x.y = 1\n", "b.json": '{"z": [1]}'}

    assert value(world, f"policy_utils.{expression}", files) == wanted


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("split_ip_port('10.0.0.1')", "'ip:port'"),
        ("split_ip_port('::1:25')", "'ip:port'"),
        ("split_ip_port(':25')", "'ip:port'"),
        ("split_ip_port('a:65536')", "'ip:port'"),
        ("split_ip_port('a:²')", "'ip:port'"),
        ("split_ip_port(5)", "text is expected"),
        ("merge_into([], {})", "two tables"),
        ("recursive_merge_into({}, [])", "two tables"),
        ("assert_eq(1, 2, 'one and two')", "1 is not 2. one and two"),
        ("assert_ne([1], [1])", "both are [1]"),
        ("assert_matches('abc', 'x+')", 'does not match "x+"'),
        ("assert_matches('abc', '(')", "not a pattern"),
        ("load_json_or_toml_file('none.toml')", "none.toml: No such file"),
        ("load_json_or_toml_file('bad.toml')", "bad.toml:2: no TOML"),
        ("load_json_or_toml_file('../out.toml')", "outside the folder of the policy"),
        ("load_json_or_toml_file('/etc/passwd')", "outside the folder of the policy"),
        ("load_json_or_toml_file('link.toml')", "outside the folder of the policy"),
        ("load_json_or_toml_file(5)", "the name of a file"),
    ],
)
def test_what_does_not_fit_is_an_error_at_the_call(world, tmp_path, expression, message):
    (tmp_path / "link.toml").symlink_to("/etc/hostname")

    with pytest.raises(PolicyLoadError) as caught:
        value(world, f"policy_utils.{expression}", {"bad.toml": "a = 1\nb = \n"})

    assert caught.value.line == 4
    assert message in caught.value.message


@pytest.mark.parametrize(
    "script",
    [
        "a = {}\na['a'] = a\npolicy_utils.recursive_merge_into(a, {})\n",
        "a = {}\na['a'] = a\npolicy_utils.dumps(policy_utils.recursive_merge_into({'a': {}}, a))\n",
        "a = []\nfor _ in range(40):\n    a = [a, a]\npolicy_utils.dumps(a)\n",
        "a = []\nfor _ in range(40):\n    a = [a, a]\npolicy_utils.equals(a, a)\n",
        "policy_utils.table_contains(range(10**9), 'x')\n",
    ],
)
def test_endless_values_end_in_an_error(world, script):
    with pytest.raises(PolicyLoadError):
        world.load(script)


def test_a_file_that_was_loaded_is_watched(world, tmp_path):
    assert value(world, "policy_utils.load_json_or_toml_file('a.toml')", {"a.toml": "x = 1\n"}) == {
        "x": 1
    }

    (tmp_path / "a.toml").write_text("x = 2\n")
    world.runtime.reload_if_changed()

    assert told(world) == {"x": 2}


def test_a_handler_loads_no_files(world):
    world.load(
        "@on('message_received')\ndef f(msg):\n    policy_utils.load_json_or_toml_file('a.toml')\n",
        {"a.toml": "x = 1\n"},
    )

    with pytest.raises(HookFailedError, match="top of the script"):
        world.handle("message_received", make_message())


def test_what_was_merged_is_a_copy(world):
    top = (
        "a = {'t': {'x': [1]}}\nb = {}\npolicy_utils.recursive_merge_into(a, b)\na['t']['x'] = 2\n"
    )

    assert value(world, "b", top=top) == {"t": {"x": [1]}}
