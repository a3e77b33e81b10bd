"""The sink's file of replies: TOML, one list of rules per domain.

Place in flow: ``sink`` reads the file, ``sink_script`` asks ``ReplyRules.find``.

The file::

    [["gmail.example"]]                  # a recipient's domain, "*.example", "*", or the address
    when = "rcpt"                        #   (or address:port) the client connected to
    match = "^bob@"                      # a regular expression; without it: always
    reply = "450 4.2.1 slow down"        # also "drop" and "hang"; without it: the usual reply
    percent = 20                         # of the times it matches
    count = 5                            # only the first so many times
    delay = "2s"                         # before the reply

``when`` is connect, ehlo, starttls, auth, mail, rcpt, data or dot. ``match`` looks at the client's
address, the EHLO name, the user, the sender, the recipient, the sender, the message. Before a
recipient is named, only the rules of ``"*"`` and of the address apply.

Invariants:
    * The first rule that fires answers: the domain's own, then ``*.`` of its parents from the
      nearest, then those of the address, then those of ``*``; in each list from top to bottom.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import re2
import regex

from engine.model.duration import parse_duration
from engine.model.errors import ConfigurationError
from engine.model.option_error import OptionError
from engine.tools.sink_options import SinkReply, Stage, read_reply

_KEYS = ("when", "match", "reply", "percent", "count", "delay")
_STAGES = {stage.value: stage for stage in Stage if stage is not Stage.OTHER}
#: How long a pattern that re2 cannot take may search, seconds.
_SEARCH_S = 0.1


class Session(Protocol):
    """What a rule may depend on."""

    @property
    def local(self) -> str:
        """Return the address the client connected to, ``address:port``."""

    @property
    def recipients(self) -> list[str]:
        """Return the recipients taken so far."""

    @property
    def recipient(self) -> str | None:
        """Return the recipient being answered; None where a reply is for all."""


class _Rule:
    __slots__ = ("count", "percent", "reply", "search", "stage")

    def __init__(
        self,
        stage: Stage,
        search: Callable[[str], bool] | None,
        reply: SinkReply | None,
        percent: float,
        count: int | None,
    ) -> None:
        self.stage = stage
        self.search = search
        self.reply = reply
        self.percent = percent
        self.count = count


class ReplyRules:
    """The rules of a file.

    Args:
        rules: Per domain, ``*.domain``, address or ``*``.
        seed: Of the draws for ``percent``.
    """

    def __init__(self, rules: Mapping[str, list[_Rule]], seed: int | None = None) -> None:
        self._rules = rules
        self._random = random.Random(seed)
        stages = {rule.stage for group in rules.values() for rule in group}
        self._stages = frozenset(stages)
        self.reads_messages = any(
            rule.stage is Stage.DOT and rule.search is not None
            for group in rules.values()
            for rule in group
        )

    def find(self, stage: Stage, session: Session, subject: str) -> SinkReply | None:
        """Return the reply of the first rule that fires, None if none does."""
        if stage not in self._stages:
            return None
        for group in self._groups(stage, session, subject):
            for rule in group:
                if rule.stage is stage and self._fires(rule, subject):
                    return rule.reply
        return None

    def _groups(self, stage: Stage, session: Session, subject: str) -> Iterator[list[_Rule]]:
        rules = self._rules
        for recipient in _recipients(stage, session, subject):
            for key in _keys_of(recipient.rpartition("@")[2].lower()):
                if key in rules:
                    yield rules[key]
        address = session.local.rpartition(":")[0]
        for key in (session.local, address, "*"):
            if key in rules:
                yield rules[key]

    def _fires(self, rule: _Rule, subject: str) -> bool:
        if rule.count == 0 or (rule.search is not None and not rule.search(subject)):
            return False
        if rule.percent < 100.0 and self._random.random() * 100.0 >= rule.percent:
            return False
        if rule.count is not None:
            rule.count -= 1
        return True


def _recipients(stage: Stage, session: Session, subject: str) -> list[str]:
    if stage is Stage.RCPT:
        return [subject]
    if stage in (Stage.DATA, Stage.DOT):
        return session.recipients if session.recipient is None else [session.recipient]
    return []


def _keys_of(domain: str) -> Iterator[str]:
    yield domain
    _, dot, parent = domain.partition(".")
    while dot:
        yield f"*.{parent}"
        _, dot, parent = parent.partition(".")


def load_rules(path: Path, seed: int | None = None) -> ReplyRules:
    """Return the rules of a file.

    Raises:
        ConfigurationError: It cannot be read, or a rule is wrong; the text names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}:{_line_in(str(error), path)}: {error}") from error
    rules: dict[str, list[_Rule]] = {}
    for key, group in content.items():
        if not isinstance(group, list):
            raise ConfigurationError(
                f'{path}:{_line_of(text, key, 0)}: {key!r}: a list of rules is written [["{key}"]]'
            )
        for index, given in enumerate(group):
            try:
                rules.setdefault(key.lower(), []).append(_read_rule(given))
            except ValueError as error:
                place = f"{path}:{_line_of(text, key, index)}"
                raise ConfigurationError(f"{place}: rule {index + 1} of {key!r}: {error}") from None
    return ReplyRules(rules, seed)


def _line_in(reason: str, path: Path) -> int:
    """Return the line a parser's message means: where it says so, else the last one."""
    line = re.search(r"at line (\d+)", reason)
    return int(line[1]) if line else len(path.read_bytes().splitlines())


def _line_of(text: str, key: str, index: int) -> int:
    """Return the line of a rule's header, or of its list, as well as it can be told."""
    name = rf"""["']?{re.escape(key)}["']?"""
    headers = [*re.finditer(rf"^[ \t]*\[\[\s*{name}\s*\]\]", text, re.MULTILINE)]
    if index < len(headers):
        return text.count("\n", 0, headers[index].start()) + 1
    named = re.search(rf"^[ \t]*\[?\s*{name}", text, re.MULTILINE)
    return text.count("\n", 0, named.start()) + 1 if named else 1


def _read_rule(given: Any) -> _Rule:
    if not isinstance(given, dict):
        raise OptionError(f"a rule is a table, not {given!r}")
    for key in given:
        if key not in _KEYS:
            raise ValueError(f"unknown key {key!r}; known are {', '.join(_KEYS)}")
    when = given.get("when")
    if not isinstance(when, str) or when not in _STAGES:
        raise ValueError(f"when is one of {', '.join(_STAGES)}, not {when!r}")
    if "reply" not in given and "delay" not in given:
        raise ValueError("a rule without reply and delay does nothing")
    delay_s = parse_duration(given.get("delay", 0))
    stage = _STAGES[when]
    match given.get("reply"):
        case None:
            reply = SinkReply("", delay_s=delay_s)
        case str(text):
            reply = read_reply(text, delay_s=delay_s)
        case other:
            raise ValueError(f"reply is a text, not {other!r}")
    return _Rule(stage, _read_match(given), reply, _read_percent(given), _read_count(given))


def _read_percent(given: dict[str, Any]) -> float:
    percent = given.get("percent", 100)
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise ValueError(f"percent is a number from 0 to 100, not {percent!r}")
    return float(percent)


def _read_count(given: dict[str, Any]) -> int | None:
    count = given.get("count")
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count is a whole number from 1, not {count!r}")
    return count


def _read_match(given: dict[str, Any]) -> Callable[[str], bool] | None:
    pattern = given.get("match")
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise OptionError(f"match is a regular expression, not {pattern!r}")
    options = re2.Options()
    options.log_errors = False
    try:
        fast = re2.compile(pattern, options=options)
    except re2.error:
        return _search_slowly(pattern)
    return lambda subject: fast.search(subject) is not None


def _search_slowly(pattern: str) -> Callable[[str], bool]:
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"match is no regular expression: {error}") from None

    def search(subject: str) -> bool:
        try:
            return compiled.search(subject, timeout=_SEARCH_S) is not None
        except TimeoutError:
            return False

    return search
