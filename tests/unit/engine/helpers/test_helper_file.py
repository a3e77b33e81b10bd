"""Files of a helper merge, and each finding says where it stands."""

from __future__ import annotations

import os

import pytest

from policy.errors import PolicyLoadError
from tests.fakes.helper_world import HelperWorld

SETUP = "sources.setup(['a.toml', 'b.json'])\n"


def ehlo(world, name):
    return world.fire("get_egress_source", name).ehlo_domain


def test_later_files_override_key_by_key(tmp_path):
    world = HelperWorld(tmp_path)
    world.load(
        SETUP,
        {
            "a.toml": "[source.x]\nehlo_domain = 'a'\nsource_address = '10.0.0.1'\n[source.y]\n",
            "b.json": '{"source": {"x": {"ehlo_domain": "b"}, "z": {"ehlo_domain": "z"}}}',
        },
    )

    source = world.fire("get_egress_source", "x")
    assert (source.ehlo_domain, source.source_address) == ("b", "10.0.0.1")
    assert world.fire("get_egress_source", "y").ehlo_domain is None
    assert ehlo(world, "z") == "z"


def test_a_finding_names_the_file_that_said_it_last(tmp_path):
    found = HelperWorld(tmp_path).check(
        SETUP,
        {
            "a.toml": "[source.x]\nehlo_domain = 'a'\n",
            "b.json": '{\n "source": {\n  "x": {\n   "ehlo_domain": 5}}}',
        },
    )

    assert found == ["b.json:4: error: source.x.ehlo_domain: text is expected, not 5"]


def test_a_table_in_the_script_has_the_line_of_the_call(tmp_path):
    found = HelperWorld(tmp_path).check("\nX = 1\nsources.setup({'source': {'x': {'ttll': 1}}})\n")

    assert found == ["init.py:5: error: source.x: unknown option 'ttll' (did you mean 'ttl'?)"]


def test_a_single_file_needs_no_list(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("sources.setup('a.toml')\n", {"a.toml": "[source.x]\nehlo_domain = 'a'\n"})

    assert ehlo(world, "x") == "a"


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        ("a.toml", "[source.x]\nehlo_domain = \n", "a.toml:2: error: no TOML"),
        ("a.json", '{\n "source": nothing}', "a.json:2: error: no JSON"),
        ("a.json", "[]", "a.json:1: error: wants an object at the top"),
        ("a.toml", "source = 3\n", "a.toml:1: error: source: a table is expected, not 3"),
        ("a.toml", "source.x = 3\n", "a.toml:1: error: source.x: a table is expected, not 3"),
    ],
)
def test_a_file_that_is_none_is_an_error_with_its_line(tmp_path, name, text, finding):
    found = HelperWorld(tmp_path).check(f"sources.setup(['{name}'])\n", {name: text})

    assert len(found) == 1
    assert found[0].startswith(finding)


def test_a_missing_file_is_an_error_at_the_call(tmp_path):
    found = HelperWorld(tmp_path).check("sources.setup(['none.toml'])\n")

    assert found == ["init.py:4: error: none.toml: No such file or directory"]


def test_a_pipe_is_no_file_and_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")

    found = HelperWorld(tmp_path).check("sources.setup(['pipe.toml'])\n")

    assert found == ["init.py:4: error: pipe.toml: is no plain file"]


def test_what_a_broken_file_would_define_is_not_missed(tmp_path):
    files = {"a.toml": "[pool.p.x]\n", "b.json": "{"}

    found = HelperWorld(tmp_path).check(
        SETUP + "queues.setup(['q.toml'])\n",
        files | {"q.toml": "[queue.default]\negress_pool = 'q'\n"},
    )

    assert len(found) == 1
    assert found[0].startswith("b.json:1:")


@pytest.mark.parametrize("argument", ["5", "[]", "[5]", "None", "['']"])
def test_what_names_no_files_is_an_error(tmp_path, argument):
    with pytest.raises(PolicyLoadError) as caught:
        HelperWorld(tmp_path).load(f"sources.setup({argument})\n")

    assert caught.value.line == 4


def test_tables_without_an_end_are_an_error(tmp_path):
    deep = ".".join("a" * 40)

    found = HelperWorld(tmp_path).check("sources.setup('a.toml')\n", {"a.toml": f"[source.{deep}]"})

    assert "a.toml:1: error: tables nested too deeply" in found


def test_a_change_of_a_file_is_a_new_epoch(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("sources.setup('a.toml')\n", {"a.toml": "[source.x]\nehlo_domain = 'old'\n"})
    (tmp_path / "a.toml").write_text("[source.x]\nehlo_domain = 'new'\n")

    assert world.runtime.reload_if_changed() is not None
    assert ehlo(world, "x") == "new"


def test_a_broken_change_keeps_what_was(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("sources.setup('a.toml')\n", {"a.toml": "[source.x]\nehlo_domain = 'old'\n"})
    (tmp_path / "a.toml").write_text("[source.x]\nehlo_domian = 'new'\n")

    assert world.runtime.reload_if_changed() is None
    assert ehlo(world, "x") == "old"
    facts = dict(world.reports)["policy_rejected"]
    assert (facts["file"], facts["line"]) == (str(tmp_path / "a.toml"), 2)


def test_writing_a_missing_file_is_a_change(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("sources.setup('a.toml')\n", {"a.toml": "[source.x]\n"})
    world.write("sources.setup(['a.toml', 'b.toml'])\n")
    assert world.runtime.reload_if_changed() is None

    (tmp_path / "b.toml").write_text("[source.x]\nehlo_domain = 'b'\n")

    assert world.runtime.reload_if_changed() is not None
    assert ehlo(world, "x") == "b"


def test_names_are_relative_to_the_policy_and_not_to_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    world = HelperWorld(tmp_path)
    world.load("sources.setup('conf/a.toml')\n", {"conf/a.toml": "[source.x]\n"})

    assert world.fire("get_egress_source", "x").name == "x"
