"""What is exposed reaches scripts, and only as far as it should."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import HookFailedError
from policy.hook import Hook
from policy.script_api import ScriptNamespace, known_to_scripts
from policy.testing import LoadedScript

HOOKS = (Hook("probe", ("thing",), result=(object,)),)


class Envelope:
    """A view with one property a script may set."""

    __script_writable__ = frozenset({"recipient"})

    def __init__(self) -> None:
        self._recipient = "a"
        self.fixed = 1

    @property
    def recipient(self) -> str:
        return self._recipient

    @recipient.setter
    def recipient(self, value: str) -> None:
        self._recipient = value


def _fire(folder: Path, body: str, thing: object = None) -> object:
    namespace = ScriptNamespace()
    namespace.expose("lookup", lambda name: name + "!", module="mta.dns")
    namespace.expose("deep", 1, module="mta.one.two")
    namespace.expose("setup", lambda: "set", module="helpers")
    namespace.expose("TABLE", {"a": [1]})
    source = f"import mta, mta.dns, helpers\nfrom mta import on\n@on('probe')\ndef f(thing):\n    {body}\n"
    return LoadedScript(folder, source, HOOKS, namespace).runtime.fire_nowait("probe", thing)


def test_modules_are_reached_by_every_form_of_import(tmp_path: Path) -> None:
    assert _fire(tmp_path, "return mta.dns.lookup('a'), mta.one.two.deep, helpers.setup()") == (
        "a!",
        1,
        "set",
    )
    assert _fire(tmp_path, "from mta.dns import lookup as l; return l('b')") == "b!"
    assert _fire(
        tmp_path, "from mta import dns; import mta.one.two as t; return dns.lookup('c'), t.deep"
    ) == ("c!", 1)


def test_a_declared_property_can_be_set(tmp_path: Path) -> None:
    envelope = Envelope()

    _fire(tmp_path, "thing.recipient = 'b'", envelope)
    _fire(tmp_path, "thing.recipient += 'c'", envelope)

    assert envelope.recipient == "bc"


@pytest.mark.parametrize(
    "body",
    [
        "thing.fixed = 2",
        "thing._recipient = 2",
        "thing.new = 2",
        "del thing.recipient, thing.fixed",
    ],
)
def test_nothing_else_of_an_exposed_object_can_be_set(tmp_path: Path, body: str) -> None:
    with pytest.raises(HookFailedError):
        _fire(tmp_path, body, Envelope())


def test_each_epoch_has_its_own_modules(tmp_path: Path) -> None:
    namespace = ScriptNamespace()

    assert namespace.modules()["mta"] is not namespace.modules()["mta"]


def test_names_no_script_could_use_are_refused() -> None:
    namespace = ScriptNamespace()

    with pytest.raises(ValueError, match="underscore"):
        namespace.expose("_x", 1)
    with pytest.raises(ValueError, match="stand-in"):
        namespace.expose("x", 1, module="json")


def test_errors_call_a_function_by_the_name_that_scripts_know() -> None:
    class Inner:
        def _work(self, *, size: int) -> None: ...

    namespace = ScriptNamespace()
    namespace.expose("define", Inner()._work, module="mta.things")
    things = namespace.modules()["mta.things"]

    with pytest.raises(TypeError, match=r"^mta\.things\.define\(\) got an unexpected keyword"):
        things.define(siez=1)


def test_errors_call_an_object_by_the_name_that_scripts_know() -> None:
    class _Base:
        def read(self) -> None: ...

    @known_to_scripts("Message")
    class _View(_Base): ...

    with pytest.raises(AttributeError, match="'Message' object has no attribute 'reed'"):
        _View().reed  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(TypeError, match=r"^read\(\) got an unexpected keyword"):
        _View().read(a=1)  # type: ignore[call-arg]
