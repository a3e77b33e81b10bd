"""Access lists in scripts."""

from __future__ import annotations

import pytest

from engine.script_testing import ScriptError, ScriptHarness

HEAD = "import mta\nfrom mta import on\n\n"


def test_lists_of_a_file_are_found_by_resource(tmp_path):
    (tmp_path / "acl.toml").write_text(
        '[[acl."http_listener/*/metrics"]]\nallow = true\nprivileges = ["GET"]\n'
        'identity.Group = "monitors"\n'
    )
    text = HEAD + (
        "ACLS = mta.load_acl_map(mta.serde.toml_load('acl.toml'))\n\n"
        "@on('get_acl_definition')\n"
        "def get_acl_definition(resource):\n"
        "    return ACLS.get(resource)\n"
    )
    with ScriptHarness.from_text(tmp_path, text) as script:
        found = script.fire("get_acl_definition", "http_listener/*/metrics")

        assert [rule.privileges for rule in found.rules] == [frozenset({"GET"})]
        assert script.fire("get_acl_definition", "http_listener") is None


def test_init_says_whether_default_lists_hold(tmp_path):
    text = HEAD + "@on('init')\ndef init():\n    mta.set_fall_back_to_acl_map(False)\n"
    with ScriptHarness.from_text(tmp_path, text) as script:
        assert script.declared.has_default_access_lists is False


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("mta.make_access_control_list([{'allow': True}])", "exactly one of criteria"),
        ("mta.load_acl_map('acl.toml')", "toml_load"),
        ("mta.set_fall_back_to_acl_map(True)", "belongs into the init event"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(tmp_path, code, complaint):
    with pytest.raises(ScriptError, match=complaint) as error:
        ScriptHarness.from_text(tmp_path, f"import mta\n{code}\n").__enter__()

    assert "init.py:2" in str(error.value)


def test_an_answer_that_is_no_list_is_an_error_at_load_where_it_can_be_seen(tmp_path):
    text = HEAD + "@on('get_acl_definition')\ndef f(resource):\n    return True\n"
    with pytest.raises(ScriptError, match="AccessControlList"):
        ScriptHarness.from_text(tmp_path, text).__enter__()


def test_an_answer_that_is_no_list_fails_the_handler(tmp_path):
    text = (
        HEAD + "@on('get_acl_definition')\ndef f(resource):\n    return {'allow': True}['allow']\n"
    )
    with ScriptHarness.from_text(tmp_path, text) as script:
        with pytest.raises(ScriptError, match="AccessControlList"):
            script.fire("get_acl_definition", "x")
