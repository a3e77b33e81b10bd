"""Trusted code registers handlers while scripts load, in order with theirs."""

from __future__ import annotations

import sys

import pytest

from policy.errors import PolicyError, PolicyLoadError
from policy.hook import Hook
from policy.hook_registry import PolicyFinding
from policy.native_hooks import NativeHooks
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (
    Hook("many", ("name",), (object,), multiple=True),
    Hook("one", ("name",), (object,)),
)


def namespace(setup):
    """Return a namespace whose ``helper.setup`` calls a function with the loading epoch."""
    made = ScriptNamespace()

    def call(*args):
        frame = sys._getframe(1)
        place = (frame.f_code.co_filename, frame.f_lineno)
        return setup(frame.f_globals["@epoch"], place, *args)

    made.expose("setup", call, module="helper")
    return made


def load(tmp_path, source, setup, **options):
    source = f"from mta import on\nimport helper\n{source}"
    return LoadedScript(tmp_path, source, HOOKS, namespace(setup), **options)


def answer_many(epoch, place, text="native", is_final=False):
    epoch.native.on("many", lambda name: f"{text} {name}", place, is_final=is_final)


def test_a_native_handler_answers(tmp_path):
    script = load(tmp_path, "helper.setup()\n", answer_many)

    assert script.runtime.fire_nowait("many", "x") == "native x"


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("helper.setup()\n@on('many')\ndef f(name):\n    return 'script'\n", "native x"),
        ("@on('many')\ndef f(name):\n    return 'script'\nhelper.setup()\n", "script"),
        ("@on('many')\ndef f(name):\n    return None\nhelper.setup()\n", "native x"),
    ],
)
def test_handlers_are_asked_in_the_order_of_registration(tmp_path, source, answer):
    script = load(tmp_path, source, answer_many)

    assert script.runtime.fire_nowait("many", "x") == answer


def test_a_handler_after_a_final_one_is_an_error_at_its_own_line(tmp_path):
    source = "helper.setup('a', True)\n@on('many')\ndef f(name):\n    return 1\n"

    with pytest.raises(PolicyLoadError) as caught:
        load(tmp_path, source, answer_many)

    assert caught.value.line == 4
    assert "init.py:3" in caught.value.message


@pytest.mark.parametrize(("own", "answer"), [("'script'", "script"), ("None", "native x")])
def test_a_final_one_answers_what_the_only_handler_of_a_script_leaves_open(tmp_path, own, answer):
    source = f"@on('one')\ndef f(name):\n    return {own}\nhelper.setup()\n"
    script = load(
        tmp_path,
        source,
        lambda epoch, place: epoch.native.on("one", "native {}".format, place, is_final=True),
    )

    assert script.runtime.fire_nowait("one", "x") == answer


def test_the_only_handler_of_a_script_cannot_come_after_a_final_one(tmp_path):
    source = "helper.setup()\n@on('one')\ndef f(name):\n    return 1\n"

    with pytest.raises(PolicyLoadError, match="would never be asked; register it before"):
        load(
            tmp_path,
            source,
            lambda epoch, place: epoch.native.on("one", len, place, is_final=True),
        )


def test_a_script_that_catches_a_refused_registration_still_fails_to_load(tmp_path):
    source = "try:\n    helper.setup()\n    helper.setup()\nexcept Exception:\n    pass\n"

    with pytest.raises(PolicyLoadError, match="takes one handler"):
        load(tmp_path, source, lambda epoch, place: epoch.native.on("one", len, place))


def test_an_event_that_the_program_does_not_have_cannot_be_answered(tmp_path):
    with pytest.raises(PolicyLoadError, match="no event 'other' in this program"):
        load(tmp_path, "helper.setup()\n", lambda e, place: e.native.on("other", len, place))


def test_a_function_of_a_script_cannot_register_after_the_load(tmp_path):
    source = "@on('many')\ndef f(name):\n    try:\n        helper.setup()\n"
    source += "    except Exception as error:\n        return str(error)\n"
    script = load(tmp_path, source, answer_many)

    assert "while the script is loaded" in script.runtime.fire_nowait("many", "x")


def test_a_finding_of_an_error_rejects_the_epoch(tmp_path):
    def setup(epoch, place):
        epoch.native.findings.append(PolicyFinding("a.toml", 7, "error", "unknown key"))

    with pytest.raises(PolicyLoadError) as caught:
        load(tmp_path, "helper.setup()\n", setup)

    assert (caught.value.file, caught.value.line) == ("a.toml", 7)


def test_a_finding_of_a_warning_is_kept_with_the_epoch(tmp_path):
    warning = PolicyFinding("a.toml", 7, "warning", "not yet in force")

    script = load(tmp_path, "helper.setup()\n", lambda e, _: e.native.findings.append(warning))

    assert script.runtime.epoch.warnings == [warning]


def test_what_is_checked_last_sees_what_came_after(tmp_path):
    def setup(epoch, place, name):
        epoch.native.parts[name] = True
        native = epoch.native
        finding = PolicyFinding("x", 1, "error", "b is missing")
        native.final_checks.append(lambda: [] if "b" in native.parts else [finding])

    load(tmp_path, "helper.setup('a')\nhelper.setup('b')\n", setup)
    with pytest.raises(PolicyLoadError, match="b is missing"):
        load(tmp_path, "helper.setup('a')\n", setup)


def test_nothing_registers_before_a_load_begins():
    with pytest.raises(PolicyError):
        NativeHooks().on("many", len, ("x", 1))
