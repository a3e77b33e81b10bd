"""What a script registers must fit what is declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import HookFailedError, PolicyLoadError
from policy.hook import Hook
from policy.testing import LoadedScript

HOOKS = (Hook("text", ("a", "b"), result=(str,)), Hook("many", multiple=True))


def _load(folder: Path, source: str) -> LoadedScript:
    return LoadedScript(folder, "import mta\nfrom mta import on\n" + source, HOOKS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@on('txt')\ndef f(a, b): pass\n", r":3: there is no event 'txt'; did you mean 'text'"),
        ("@on('text')\ndef f(a): pass\n", r":3: the handler must accept text\(a, b\)"),
        ("@on('text')\ndef f(a, b, c): pass\n", r":3: the handler must accept text\(a, b\)"),
        ("@on('text')\ndef f(a, b, *, c): pass\n", r":3: the handler must accept"),
        ("@on('text')\ndef f(a, b): yield 1\n", r":3: .*must return, not yield"),
        ("on('text', 5)\n", r":3: the handler of 'text' must be a function"),
        ("on(5, 5)\n", r":3: on\(\) takes the name"),
        (
            "@on('text')\ndef f(a, b): pass\n\n@on('text')\ndef g(a, b): pass\n",
            r"init.py:6: 'text' takes one handler, and one was registered at .*init.py:3",
        ),
        ("try: on('txt', 1)\nexcept Exception: pass\n", r":3: there is no event"),
    ],
)
def test_what_does_not_fit_is_a_load_error_with_its_line(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(PolicyLoadError, match=message):
        _load(tmp_path, source)


@pytest.mark.parametrize("arguments", ["a, b", "*rest", "a, b, c=1", "x, y", "a, *b"])
def test_any_signature_that_accepts_the_arguments_fits(tmp_path: Path, arguments: str) -> None:
    script = _load(tmp_path, f"@on('text')\ndef f({arguments}): return 'x'\n")

    assert script.runtime.fire_nowait("text", 1, 2) == "x"


def test_a_handler_cannot_register_another(tmp_path: Path) -> None:
    script = _load(tmp_path, "@on('many')\ndef f():\n    mta.on('many', f)\n")

    with pytest.raises(HookFailedError, match=r"init.py:5: .*while the script is loaded"):
        script.runtime.fire_nowait("many")
