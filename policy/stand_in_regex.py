"""The ``re`` of scripts: re2, which takes linear time; ``regex`` with a time limit for the rest.

Place in flow: one engine per epoch, reached through ``stand_ins``.

Invariants:
    * The interpreter's own ``re`` never sees a script's pattern: it holds the GIL for as
      long as it likes.
    * Results are objects of this module: nothing of the engines is reachable from them.

Failure: a pattern that runs out of time raises ``TimeoutError`` in the script.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import re2
import regex

from policy.budget import CHEAP_NS, SMALL_ITEMS, Budget
from policy.errors import LimitExceededError

IGNORECASE, MULTILINE, DOTALL, VERBOSE, ASCII = 2, 8, 16, 64, 256
MAX_PATTERN_CHARACTERS = 10_000
MAX_FALLBACK_CHARACTERS = 1_000
# How often a part of such a pattern may be repeated by counts: each time is memory.
MAX_FALLBACK_REPETITIONS = 10_000
MAX_CACHED_PATTERNS = 512
FALLBACK_TIMEOUT_S = 0.04
# The most one character costs for each instruction of an automaton too large to be cached.
NS_PER_INSTRUCTION = 12
FIRST_SAMPLE_CHARACTERS = 256
MAX_SAMPLE_NS = 100_000_000
_LETTERS = ((IGNORECASE, "i"), (MULTILINE, "m"), (DOTALL, "s"))
_SPECIAL = frozenset("()[]{}?*+-|^$\\.&~# \t\n\r\v\f")


class Match:
    """One match."""

    __slots__ = ("_expand", "_match")

    def __init__(self, match: Any, expand: Callable[[Any, Match], Any]) -> None:
        self._match = match
        self._expand = expand

    def group(self, *groups: Any) -> Any:
        """Return one group or a tuple of several."""
        return self._match.group(*groups)

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        """Return all groups."""
        return tuple(self._match.groups(default))

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        """Return the named groups."""
        return dict(self._match.groupdict(default))

    def start(self, group: Any = 0) -> int:
        """Return where a group starts."""
        return int(self._match.start(group))

    def end(self, group: Any = 0) -> int:
        """Return where a group ends."""
        return int(self._match.end(group))

    def span(self, group: Any = 0) -> tuple[int, int]:
        """Return where a group starts and ends."""
        return self.start(group), self.end(group)

    @property
    def string(self) -> Any:
        """What was searched."""
        return self._match.string

    @property
    def lastindex(self) -> int | None:
        """Number of the last group that matched."""
        index: int | None = self._match.lastindex
        return index

    @property
    def lastgroup(self) -> str | None:
        """Name of the last group that matched."""
        name: str | None = self._match.lastgroup
        return name

    def expand(self, template: Any) -> Any:
        """Return a template with its references to groups replaced."""
        return self._expand(template, self)

    def __getitem__(self, group: Any) -> Any:
        return self._match.group(group)


class Pattern:
    """One compiled pattern."""

    __slots__ = ("_budget", "_compiled", "_cost_ns", "_options", "flags", "pattern")

    def __init__(
        self, pattern: Any, flags: int, budget: Budget, compiled: Any, options: Any
    ) -> None:
        self.pattern = pattern
        self.flags = flags
        self._budget = budget
        self._compiled = compiled
        self._options = options
        self._cost_ns = 0 if options else compiled.programsize * NS_PER_INSTRUCTION

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self._compiled.groups)

    @property
    def groupindex(self) -> dict[str, int]:
        """Numbers of the named groups."""
        return dict(self._compiled.groupindex)

    def _expand(self, template: Any, found: Match) -> Any:
        return _template(template, self._budget)(found)

    def search(self, string: Any, pos: int = 0) -> Match | None:
        """Return the first match anywhere."""
        return self._run("search", string, pos)

    def match(self, string: Any, pos: int = 0) -> Match | None:
        """Return the match at the start."""
        return self._run("match", string, pos)

    def fullmatch(self, string: Any, pos: int = 0) -> Match | None:
        """Return the match of all of it."""
        return self._run("fullmatch", string, pos)

    def _run(self, method: str, string: Any, pos: int) -> Match | None:
        self._budget.account_text(len(string))
        if self._options:
            return self._run_slowly(method, string, pos)
        if self._cost_ns * len(string) > CHEAP_NS:
            self._sample(string)
        found = getattr(self._compiled, method)(string, pos)
        return None if found is None else Match(found, self._expand)

    def _run_slowly(self, method: str, string: Any, pos: int) -> Match | None:
        try:
            found = getattr(self._compiled, method)(string, pos, timeout=self._patience_s())
        finally:
            # Whoever catches the ``TimeoutError`` has still used the time.
            self._budget.check()
        return None if found is None else Match(found, self._expand)

    def _sample(self, string: Any) -> None:
        """Try growing parts of a long text, and give up when the whole would take too long."""
        # Twice, so that what the engine builds once does not count as a cost of each character.
        for _ in range(2):
            idle_ns = self._time_ns(string[:16])
        size = FIRST_SAMPLE_CHARACTERS
        while size < len(string) and self._cost_ns * size < MAX_SAMPLE_NS:
            used_ns = self._time_ns(string[:size]) - 2 * idle_ns
            if used_ns > CHEAP_NS // 2:
                self._budget.afford(used_ns * len(string) // size)
            size *= 4

    def _time_ns(self, string: Any) -> int:
        started_ns = time.thread_time_ns()
        self._compiled.search(string)
        return time.thread_time_ns() - started_ns

    def _patience_s(self) -> float:
        self._budget.check()
        return min(FALLBACK_TIMEOUT_S, max(0.001, self._budget.left_ns() / 1e9))

    def finditer(self, string: Any, pos: int = 0) -> Iterator[Match]:
        """Yield each match."""
        self._budget.account_text(len(string))
        options = {"timeout": self._patience_s()} if self._options else {}
        if self._cost_ns * len(string) > CHEAP_NS:
            self._sample(string)
        for found in self._compiled.finditer(string, pos, **options):
            self._budget.tick()
            yield Match(found, self._expand)

    def findall(self, string: Any, pos: int = 0) -> list[Any]:
        """Return the text of each match, or its groups."""
        return [_texts(found) for found in self.finditer(string, pos)]

    def sub(self, repl: Any, string: Any, count: int = 0) -> Any:
        """Return the text with matches replaced."""
        return self.subn(repl, string, count)[0]

    def subn(self, repl: Any, string: Any, count: int = 0) -> tuple[Any, int]:
        """Return the text with matches replaced, and how many were."""
        expand = repl if callable(repl) else _template(repl, self._budget)
        pieces, position, done, size = [], 0, 0, 0
        for found in self.finditer(string):
            piece = expand(found)
            size += len(piece)
            self._budget.account_text(size)
            pieces += [string[position : found.start()], piece]
            position = found.end()
            done += 1
            if done == count:
                break
        pieces.append(string[position:])
        self._budget.account_text(size + len(string))
        return string[:0].join(pieces), done

    def split(self, string: Any, maxsplit: int = 0) -> list[Any]:
        """Return the parts between matches, and the groups of each."""
        parts, position = list[Any](), 0
        for done, found in enumerate(self.finditer(string), start=1):
            parts.append(string[position : found.start()])
            parts.extend(found.groups())
            position = found.end()
            if done == maxsplit:
                break
        parts.append(string[position:])
        return parts


def _texts(found: Match) -> Any:
    groups = found.groups(found.string[:0])
    if not groups:
        return found.group()
    return groups[0] if len(groups) == 1 else groups


def _template(repl: Any, budget: Budget) -> Callable[[Match], Any]:
    backslash: Any = "\\" if isinstance(repl, str) else b"\\"
    if backslash not in repl:
        return lambda _found: repl
    if len(repl) > MAX_PATTERN_CHARACTERS:
        raise LimitExceededError("a template of more than 10000 characters is not allowed")
    text = repl if isinstance(repl, str) else repl.decode("latin-1")
    pieces = _parse_template(text)

    def expand(found: Match) -> Any:
        out, size = [], 0
        for piece in pieces:
            if isinstance(piece, tuple):
                group = found.group(piece[0]) or found.string[:0]
                size += len(group)
                if size >= SMALL_ITEMS:
                    budget.account_text(len(group))
                out.append(group)
            else:
                out.append(piece if isinstance(repl, str) else piece.encode("latin-1"))
        return found.string[:0].join(out)

    return expand


_COUNT = re.compile(r"(?:\{|,)([0-9]{1,9})(?=[,}])")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def _parse_template(text: str) -> list[Any]:
    """Return literal pieces, and group references as tuples of one."""
    pieces: list[Any] = []
    position = 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if character != "\\":
            end = text.find("\\", position)
            end = len(text) if end < 0 else end
            pieces.append(text[position:end])
            position = end
        elif following.isdigit():
            digits = text[position + 1 : position + 3]
            digits = digits if digits.isdigit() else digits[0]
            pieces.append((int(digits),))
            position += 1 + len(digits)
        elif text.startswith("\\g<", position):
            end = text.find(">", position)
            name = text[position + 3 : end] if end > 0 else ""
            if not name:
                raise re2.error("bad group reference in the replacement")
            pieces.append((int(name) if name.isdigit() else name,))
            position = end + 1
        else:
            if following not in _ESCAPES:
                raise re2.error(f"bad escape \\{following} in the replacement")
            pieces.append(_ESCAPES[following])
            position += 2
    return pieces


class RegexEngine:
    """Compiles and keeps the patterns of one epoch."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._cache: OrderedDict[tuple[Any, int], Pattern] = OrderedDict()
        # How many patterns needed the engine that can only be stopped by the clock.
        self.fallback_uses = 0
        self._options = re2.Options()
        self._options.log_errors = False

    def compile(self, pattern: Any, flags: int = 0) -> Pattern:
        """Return a compiled pattern."""
        if isinstance(pattern, Pattern):
            return pattern
        key = (pattern, int(flags))
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._compile(*key)
            if len(self._cache) > MAX_CACHED_PATTERNS:
                self._cache.popitem(last=False)
        return found

    def _compile(self, pattern: Any, flags: int) -> Pattern:
        if not isinstance(pattern, (str, bytes)):
            raise TypeError("a pattern must be a string or bytes")
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise LimitExceededError("a pattern of more than 10000 characters is not allowed")
        self._budget.check()
        letters = "".join(letter for flag, letter in _LETTERS if flags & flag)
        if not flags & VERBOSE:
            prefix = f"(?{letters})" if letters else ""
            typed: Any = prefix if isinstance(pattern, str) else prefix.encode()
            try:
                compiled = re2.compile(typed + pattern, self._options)
            except re2.error:
                pass
            else:
                return Pattern(pattern, flags, self._budget, compiled, {})
        if len(pattern) > MAX_FALLBACK_CHARACTERS:
            raise LimitExceededError("a pattern that re2 refuses may have 1000 characters")
        if _repetitions(pattern) > MAX_FALLBACK_REPETITIONS:
            raise LimitExceededError("a pattern repeats its parts too many times")
        self.fallback_uses += 1
        try:
            slow = regex.compile(pattern, flags | regex.VERSION0, cache_pattern=False)
        except regex.error as error:
            raise re2.error(f"bad pattern: {error}") from None
        self._budget.check()
        return Pattern(pattern, flags, self._budget, slow, {"timeout": FALLBACK_TIMEOUT_S})

    def escape(self, pattern: Any) -> Any:
        """Return a pattern that matches a text as it is."""
        self._budget.account_text(2 * len(pattern))
        return _escape(pattern)

    def names(self) -> dict[str, Any]:
        """Return what the stand-in offers."""

        def direct(method: str) -> Callable[..., Any]:
            def run(pattern: Any, string: Any, flags: int = 0) -> Any:
                return getattr(self.compile(pattern, flags), method)(string)

            return run

        def sub(pattern: Any, repl: Any, string: Any, count: int = 0, flags: int = 0) -> Any:
            return self.compile(pattern, flags).sub(repl, string, count)

        def subn(pattern: Any, repl: Any, string: Any, count: int = 0, flags: int = 0) -> Any:
            return self.compile(pattern, flags).subn(repl, string, count)

        def split(pattern: Any, string: Any, maxsplit: int = 0, flags: int = 0) -> list[Any]:
            return self.compile(pattern, flags).split(string, maxsplit)

        names: dict[str, Any] = {
            name: direct(name) for name in ("search", "match", "fullmatch", "findall", "finditer")
        }
        names.update(compile=self.compile, sub=sub, subn=subn, split=split, escape=self.escape)
        names.update(Pattern=Pattern, Match=Match, error=re2.error)
        names.update(I=IGNORECASE, IGNORECASE=IGNORECASE, M=MULTILINE, MULTILINE=MULTILINE)
        names.update(S=DOTALL, DOTALL=DOTALL, X=VERBOSE, VERBOSE=VERBOSE, A=ASCII, ASCII=ASCII)
        return names


def _repetitions(pattern: str | bytes) -> int:
    """Return how many times a part may be written out, were all counts inside each other."""
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    return math.prod(max(1, int(found[1])) for found in _COUNT.finditer(text))


def _escape(pattern: Any) -> Any:
    if isinstance(pattern, bytes):
        escaped: str = _escape(pattern.decode("latin-1"))
        return escaped.encode("latin-1")
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in pattern)
