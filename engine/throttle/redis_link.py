"""The way to the Redis that nodes share: many small questions in few round trips, or no answer.

Place in flow: ``shared_limiter`` and ``shared_lease`` put questions; ``redis_scripts`` are what is
asked. ``engine.app`` starts it where the policy declares shared limits.

Invariants:
    * Each question is answered once, within ``response_s`` and some: by Redis, or by None.
    * Questions of one turn of the loop go in one round trip on a single Redis; on a cluster, where
      each may concern another server, each by itself and all at the same time.
    * Nothing is sent twice, but a script that Redis said it does not know.
    * While the node is alone nothing is sent but the sign of life that ends it.

Failure: a Redis that does not answer, refuses or is not there makes the node *alone*: it goes on by
its share of each limit, says so once in the log and in a metric, and tries again each second.
On a cluster only the questions to the part that fails have no answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis import exceptions

from engine.base.lifecycle import Supervisor
from engine.base.redis_client import REDIS_FAILURES, open_redis
from engine.model.redis_options import RedisOptions
from engine.throttle.redis_scripts import NOTE_NODE, RedisScript
from engine.throttle.shared_link import PREFIX, Question

log = logging.getLogger("cirrus.throttle")

#: Signs of life: how often, and how long one counts, seconds.
SIGN_S = 5.0
SIGN_LIFE_S = 30.0
#: How often a node that is alone tries again, seconds.
RETRY_S = 1.0
#: Questions that may wait to be sent; beyond, they have no answer.
WAITING_MAX = 20_000
#: Questions that are sent together, and how many such groups may be under way.
BATCH_MAX = 256
FLUSHERS = 4
#: How often the log is told of single questions that fail, seconds.
QUIET_S = 10.0
#: How long closing the client may take, seconds.
CLOSE_S = 2.0

_SERVER_ERRORS = (
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.NoPermissionError,
)


class LinkReport(Protocol):
    """Where the link says how it is."""

    def observe(self, latency_s: float) -> None:
        """Note how long a round trip took."""

    def fail(self, latency_s: float) -> None:
        """Note a round trip that failed, and how long that took."""


class RedisLink:
    """The link of one node.

    Attributes:
        is_alone: Whether no Redis can be asked.
        nodes: Nodes that share the limits, as last seen; at least one.
        trouble: Why the node is alone; empty if it is not.
        on_return: Called each time the node stops being alone.
    """

    def __init__(
        self,
        options: RedisOptions,
        node_id: str,
        mono: Callable[[], float],
        report: LinkReport,
        *,
        nodes: int = 1,
        open_client: Callable[[RedisOptions], Any] = open_redis,
    ) -> None:
        """Ask nothing yet.

        Args:
            options: Where the Redis is.
            node_id: Who asks.
            mono: The monotonic clock.
            report: Is told of round trips.
            nodes: How many nodes to assume before any was seen.
            open_client: Returns a client, in an awaitable.
        """
        self.options = options
        self.node_id = node_id
        # Nothing is known of the Redis yet: who asks before the first sign of life is alone.
        self.is_alone = True
        self.nodes = nodes
        self.trouble = "not asked yet"
        self.on_return: list[Callable[[], None]] = []
        self._mono = mono
        self._report = report
        self._open_client = open_client
        self._client: Any = None
        self._waiting: list[Question] = []
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._lock = asyncio.Lock()
        self._has_spoken = False
        self._quiet_until_mono = 0.0
        self._counted_mono = mono()

    # -- questions ----------------------------------------------------------------------------

    def ask(self, question: Question) -> None:
        """Put a question; its ``on_answer`` is called once, never from inside this call."""
        if self.is_alone or len(self._waiting) >= WAITING_MAX:
            asyncio.get_running_loop().call_soon(question.on_answer, None)
            return
        self._waiting.append(question)
        self._news.set()

    async def _flush_forever(self) -> None:
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            # What others put in this turn of the loop goes along.
            await asyncio.sleep(0)
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            await self._flush_all(batch)

    async def _flush_all(self, batch: list[Question]) -> None:
        parts = [[one] for one in batch] if self.options.is_cluster else [batch]
        await asyncio.gather(*(self._flush(part) for part in parts if part))

    async def _flush(self, batch: list[Question]) -> None:
        """Ask, and tell who asked; whatever happens, nobody waits for ever."""
        began = self._mono()
        answers: list[Any] = [None] * len(batch)
        try:
            calls = [(one.script, one.key, one.arguments()) for one in batch]
            answers = await self._run(calls)
        except Exception:  # boundary: supervisor
            log.exception("a question to Redis met a defect")
        finally:
            errors = [one for one in answers if isinstance(one, BaseException)]
            note = self._report.fail if errors else self._report.observe
            note(self._mono() - began)
            self._look_at(errors)
            _answer_all(batch, [None if isinstance(one, BaseException) else one for one in answers])

    def _look_at(self, errors: list[BaseException]) -> None:
        """Judge what errors mean for the node."""
        if not errors:
            return
        if _concerns_all(errors[0]) and not self.options.is_cluster:
            self._be_alone(errors[0])
        elif self._mono() >= self._quiet_until_mono:
            self._quiet_until_mono = self._mono() + QUIET_S
            log.error("Redis cannot answer for a limit: %s", describe(errors[0]))

    async def _run(self, calls: list[tuple[RedisScript, str, Sequence[Any]]]) -> list[Any]:
        """Return an answer or an error for each call."""
        try:
            async with asyncio.timeout(self.options.connect_s + self.options.response_s):
                client = await self._connected()
                if self.options.is_cluster:
                    return [await _run_apart(client, *call) for call in calls]
                return await _run_together(client, calls)
        except REDIS_FAILURES as error:
            return [error] * len(calls)

    async def _connected(self) -> Any:
        async with self._lock:
            if self._client is None:
                self._client = await self._open_client(self.options)
            return self._client

    # -- alone, or not ------------------------------------------------------------------------

    async def _sign_forever(self) -> None:
        while True:
            await self.sign()
            await asyncio.sleep(RETRY_S if self.is_alone else SIGN_S)

    async def sign(self) -> None:
        """Give a sign of life and count the nodes; a Redis that answers ends being alone."""
        arguments = (self.node_id, int(SIGN_LIFE_S * 1e6))
        began = self._mono()
        answer = (await self._run([(NOTE_NODE, PREFIX + "nodes", arguments)]))[0]
        if isinstance(answer, BaseException):
            self._report.fail(self._mono() - began)
            self._be_alone(answer)
            return
        self._report.observe(self._mono() - began)
        self._count_nodes(int(answer))
        if not self.is_alone:
            return
        self.is_alone, self.trouble = False, ""
        self._has_spoken = True
        log.info("limits are shared by way of Redis; nodes seen: %d", self.nodes)
        for call in tuple(self.on_return):
            try:
                call()
            except Exception:  # boundary: supervisor
                log.exception("coming back to shared limits met a defect")

    def _count_nodes(self, count: int) -> None:
        """Believe in more nodes at once, in fewer when the others had time to give their sign."""
        now = self._mono()
        if count >= self.nodes:
            self.nodes, self._counted_mono = count, now
        elif now - self._counted_mono > SIGN_LIFE_S:
            self.nodes = max(1, count)

    def _be_alone(self, error: BaseException) -> None:
        was_alone, self.is_alone = self.is_alone, True
        self.trouble = describe(error)
        if was_alone and self._has_spoken:
            return
        self._has_spoken = True
        log.error(
            "Redis cannot be used for shared limits: %s; this node goes on with its share, "
            "one of %d",
            self.trouble,
            self.nodes,
        )
        self._leave_unanswered()

    def _leave_unanswered(self) -> None:
        """Tell those who wait that they will have no answer."""
        batch, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for question in batch:
            loop.call_soon(question.on_answer, None)

    # -- begin and end ------------------------------------------------------------------------

    async def start(self, supervisor: Supervisor) -> None:
        """Try the Redis once, at most for its time-outs, and go on trying beside the mail."""
        await self.sign()
        self._tasks = [supervisor.start(self._sign_forever(), "redis-sign")]
        self._tasks += [
            supervisor.start(self._flush_forever(), f"redis-flush-{number}")
            for number in range(FLUSHERS)
        ]

    async def stop(self) -> None:
        """Send what waits, forget this node, and close; bounded."""
        was_alone = self.is_alone
        # From here on nothing is taken that nobody would send.
        self.is_alone, self.trouble = True, "stopped"
        batch, self._waiting = self._waiting, []
        if was_alone:
            _answer_all(batch, [None] * len(batch))
        else:
            await self._flush_all(batch)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        self._tasks = []
        self.is_alone, self.trouble = True, "stopped"
        self._leave_unanswered()
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await client.zrem(PREFIX + "nodes", self.node_id)
                await client.aclose()
        except REDIS_FAILURES as error:
            log.debug("closing the link to Redis: %s", describe(error))


def _concerns_all(error: BaseException) -> bool:
    """Return whether an error tells of the server, and not of one key."""
    return not isinstance(error, exceptions.ResponseError) or isinstance(error, _SERVER_ERRORS)


def _answer_all(batch: list[Question], answers: Sequence[Any]) -> None:
    for question, answer in zip(batch, answers, strict=True):
        try:
            question.on_answer(answer)
        except Exception:  # boundary: supervisor
            log.exception("an answer of Redis met a defect")


async def _run_apart(client: Any, script: RedisScript, key: str, arguments: Sequence[Any]) -> Any:
    try:
        return await client.execute_command("EVALSHA", script.sha, 1, key, *arguments)
    except exceptions.NoScriptError:
        return await client.execute_command("EVAL", script.text, 1, key, *arguments)


async def _run_together(
    client: Any, calls: Sequence[tuple[RedisScript, str, Sequence[Any]]]
) -> list[Any]:
    """Run all calls in one round trip; those whose script is not there yet in a second one."""
    pipeline = client.pipeline(transaction=False)
    for script, key, arguments in calls:
        pipeline.execute_command("EVALSHA", script.sha, 1, key, *arguments)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    missing = [
        place
        for place, answer in enumerate(answers)
        if isinstance(answer, exceptions.NoScriptError)
    ]
    if not missing:
        return answers
    pipeline = client.pipeline(transaction=False)
    for place in missing:
        script, key, arguments = calls[place]
        pipeline.execute_command("EVAL", script.text, 1, key, *arguments)
    again: list[Any] = await pipeline.execute(raise_on_error=False)
    for place, answer in zip(missing, again, strict=True):
        answers[place] = answer
    return answers


def describe(error: BaseException) -> str:
    """Return the text of an error, on one line."""
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
