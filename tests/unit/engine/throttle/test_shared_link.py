"""Shared limits are known without the library that reaches Redis."""

from __future__ import annotations

import subprocess
import sys


def test_a_node_that_shares_nothing_does_not_read_the_library_of_redis():
    program = "import sys, engine.app; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
