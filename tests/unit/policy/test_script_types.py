"""What ``dataclasses`` finds when it looks for the module of a script's class."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy import script_types
from policy.hook import Hook
from policy.testing import LoadedScript


@pytest.mark.parametrize("name", ["ClassVar", "InitVar", "KW_ONLY", "dataclasses", "typing"])
def test_it_has_the_names_that_annotations_use(name: str) -> None:
    assert hasattr(script_types, name)


def test_class_variables_and_markers_are_told_from_fields(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\n"
        "from dataclasses import KW_ONLY, InitVar, dataclass, fields\n"
        "from typing import ClassVar\n"
        "from mta import on\n"
        "@dataclass\n"
        "class C:\n"
        "    shared: ClassVar[int] = 1\n"
        "    first: int\n"
        "    given: InitVar[int]\n"
        "    _: KW_ONLY\n"
        "    last: int = 2\n"
        "    def __post_init__(self, given): self.first += given\n"
        "@on('probe')\n"
        "def probe():\n"
        "    c = C(1, 5, last=3)\n"
        "    return [f.name for f in fields(C)], c.first, c.last\n"
    )
    script = LoadedScript(tmp_path, source, (Hook("probe", result=(tuple,)),))

    assert script.runtime.fire_nowait("probe") == (["first", "last"], 6, 3)
