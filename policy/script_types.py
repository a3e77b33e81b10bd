"""The names that ``dataclasses`` looks for in the module of a class.

Place in flow: ``stand_ins`` lends it to each script's dataclass while it is made: with
annotations as strings the library reads the module a class says it is from, and scripts are
not in ``sys.modules``.
"""

import dataclasses
import typing
from dataclasses import KW_ONLY, InitVar
from typing import ClassVar

__all__ = ["KW_ONLY", "ClassVar", "InitVar", "dataclasses", "typing"]
