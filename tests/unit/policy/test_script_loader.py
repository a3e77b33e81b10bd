"""Scripts beside the policy script are loaded, confined and watched with it."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from policy.hook import Hook
from policy.testing import LoadedScript

HOOKS = (Hook("probe", result=(object,)),)


def _load(folder: Path, source: str) -> LoadedScript:
    return LoadedScript(folder, "from mta import on\n" + source, HOOKS)


def test_a_script_beside_is_imported_and_reloaded(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("TABLE = {'a': 1}\n_PRIVATE = 2\n")
    script = _load(
        tmp_path,
        "import tenants\nfrom tenants import TABLE, _PRIVATE\n@on('probe')\ndef f(): return TABLE, tenants._PRIVATE\n",
    )
    assert script.runtime.fire_nowait("probe") == ({"a": 1}, 2)

    (tmp_path / "tenants.py").write_text("TABLE = {'a': 3}\n_PRIVATE = 2\n")
    script.runtime.reload_if_changed()

    assert script.runtime.fire_nowait("probe") == ({"a": 3}, 2)


def test_folders_below_are_packages(tmp_path: Path) -> None:
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    (tmp_path / "lib" / "one.py").write_text("X = 1\n")
    (tmp_path / "lib" / "deep" / "__init__.py").write_text("Y = 2\n")
    (tmp_path / "lib" / "deep" / "three.py").write_text("from lib.one import X\nZ = X + 2\n")

    script = _load(
        tmp_path,
        "import lib.one\nfrom lib import deep\nfrom lib.deep import three\n@on('probe')\n"
        "def f(): return [lib.one.X, deep.Y, three.Z]\n",
    )

    assert script.runtime.fire_nowait("probe") == [1, 2, 3]


def test_an_import_inside_a_handler_is_loaded_with_the_script(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("X = 1\n")

    script = _load(tmp_path, "@on('probe')\ndef f():\n    from late import X\n    return X\n")

    assert script.runtime.fire_nowait("probe") == 1


def test_an_unknown_import_inside_a_handler_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError, match=r"init.py:4: .*no module 'os'"):
        _load(tmp_path, "@on('probe')\ndef f():\n    import os\n")


def test_a_circle_of_imports_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("import a\n")

    with pytest.raises(PolicyLoadError, match=r"b.py:1: .*a imports b imports a"):
        _load(tmp_path, "import a\n")


def test_an_error_in_a_script_beside_names_that_script(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("x = 1\ny = eval('1')\n")

    with pytest.raises(PolicyLoadError, match=r"tenants.py:2: 'eval' is not available"):
        _load(tmp_path, "import tenants\n")


def test_an_error_of_a_script_beside_cannot_be_caught(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("y = eval('1')\n")

    with pytest.raises(PolicyLoadError, match=r"tenants.py:1"):
        _load(tmp_path, "try: import tenants\nexcept Exception: pass\n")


def test_a_missing_script_that_appears_is_a_change(tmp_path: Path) -> None:
    script = _load(tmp_path, "")
    script.rewrite("from tenants import X\n")
    script.runtime.reload_if_changed()
    assert "no module 'tenants'" in script.reported("policy_rejected")[0]["message"]

    (tmp_path / "tenants.py").write_text("X = 1\n")

    assert script.runtime.reload_if_changed() is not None


def test_a_broken_script_beside_is_retried_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("X = 1\n")
    script = _load(tmp_path, "import tenants\n")
    (tmp_path / "tenants.py").write_text("X = \n")
    assert script.runtime.reload_if_changed() is None

    (tmp_path / "tenants.py").write_text("X = 2\n")

    assert script.runtime.reload_if_changed() is not None


def test_a_module_that_scripts_cannot_have_tells_what_to_use_instead(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError, match="no module 'requests' for .*; use mta.http$"):
        LoadedScript(tmp_path, "import requests\n", HOOKS)
