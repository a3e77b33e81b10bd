"""What the shape tests measure, and the exceptions they tolerate.

    python tests/architecture/shape.py --tighten

drops exceptions that are no longer needed and lowers those that could be lower; it never adds any.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RATCHET = Path(__file__).with_name("ratchet.toml")
PACKAGES = ("engine", "policy", "tsa", "proxy")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60


def modules() -> Iterator[Path]:
    """Yield the source files of the packages."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def long_files() -> dict[str, int]:
    """Return the files over the limit, with their lines."""
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    return {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX}


def long_functions() -> dict[str, int]:
    """Return the functions over the limit, docstring included, with their lines."""
    found = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found[f"{name_of(path)}:{node.name}"] = lines
    return found


def untested_modules() -> list[str]:
    """Return the modules without a test file of their own."""
    found = []
    for path in modules():
        own = ROOT / "tests" / "unit" / path.relative_to(ROOT).parent / f"test_{path.name}"
        if path.name != "__init__.py" and not own.is_file():
            found.append(name_of(path))
    return found


def load_ratchet() -> dict[str, dict[str, int] | list[str]]:
    return tomllib.loads(RATCHET.read_text())


def write_ratchet(files: dict[str, int], functions: dict[str, int], untested: list[str]) -> None:
    lines = [
        "# What the shape tests still tolerate. Entries may only go or become smaller:",
        "#     python tests/architecture/shape.py --tighten",
        "",
        "# Modules without a test file of their own; other tests reach them.",
        "untested = [",
        *(f'  "{name}",' for name in sorted(untested)),
        "]",
        "",
        f"# Files over {FILE_LINES_MAX} lines.",
        "[files]",
        *(f'"{name}" = {count}' for name, count in sorted(files.items())),
        "",
        f"# Functions over {FUNCTION_LINES_MAX} lines.",
        "[functions]",
        *(f'"{name}" = {count}' for name, count in sorted(functions.items())),
    ]
    RATCHET.write_text("\n".join(lines) + "\n")


def lowered(known: dict[str, int], found: dict[str, int]) -> dict[str, int]:
    return {name: min(count, found[name]) for name, count in known.items() if name in found}


if __name__ == "__main__":
    if sys.argv[1:] != ["--tighten"]:
        sys.exit(__doc__)
    known = load_ratchet()
    write_ratchet(
        lowered(known["files"], long_files()),
        lowered(known["functions"], long_functions()),
        [name for name in known["untested"] if name in untested_modules()],
    )
