"""JSON, TOML and YAML as texts and files: errors with lines, bounds, reloads."""

from __future__ import annotations

import pytest

from policy.errors import HookFailedError, PolicyLoadError


@pytest.mark.parametrize("kind", ["json", "toml", "yaml"])
def test_what_is_written_is_read_back(host, kind):
    value = "{'a': [1, 2.5, 'x', True], 'b': {'c': 'ä'}}"

    assert (
        host.value(f"mta.serde.{kind}_parse(mta.serde.{kind}_encode({value})) == {value}") == "True"
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("json_parse('{\\n]')", "no JSON: line 2"),
        ("json_parse('[1, NaN]')", "NaN is no number"),
        ("json_parse('[' * 100000)", "nested too deeply"),
        ("json_parse(b'\\xff')", "is not UTF-8"),
        ("json_parse(5)", "wants text"),
        ("json_encode(float('nan'))", "not JSON compliant"),
        ("json_encode(object())", "JSON has no object"),
        ("toml_parse('a = ')", r"no TOML: Invalid value \(at end of document\)"),
        ("toml_parse('a = ' + '[' * 50000)", "nested too deeply"),
        ("toml_parse('a.' * 60000 + 'a = 1')", "would use more than"),
        ("toml_encode({'a': None})", "TOML has no NoneType"),
        ("toml_encode([1])", "wants a dict"),
        ("yaml_parse('a: [')", "no YAML: line"),
        ("yaml_parse('a: 1\\na: 2')", "no YAML: line 2: the key 'a' stands twice"),
        ("yaml_parse('!!python/object:os.system x')", "no YAML: line 1"),
        ("yaml_parse('[' * 100000)", "no YAML: line 1"),
        ("yaml_encode({'a': object()})", "YAML cannot hold this"),
        ("json_encode(RING)", "too large, or too deep"),
        ("toml_encode({'a': RING})", "too large, or too deep"),
        ("yaml_encode(RING)", "too large, or too deep"),
        ("json_parse('x' * 9_000_000)", "too many to parse"),
        ("json_load('bad.json')", "bad.json: no JSON: line 3"),
        ("toml_load('bad.toml')", "bad.toml: no TOML: .*line 2"),
        ("yaml_load('bad.yaml')", "bad.yaml: no YAML: line 3"),
        ("json_load('gone.json')", "gone.json: No such file"),
        ("json_load('../x.json')", "outside the folder"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(host, call, reason):
    (host.folder / "bad.json").write_text('{\n"a": 1,\n}')
    (host.folder / "bad.toml").write_text("a = 1\nb = \n")
    (host.folder / "bad.yaml").write_text("a: 1\nb: [\n")

    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(f"RING = []\nRING.append(RING)\nmta.serde.{call}")

    assert caught.value.line == 5


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("t.json", '{"a": 1}', '{"a": 2}'),
        ("t.toml", "a = 1", "a = 2"),
        ("t.yaml", "a: 1", "a: 2"),
    ],
)
def test_an_edit_of_a_file_is_a_reload(host, name, before, after):
    (host.folder / name).write_text(before)
    host.load(f"print(mta.serde.{name[2:]}_load('{name}')['a'])")
    assert host.runtime.reload_if_changed() is None

    (host.folder / name).write_text(after)

    assert host.runtime.reload_if_changed() is not None
    assert host.printed == ["1", "2"]


async def test_a_file_that_a_handler_loads_belongs_to_the_epoch(host):
    (host.folder / "t.json").write_text("[1]")
    host.load(
        "@on('get_queue_config')\ndef ask(*args):\n    return str(mta.serde.json_load('t.json'))"
    )
    assert await host.fire("a") == "[1]"

    (host.folder / "t.json").write_text("[2]")

    assert host.runtime.reload_if_changed() is not None
    assert await host.fire("a") == "[2]"


def test_a_file_that_breaks_keeps_the_running_policy(host):
    (host.folder / "t.json").write_text("[1]")
    host.load("print(mta.serde.json_load('t.json'))")
    before = host.runtime.epoch

    (host.folder / "t.json").write_text("[")
    assert host.runtime.reload_if_changed() is None
    assert host.runtime.epoch is before

    (host.folder / "t.json").write_text("[3]")
    assert host.runtime.reload_if_changed() is not None
    assert host.printed == ["[1]", "[3]"]


@pytest.mark.parametrize("kind", ["toml", "yaml"])
async def test_a_text_too_large_for_a_handler_is_refused_before_it_is_parsed(host, kind):
    line = {"toml": "key{n} = 'value'\\n", "yaml": "key{n}: value\\n"}[kind]
    host.load(
        f"TEXT = ''.join(f\"{line}\" for n in range(20000))\n"
        f"@on('get_queue_config')\ndef ask(*args):\n    mta.serde.{kind}_parse(TEXT)"
    )

    with pytest.raises(HookFailedError, match="would use more than its"):
        await host.fire("a")


def test_many_numbers_in_a_line_are_not_taken_for_dotted_keys(host):
    assert host.value("len(mta.serde.toml_parse('a = [' + '1.5,' * 20000 + ']')['a'])") == "20000"


def test_frozen_tables_are_written_too(host):
    assert host.value("mta.serde.json_encode({1: (1, 2)})") == repr('{"1":[1,2]}')
    assert host.value("mta.serde.json_encode_pretty({'a': 'ä'})") == repr('{\n  "a": "ä"\n}')


def test_a_few_lines_of_anchors_make_no_huge_value(host):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )

    with pytest.raises(PolicyLoadError, match="too large"):
        host.load(f"mta.serde.yaml_parse({bomb!r})")
