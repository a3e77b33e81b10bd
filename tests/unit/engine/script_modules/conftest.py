"""What tests of script modules share."""

from __future__ import annotations

import pytest

from tests.fakes.pure_modules import ScriptHost


@pytest.fixture
def host(tmp_path):
    return ScriptHost(tmp_path)
