"""The node's side of the traffic shaping automation: records out, decisions in.

Place in flow: ``engine.declared`` tells it what the policy declares; ``engine.helpers`` tells it
which rules there are; made by ``engine.app``.

Invariants:
    * A reload that changes nothing touches neither feed nor subscription.
    * The node obeys the same daemons after a restart, and what they decided before.
    * One act makes it obey nobody; records go out all the same, so that it can obey again.

Failure: a folder that cannot be used is an error of the declaration; later nothing is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from engine.admin.decision_book import DecisionBook
from engine.admin.decision_subscriber import DecisionSubscriber
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Labels, Metrics
from engine.base.shaping_source import shown_source
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.shaping_overrides import ShapingOverrides
from engine.control.suspensions import SuspensionRegistry
from engine.model.errors import ConfigurationError
from engine.model.log_record import LogRecord
from engine.model.shaping import Shaping
from engine.model.shaping_rule_set import RecordFilter
from engine.records.record_feed import RecordFeed
from engine.records.recorder import Recorder
from engine.script_declarations import AutomationDeclaration

log = logging.getLogger("cirrus.automation")

#: The folder beside the spool's database.
FOLDER = "tsa-feed"
_NOTHING = AutomationDeclaration()


class AutomationPorts(Protocol):
    """What the automation needs of a node."""

    clock: Clock
    supervisor: Supervisor
    metrics: Metrics
    recorder: Recorder
    suspensions: SuspensionRegistry
    bounces: AdminBounceRegistry


class Automation:
    """Feed and subscription of one node.

    Attributes:
        overrides: The overlay in force.
        feed: Sends records; None while the policy names no daemon that wants them.
        subscriber: Follows decisions; None while the policy names no daemon.
    """

    def __init__(self, node: AutomationPorts) -> None:
        self._node = node
        self._declared = _NOTHING
        self._shaping = Shaping()
        self._rules: tuple[str, ...] = ()
        self._filter: RecordFilter | None = None
        self.overrides = ShapingOverrides()
        self.book = DecisionBook(node.suspensions, node.bounces, node.clock)
        self.feed: RecordFeed | None = None
        self.subscriber: DecisionSubscriber | None = None

    # -- as declared ----------------------------------------------------------------------------

    async def reconcile(self, declared: AutomationDeclaration | None, spool: Path) -> None:
        """Feed and follow the daemons that the policy names.

        Args:
            declared: What the policy says; None for nothing.
            spool: The folder of the spool, which outlives restarts.

        Raises:
            ConfigurationError: The folder cannot be used.
        """
        wanted = declared or _NOTHING
        known, self._declared = self._declared, wanted
        if wanted == known:
            return
        try:
            await self._reconcile_feed(wanted, spool / FOLDER)
        except OSError as error:
            self._declared = known
            text = f"{spool / FOLDER} cannot be used: {error.strerror or error}"
            raise ConfigurationError(text) from error
        await self._reconcile_subscriber(wanted, spool / FOLDER)

    async def _reconcile_feed(self, wanted: AutomationDeclaration, folder: Path) -> None:
        feed, node = self.feed, self._node
        if feed is not None:
            feed.skipped = wanted.skipped
            feed.timeout_s = wanted.publish_timeout_s
            feed.waiting_max = wanted.back_pressure
            feed.publish_to(wanted.publish)
            return
        if not wanted.publish:
            return
        feed = RecordFeed(
            folder,
            node.clock,
            node.supervisor,
            wants_record=self._wants_record,
            longest_duration_s=lambda: self._shaping.longest_duration_s,
            skipped=wanted.skipped,
            timeout_s=wanted.publish_timeout_s,
            waiting_max=wanted.back_pressure,
        )
        await feed.start(wanted.publish)
        self.feed = feed
        node.recorder.add_sink(feed)

    async def _reconcile_subscriber(self, wanted: AutomationDeclaration, folder: Path) -> None:
        node = self._node
        if self.subscriber is None:
            if not wanted.subscribe:
                return
            self.subscriber = DecisionSubscriber(
                self.book,
                self.overrides,
                folder / "decisions.json",
                node.clock,
                node.supervisor,
            )
            await self.subscriber.start(wanted.subscribe)
            return
        await self.subscriber.follow(wanted.subscribe)

    async def close(self) -> None:
        """End both; what waits is written down first."""
        if self.subscriber is not None:
            await self.subscriber.stop()
        feed, self.feed = self.feed, None
        if feed is not None:
            self._node.recorder.remove_sink(feed)
            await feed.stop()

    # -- rules ----------------------------------------------------------------------------------

    def set_rules(self, shaping: Shaping) -> None:
        """Send only records that these rules could count."""
        self._shaping = shaping
        rules = tuple(one.digest for one in shaping.all_rules() if one.rule.is_enabled)
        if self._filter is None or rules != self._rules:
            self._rules = rules
            self._filter = RecordFilter(shaping, skipped=frozenset())

    def _wants_record(self, record: LogRecord) -> bool:
        # Before the rules are known nothing is left out: whoever gets a record looks again.
        if self._filter is None or not self._declared.pre_filter:
            return True
        return self._filter.wants(record)

    # -- operators ------------------------------------------------------------------------------

    async def switch(self, *, is_off: bool) -> bool:
        """Obey nobody, or again those that the policy names; return whether there are any."""
        if self.subscriber is None:
            return False
        await self.subscriber.switch(is_off=is_off)
        log.warning("the automation is switched %s", "off" if is_off else "on")
        return True

    def status(self) -> dict[str, Any]:
        """Return what the automation is doing, for people."""
        subscriber, feed = self.subscriber, self.feed
        return {
            "enabled": subscriber is not None and not subscriber.is_off,
            "subscribed_to": shown_source(subscriber.connected) if subscriber else "",
            "trouble": subscriber.trouble if subscriber else None,
            "decisions": len(self.book),
            "overlay_of": shown_source(self.overrides.origin),
            "feeds": [
                {
                    "url": shown_source(url),
                    "backlog_octets": feed.backlog(url),
                    "refused": publisher.refused,
                    "given_up": feed.missed.get(url, 0),
                    "trouble": publisher.trouble,
                }
                for url, publisher in feed.publishers.items()
            ]
            if feed
            else [],
        }

    def bind_metrics(self) -> None:
        """Have the node's metrics ask here."""
        gauge, counter = self._node.metrics.gauge, self._node.metrics.counter
        gauge("tsa_reachable").set_collect(self._reachable)
        gauge("tsa_decisions_held").labels().set_function(lambda: len(self.book))
        gauge("tsa_overlay_active").labels().set_function(lambda: bool(self.overrides.layers))
        gauge("tsa_feed_backlog_bytes").set_collect(self._backlogs)
        counter("tsa_feed_given_up_total").set_collect(self._given_up)
        counter("tsa_feed_refused_total").set_collect(self._refused)
        counter("tsa_feed_dropped_total").set_collect(
            lambda: [((), self.feed.dropped)] if self.feed else []
        )
        counter("tsa_bad_frames_total").set_collect(
            lambda: [((), self.subscriber.bad_frames)] if self.subscriber else []
        )

    def _reachable(self) -> Iterable[tuple[Labels, float]]:
        if self.subscriber is not None and self._declared.subscribe and not self.subscriber.is_off:
            yield (), float(bool(self.subscriber.connected))

    def _backlogs(self) -> Iterable[tuple[Labels, float]]:
        for url in self.feed.publishers if self.feed else ():
            assert self.feed is not None
            yield (shown_source(url),), self.feed.backlog(url)

    def _given_up(self) -> Iterable[tuple[Labels, float]]:
        for url, count in self.feed.missed.items() if self.feed else ():
            yield (shown_source(url),), count

    def _refused(self) -> Iterable[tuple[Labels, float]]:
        for url, publisher in self.feed.publishers.items() if self.feed else ():
            yield (shown_source(url),), publisher.refused
