"""What can go wrong with policy scripts: one class for each situation.

Place in flow: raised by ``script_loader`` and ``runtime``; a program maps them by the
failure rule of the hook.

Invariants:
    * What ends a handler against the script's will derives from ``BaseException``, so that
      no ``except Exception`` of a script, and none of the library code it calls, holds it up.
"""

from __future__ import annotations

from typing import NamedTuple


class ScriptFrame(NamedTuple):
    """One line of a script that an exception passed through."""

    file: str
    line: int
    function: str
    source: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        if self.function and self.function != "<module>":
            where += f" in {self.function}"
        return f"{where}: {self.source}" if self.source else where


class PolicyError(Exception):
    """A policy script, or the use made of one, is at fault."""


class PolicyLoadError(PolicyError):
    """A set of scripts cannot become an epoch."""

    def __init__(self, file: str, line: int | None, message: str) -> None:
        super().__init__(file, line, message)
        self.file = file
        self.line = line
        self.message = message
        #: The lines of scripts that it passed through, the outermost first.
        self.trace: tuple[ScriptFrame, ...] = ()

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}"


class HookFailedError(PolicyError):
    """A handler did not answer; its hook's failure rule decides. The cause is chained."""

    def __init__(
        self,
        hook: str,
        *,
        file: str,
        line: int | None,
        message: str,
        overrun: bool = False,
        trace: tuple[ScriptFrame, ...] = (),
        is_misanswer: bool = False,
    ) -> None:
        super().__init__(hook, file, line, message)
        self.hook = hook
        self.file = file
        self.line = line
        self.message = message
        self.overrun = overrun
        self.trace = trace
        #: Whether the handler ended well, with an answer that no event takes.
        self.is_misanswer = is_misanswer

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{self.hook}: {where}: {self.message}"


class ScriptRefusal(BaseException):
    """A handler's final answer, raised: no script can catch it. Programs subclass it."""


class BudgetSpentError(BaseException):
    """The running call has used up its CPU or memory; nothing of the script may go on."""


class LimitExceededError(PolicyError, ValueError):
    """One operation of a script asked for more than a script may have."""


class ConfinementError(PolicyError, TypeError):
    """A script reached for something it may not touch."""
