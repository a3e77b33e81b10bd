"""shaping.setup: paths come from files, mistakes are found at load, daemons are declared."""

from __future__ import annotations

import pytest

from engine.model.log_record import RecordKind
from policy.errors import PolicyLoadError
from tests.fakes.helper_world import HelperWorld

FILE = """
[default]
connection_limit = 10

[default.sources."ip-2"]
connection_limit = 3

[provider."big"]
match = [{ DomainSuffix = "big.example" }]
max_message_rate = "7/s"

["plain.example"]
mx_rollup = false
connection_limit = 4
"""


@pytest.fixture
def world(tmp_path):
    return HelperWorld(tmp_path)


def path_of(world, domain="any.example", source="ip-1", site="mx.any.example"):
    return world.fire("get_egress_path", domain, source, site)


def test_paths_are_made_from_the_files(world):
    world.load('shaping.setup(["base.toml"])\n', {"base.toml": FILE})
    assert path_of(world).connection_limit.limit == 10
    assert path_of(world, source="ip-2").connection_limit.limit == 3
    assert path_of(world, "plain.example").connection_limit.limit == 4
    big = path_of(world, "mail.big.example")
    assert (str(big.max_message_rate), big.provider_name) == ("7/s", "big")


def test_a_later_file_or_table_overrides(world):
    script = (
        'shaping.setup(["base.toml"], extra_files=["more.json", '
        '{"plain.example": {"mx_rollup": False, "connection_limit": 1}}])\n'
    )
    world.load(script, {"base.toml": FILE, "more.json": '{"default": {"connection_limit": 5}}'})
    assert path_of(world).connection_limit.limit == 5
    assert path_of(world, "plain.example").connection_limit.limit == 1


def test_without_files_paths_have_their_defaults(world):
    world.load("shaping.setup()\n")
    assert path_of(world).connection_limit.limit == 32


def test_a_handler_may_change_what_the_files_give(world):
    world.load(
        """
        shaping.setup(["base.toml"])

        @on("get_egress_pool")
        def pool(name):
            options = shaping.resolve("mail.big.example", "ip-2", "mx.big.example")
            return mta.make_egress_pool(name=f"{options['max_message_rate']}", entries=[])
        """,
        {"base.toml": FILE},
    )
    assert world.fire("get_egress_pool", "x").name == "7/s"


def test_a_value_that_does_not_fit_is_an_error_with_file_and_line(world):
    world.write('shaping.setup(["base.toml"])\n', {"base.toml": "[default]\n\nmax_ready = -1\n"})
    with pytest.raises(PolicyLoadError) as caught:
        world.runtime.load(world.path, dry_check=world.dry_check)
    assert caught.value.file.endswith("base.toml")
    assert caught.value.line == 3


def test_the_check_names_each_mistake(world):
    found = world.check(
        'shaping.setup(["bad.toml", "none.toml"], publish=["tsa:8008"])\n',
        {"bad.toml": "[default]\nconection_limit = 1\n"},
    )
    assert len(found) == 1
    assert "publish: a URL such as" in found[0]

    found = world.check(
        'shaping.setup(["bad.toml", "none.toml"])\n',
        {"bad.toml": "[default]\nconection_limit = 1\n"},
    )
    assert any(one.startswith("bad.toml:2: error: ") for one in found)
    assert any("none.toml" in one and one.startswith("init.py:4: error") for one in found)


def test_the_check_says_what_has_no_effect(world):
    (found,) = world.check("shaping.setup(tsa_queue_config={})\n")
    assert found.startswith("init.py:4: warning: tsa_queue_config has no effect")


def test_a_missing_file_may_be_left_out_if_the_script_says_so(world):
    world.load('shaping.setup(["none.toml"], load_validation_options={"local_load": "Warn"})\n')
    assert path_of(world).connection_limit.limit == 32


def test_an_edit_of_a_file_is_a_reload(world):
    world.load('shaping.setup(["base.toml"])\n', {"base.toml": FILE})
    assert (world.folder / "base.toml").resolve() in {
        path.resolve() for path in world.runtime.epoch.files
    }


def test_it_is_set_up_once(world):
    found = world.check("shaping.setup()\nshaping.setup()\n")
    assert any("helpers.shaping is set up twice" in one for one in found)


def test_a_handler_above_it_answers_for_what_it_knows_and_leaves_the_rest(world):
    world.load(
        """
        @on("get_egress_path")
        def path(routing_domain, egress_source, site_name):
            if routing_domain == "lab.example":
                return mta.make_egress_path(connection_limit=1)
            return None

        shaping.setup(["base.toml"])
        """,
        {"base.toml": FILE},
    )
    assert path_of(world, "lab.example").connection_limit.limit == 1
    assert path_of(world).connection_limit.limit == 10


def test_nobody_answers_for_paths_after_it(world):
    script = """
    shaping.setup()

    @on("get_egress_path")
    def path(routing_domain, egress_source, site_name):
        return None
    """
    assert any("get_egress_path" in one and "error" in one for one in world.check(script))


def test_daemons_are_declared_with_each_init(world):
    world.load(
        'shaping.setup(publish=["http://a:1", "http://b:1"], subscribe=["http://a:1"],\n'
        '    additional_skip_log_record_types=["OOB"], pre_filter=False, back_pressure=10)\n'
    )
    declared = world.dry_check.declarations.automation
    assert declared.publish == ("http://a:1", "http://b:1")
    assert declared.subscribe == ("http://a:1",)
    assert RecordKind.OOB in declared.skipped
    assert RecordKind.RECEPTION in declared.skipped
    assert (declared.pre_filter, declared.back_pressure) == (False, 10)


def test_automation_switched_off_still_publishes(world):
    world.load('shaping.setup(publish=["http://a"], subscribe=["http://a"], automation=False)\n')
    declared = world.dry_check.declarations.automation
    assert (declared.publish, declared.subscribe) == (("http://a",), ())


def test_files_alone_declare_no_daemon(world):
    world.load("shaping.setup()\n")
    assert world.dry_check.declarations.automation is None


def test_what_is_in_force_is_told_with_its_files_and_the_place_of_its_setup(world):
    world.load('shaping.setup(["base.toml", {"default": {"max_ready": 5}}])\n', {"base.toml": FILE})
    found = world.helpers.shaping.in_force(world.runtime.epoch)

    assert found.place == (str(world.path), 4)
    assert found.files == (str(world.folder / "base.toml"), str(world.path))
    assert found.shaping.default.settings[("max_ready",)].value == 5
    assert (found.is_complete, found.failing, found.obeys) == (True, None, True)


def test_nothing_is_in_force_where_a_script_sets_nothing_up(world):
    world.load("")

    assert world.helpers.shaping.in_force(world.runtime.epoch) is None
