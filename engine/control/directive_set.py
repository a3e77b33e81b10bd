"""Directives by criteria, with an expiry and an answer per queue that costs one look-up.

Place in flow: ``suspensions`` and ``admin_bounces`` hold one each. Administration writes, the
queues read for each message.

Invariants:
    * ``is_empty`` is true whenever nothing applies for certain: the queues test only that.
    * Identical criteria replace the directive before. If several match, the one that ends last is
      used.
    * An expired directive never matches, even before it is removed.
    * ``generation`` grows with each change, by an operator or by time.

Failure: memory only; a restart forgets all directives.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from engine.model.suspension import Criteria, Directive, matches

#: Past this the cache of answers starts again.
_MAX_CACHED = 65536


class DirectiveSet:
    """The directives of one kind.

    Attributes:
        is_empty: Whether there is none.
        generation: Grows with each change; a cached answer of an older one is void.
    """

    __slots__ = ("_answers", "_by_criteria", "_mono", "_on_change", "generation", "is_empty")

    def __init__(self, mono: Callable[[], float], on_change: Callable[[], None]) -> None:
        """Expire by the given clock; ``on_change`` is called after each change."""
        self._mono = mono
        self._on_change = on_change
        self._by_criteria: dict[Criteria, Directive] = {}
        self._answers: dict[str, Directive | None] = {}
        self.is_empty = True
        self.generation = 0

    def add(
        self,
        criteria: Criteria,
        reason: str,
        author: str,
        duration_s: float,
        *,
        suppress_logging: bool = False,
        directive_id: str = "",
    ) -> Directive:
        """Return the new directive, which replaces one of the same criteria.

        Args:
            criteria: Which queues it covers.
            reason: Why.
            author: Who asked for it.
            duration_s: How long it lasts.
            suppress_logging: A bounce that makes no records.
            directive_id: The id that it has on another node; a new one if empty.
        """
        expires_mono = self._mono() + duration_s
        made_id = directive_id or str(uuid.uuid4())
        made = Directive(made_id, criteria, reason, author, expires_mono, suppress_logging)
        self._by_criteria[criteria] = made
        self._changed()
        return made

    def find(self, queue_name: str) -> Directive | None:
        """Return the directive that applies to a scheduled queue now."""
        if self.is_empty:
            return None
        try:
            answer = self._answers[queue_name]
        except KeyError:
            answer = self._look_up(queue_name)
        if answer is not None and answer.expires_mono <= self._mono():
            self.prune()
            return self.find(queue_name)
        return answer

    def get(self, criteria: Criteria) -> Directive | None:
        """Return the directive of exactly these criteria, expired or not."""
        return self._by_criteria.get(criteria)

    def cancel(self, directive_id: str) -> bool:
        """Return whether a directive of that id was there to be removed."""
        for criteria, directive in self._by_criteria.items():
            if directive.id == directive_id:
                del self._by_criteria[criteria]
                self._changed()
                return directive.expires_mono > self._mono()
        return False

    def prune(self) -> None:
        """Remove what has expired."""
        now = self._mono()
        expired = [c for c, found in self._by_criteria.items() if found.expires_mono <= now]
        for criteria in expired:
            del self._by_criteria[criteria]
        if expired:
            self._changed()

    def __iter__(self) -> Iterator[Directive]:
        self.prune()
        return iter(tuple(self._by_criteria.values()))

    @property
    def next_expiry_mono(self) -> float | None:
        """Return when the next directive ends; None if there is none."""
        return min((found.expires_mono for found in self._by_criteria.values()), default=None)

    def _look_up(self, queue_name: str) -> Directive | None:
        self.prune()
        live = (
            found for found in self._by_criteria.values() if matches(found.criteria, queue_name)
        )
        answer = max(live, key=lambda found: found.expires_mono, default=None)
        if len(self._answers) >= _MAX_CACHED:
            self._answers.clear()
        self._answers[queue_name] = answer
        return answer

    def _changed(self) -> None:
        self._answers.clear()
        self.is_empty = not self._by_criteria
        self.generation += 1
        self._on_change()
