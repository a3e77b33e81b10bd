"""Load a policy script and what it imports into a new epoch.

Place in flow: ``runtime`` asks for an epoch; ``sandbox`` compiles, ``guards`` and
``script_api`` furnish the names, ``hook_registry`` takes the handlers.

Invariants:
    * Only files inside the folder of the policy script are read, symbolic links resolved.
    * Each script runs once per epoch, confined and within the load's budget.

Failure: always a ``PolicyLoadError`` with file and line; an error that a script caught on
its way up still fails the load.
"""

from __future__ import annotations

import _strptime  # type: ignore[import-not-found]
import hashlib
import sys
import time
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from policy.budget import MAX_LOAD_BYTES
from policy.epoch import EPOCH_NAME, Epoch
from policy.errors import PolicyError, PolicyLoadError, ScriptFrame, ScriptRefusal
from policy.failure import describe, line_of, place_of, trace_of
from policy.guarded_builtins import AVAILABLE, build_builtins
from policy.guards import Guards
from policy.hook_registry import HookRegistry, HookTable
from policy.sandbox import LateImport, compile_script
from policy.script_api import ScriptNamespace
from policy.stand_in_regex import RegexEngine
from policy.stand_ins import MODULE_NAMES, build_stand_ins

LOAD_BUDGET_S = 2.0
#: What a script would import instead of a module that it cannot have.
INSTEAD = {
    "aiohttp": "use mta.http",
    "dns": "use mta.dns",
    "httpx": "use mta.http",
    "logging": "use mta.log_info and its like",
    "os": "mta.fs reads files, mta.secrets the environment",
    "pathlib": "mta.fs reads files of the policy's folder",
    "redis": "use mta.redis",
    "requests": "use mta.http",
    "sqlite3": "use mta.sqlite",
    "time": "use mta.time",
    "tomllib": "use mta.serde",
    "urllib": "use mta.http",
    "yaml": "use mta.serde",
}

# What ``datetime`` imports where it is called, by way of the ``__import__`` of the script.
_FOR_C = {module.__name__ for module in (time, _strptime)}
_NO_MODULE = ModuleType("nothing")


class ScriptLoader:
    """One load: dies with it, except for what the epoch keeps."""

    def __init__(
        self,
        epoch: Epoch,
        hooks: HookTable,
        namespace: ScriptNamespace,
        write_line: Callable[[str], None],
    ) -> None:
        self._epoch = epoch
        self._namespace = namespace
        self._registry = HookRegistry(hooks)
        self._guards = Guards(epoch.budget)
        self._first_error: PolicyLoadError | None = None
        self._loading: list[str] = []
        self._late: list[tuple[str, LateImport]] = []
        self._open = True
        self._scripts: dict[str, ModuleType] = {}
        self._folder = Path()
        engine = RegexEngine(epoch.budget)
        epoch.regex_fallback_uses = lambda: engine.fallback_uses
        extra: dict[str, Mapping[str, Any]] = dict(build_stand_ins(self._guards, engine))
        extra["mta"] = {"on": self._build_on()}
        self._modules = namespace.modules(epoch.budget, extra)
        self._operators = self._guards.operators()
        self._builtins = build_builtins(self._guards, write_line, self._build_import())

    def load(self, path: Path) -> None:
        """Run the script into the epoch.

        Raises:
            PolicyLoadError: anything is wrong with it or with what it imports.
        """
        path = path.absolute()
        self._folder = path.parent.resolve()
        self._check_file_names(path)
        native = self._epoch.native
        native.open(self._folder, self._register_native)
        budget = self._epoch.budget
        saved = budget.enter(int(LOAD_BUDGET_S * 1e9))
        budget.max_bytes = MAX_LOAD_BYTES
        try:
            self._run_file(path.stem, path)
            self._reach_late_imports()
            if budget.ending is not None:
                raise budget.ending
        except PolicyLoadError as error:
            self._trace(error, error)
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise self._as_load_error(error, path) from error
        finally:
            self._open = False
            native.close()
            budget.leave(saved)
            _forget_types()
        if self._first_error is not None:
            self._trace(self._first_error, self._first_error)
            raise self._first_error
        native.check()
        self._epoch.handlers = self._registry.handlers()

    def _reach_late_imports(self) -> None:
        """Load what functions import, so that a handler meets no missing module."""
        while self._late:
            file, late = self._late.pop()
            try:
                self._find(late.module, (file, late.line))
            except ImportError as error:
                raise PolicyLoadError(file, late.line, str(error)) from None

    def _as_load_error(self, error: BaseException, path: Path) -> PolicyLoadError:
        file, line = place_of(error, self._epoch.sources.keys()) or (str(path), None)
        message = describe(error, self._epoch.budget)
        if isinstance(error, ScriptRefusal):
            message = "a refusal is an answer to an event, not to a load"
        load_error = PolicyLoadError(file, line, message)
        self._trace(load_error, error)
        return load_error

    def _trace(self, load_error: PolicyLoadError, cause: BaseException) -> None:
        """Note the lines of scripts that led to an error, or at least the one it names."""
        sources = self._epoch.sources
        load_error.trace = trace_of(cause, sources)
        file, line = load_error.file, load_error.line
        if line is not None and file in sources:
            at_it = ScriptFrame(file, line, "", line_of(sources[file], line))
            if not any(frame[:2] == at_it[:2] for frame in load_error.trace):
                load_error.trace += (at_it,)

    def _check_file_names(self, path: Path) -> None:
        taken = {name.partition(".")[0] for name in MODULE_NAMES | self._namespace.module_names()}
        beside = sorted(self._folder.glob("*.py")) if self._folder.is_dir() else []
        for file in [path, *beside]:
            if file.stem in taken:
                raise PolicyLoadError(
                    str(file), None, f"a script cannot be named like the module {file.stem!r}"
                )

    # --- files

    def _run_file(self, name: str, path: Path) -> ModuleType:
        try:
            source = path.read_bytes()
        except OSError as error:
            self._epoch.files.setdefault(path, None)
            raise self._noted(str(path), None, f"cannot be read: {error.strerror}") from None
        self._epoch.files[path] = hashlib.sha256(source).hexdigest()
        self._epoch.sources[str(path)] = source
        module = ModuleType(f"policy script {name}")
        module.__dict__.update(self._operators)
        module.__dict__["__builtins__"] = self._builtins
        # Which epoch a function that a script handed out belongs to; no script can spell it.
        module.__dict__[EPOCH_NAME] = self._epoch
        self._scripts[name] = module
        self._guards.script_modules.add(module)
        self._loading.append(name)
        try:
            code, late_imports = compile_script(source, str(path), AVAILABLE)
            self._late.extend((str(path), late) for late in late_imports)
            exec(code, module.__dict__)  # noqa: S102 - confined by compile_script
        except PolicyLoadError as error:
            self._first_error = self._first_error or error
            raise
        finally:
            self._loading.pop()
        return module

    def _noted(self, file: str, line: int | None, message: str) -> PolicyLoadError:
        error = PolicyLoadError(file, line, message)
        self._first_error = self._first_error or error
        return error

    # --- import

    def _build_import(self) -> Callable[..., ModuleType]:
        def import_module(
            name: str,
            _globals: Any = None,
            _locals: Any = None,
            fromlist: Any = (),
            _level: int = 0,
        ) -> ModuleType:
            if type(fromlist) is list and name in _FOR_C:
                # Code in C that a script called, such as ``strftime``: takes it from ``sys``.
                return _NO_MODULE
            place = _caller()
            found = self._find(name, place)
            for wanted in fromlist or ():
                self._check_wanted(name, found, wanted, place)
            return found if fromlist else self._top(name)

        return import_module

    def _top(self, name: str) -> ModuleType:
        top = name.partition(".")[0]
        return self._modules.get(top) or self._scripts[top]

    def _find(self, name: str, place: tuple[str, int]) -> ModuleType:
        module = self._modules.get(name) or self._scripts.get(name)
        if module is not None:
            if name in self._loading:
                circle = " imports ".join([*self._loading[self._loading.index(name) :], name])
                raise self._noted(*place, f"scripts import each other in a circle: {circle}")
            return module
        if not self._open:
            raise ImportError(
                f"{name!r} must be imported at the top of the script, or does not exist"
            )
        if name.partition(".")[0] in self._modules:
            raise ImportError(f"there is no module {name!r} for policy scripts")
        return self._find_beside(name)

    def _find_beside(self, name: str) -> ModuleType:
        parent = None
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            partial = ".".join(parts[:depth])
            module = self._scripts.get(partial) or self._load_beside(partial, parts[:depth])
            if parent is not None:
                parent.__dict__[parts[depth - 1]] = module
            parent = module
        assert parent is not None
        return parent

    def _load_beside(self, name: str, parts: list[str]) -> ModuleType:
        base = self._folder.joinpath(*parts)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file() and self._is_inside(candidate):
                return self._run_file(name, candidate)
        if base.is_dir() and self._is_inside(base):
            module = self._scripts[name] = ModuleType(f"policy scripts {name}")
            return module
        # Watched, so that writing the missing script is a change.
        self._epoch.files.setdefault(base.with_suffix(".py"), None)
        hint = f"; {INSTEAD[name]}" if name in INSTEAD else ""
        text = f"there is no module {name!r} for policy scripts, nor such a script{hint}"
        raise ImportError(text)

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._folder)

    def _check_wanted(
        self, name: str, module: ModuleType, wanted: str, place: tuple[str, int]
    ) -> None:
        if wanted in module.__dict__ and not wanted.startswith("__"):
            return
        if name in self._scripts:
            module.__dict__[wanted] = self._find(f"{name}.{wanted}", place)
            return
        raise ImportError(f"the module {name!r} has no {wanted!r} for policy scripts")

    # --- on

    def _register_native(
        self, event: str, function: Callable[..., Any], place: tuple[str, int], is_final: bool
    ) -> None:
        try:
            self._registry.register_native(event, function, place, is_final)
        except PolicyLoadError as error:
            self._first_error = self._first_error or error
            raise

    def _build_on(self) -> Callable[..., Any]:
        def on(event: Any, function: Any = None) -> Any:
            """Register a handler, as a decorator or directly."""
            place = _caller()
            if not self._open:
                raise PolicyError("on() can be called while the script is loaded, not later")
            if type(event) is not str:
                raise self._noted(*place, 'on() takes the name of an event, as in @on("init")')

            def take(handler: Any) -> Any:
                try:
                    self._registry.register(event, handler, place)
                except PolicyLoadError as error:
                    self._first_error = self._first_error or error
                    raise
                return handler

            return take if function is None else take(function)

        return on


def _forget_types() -> None:
    """Drop what ``typing`` remembers of annotations: it would keep a hundred old epochs alive."""
    for forget in getattr(typing, "_cleanups", ()):
        forget()


def _caller() -> tuple[str, int]:
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno
