"""``helpers.log_hooks``: records of the log sent on, by a function of the script or as JSON.

Place in flow: ``log_hooks.new(...)`` declares a log hook before each ``init``, has its records
queued as ``NAME.log_hook``, and answers ``get_queue_config`` for that queue.

Invariants:
    * A record about a record makes none.
    * A record that the receiver did not take is tried again until ``max_age``; no status of HTTP
      throws it away.
    * Each hook has a ready queue of its own: the name of a sender tells hooks apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from engine.helpers.helper_setup import HelperSetup, begin_setup
from engine.helpers.json_post import Posted, host_of, parse_url
from engine.model.duration import parse_duration
from engine.model.keyword_options import closest, function_of
from engine.model.option_error import OptionError
from engine.model.queue_config import OPTIONS, QueueConfig, make_queue_config
from engine.script_api import ScriptApi
from engine.script_modules.plain_value import copy_plain
from engine.script_modules.script_call import caller_budget
from engine.script_refusals import reject
from engine.script_views import MessageView
from policy.epoch import EPOCH_NAME
from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_call import Pending
from policy.native_call import NativeFunction
from policy.script_api import ScriptNamespace

NAME = "log_hooks"
DOMAIN = ".log_hook"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_RETRY = {"retry_interval": "1m", "max_retry_interval": "20m"}
TIMEOUT_S = 60.0
LOG_PARAMETERS = ("back_pressure", "meta", "headers", "per_record", "deferred_spool")


class PostJson(Protocol):
    """What posts: ``engine.helpers.json_post``."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Posted:
        """Return the answer to a request, or raise ``OSError`` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class LogHook:
    """One log hook of an epoch.

    Attributes:
        name: Its name.
        config: Of its queue.
        leaves_out: Returns whether a record is left out; None for all are wanted.
    """

    name: str
    config: QueueConfig
    leaves_out: Callable[[MessageView], Any] | None

    @property
    def domain(self) -> str:
        """Return the domain that its queue is named by."""
        return self.name + DOMAIN

    def get_queue_config(self, domain: str, *_parts: str | None) -> QueueConfig | None:
        """Return the configuration of its queue, None for any other."""
        return self.config if domain == self.domain else None

    def should_enqueue(self, msg: MessageView, hook_name: str) -> Any:
        """Send a record into its queue, or leave it out; None for other hooks."""
        if hook_name != self.name:
            return None
        try:
            answer = self.leaves_out(msg) if self.leaves_out is not None else False
        except (HookFailedError, ScriptRefusal):
            answer = False  # a filter that fails costs no record
        if type(answer) is Pending:
            return Pending(partial(self._finish, msg, answer))
        return self._decide(msg, answer)

    async def _finish(self, msg: MessageView, pending: Pending, is_timed: bool) -> bool:
        try:
            answer = await pending.finish(is_timed=is_timed)
        except (HookFailedError, ScriptRefusal):
            answer = False
        return self._decide(msg, answer)

    def _decide(self, msg: MessageView, answer: Any) -> bool:
        if answer is True:
            return False
        msg.set_meta("queue", self.domain)
        return True


class DispositionHooks:
    """What is told of each record where it is made: several functions for the one event."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.by_name: dict[str, Any] = {}
        self._call = call

    def tell(self, msg: MessageView | None, record: Mapping[str, Any]) -> Pending | None:
        """Call each function; what one does is nothing to the others."""
        waiting = []
        for function in self.by_name.values():
            try:
                answer = self._call(function, msg, record)
            except (HookFailedError, ScriptRefusal):
                continue  # reported where it was called
            if type(answer) is Pending:
                waiting.append(answer)
        return Pending(partial(_finish_all, waiting)) if waiting else None


async def _finish_all(waiting: list[Pending], is_timed: bool) -> None:
    for pending in waiting:
        try:
            await pending.finish(is_timed=is_timed)
        except (HookFailedError, ScriptRefusal):
            continue


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a hook posts to."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float


class LogHookHelper:
    """``helpers.log_hooks`` of a node.

    Args:
        api: Takes declarations.
        call: Calls a function of a script, as ``PolicyRuntime.call_function_nowait`` does.
        poster: Posts JSON.
    """

    def __init__(self, api: ScriptApi, call: Callable[..., Any], poster: PostJson) -> None:
        self._api = api
        self._call = call
        self._poster = poster

    def new(
        self,
        *,
        name: str,
        sender: Callable[..., Any],
        log_parameters: Mapping[str, Any] | None = None,
        queue_config: Mapping[str, Any] | None = None,
        batch_size: int = 1,
        min_batch_size: int = 1,
        max_batch_latency: Any = 0,
        filter: Callable[..., Any] | None = None,
    ) -> None:
        """Have a function of the script take the records of a hook.

        Args:
            name: Of the hook; its queue is NAME.log_hook.
            sender: Takes a message, or a list with batch_size above 1; returns the text for the
                Delivery record.
            log_parameters: Options of mta.configure_log_hook.
            queue_config: Options of mta.make_queue_config but for protocol.
            batch_size: How many it takes at once.
            min_batch_size: How many are waited for.
            max_batch_latency: How long they are waited for.
            filter: Takes the message of a record; True leaves it out.
        """
        call = begin_setup("helpers.log_hooks.new")
        self._add(
            call,
            name,
            _checked_function("sender", sender),
            log_parameters,
            queue_config,
            {
                "batch_size": batch_size,
                "min_batch_size": min_batch_size,
                "max_batch_latency": max_batch_latency,
            },
            filter,
        )

    def new_json(
        self,
        *,
        name: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: Any = TIMEOUT_S,
        log_parameters: Mapping[str, Any] | None = None,
        queue_config: Mapping[str, Any] | None = None,
        batch_size: int = 1,
        min_batch_size: int = 1,
        max_batch_latency: Any = 0,
        filter: Callable[..., Any] | None = None,
    ) -> None:
        """Have the records of a hook posted as JSON: an object, or an array with batches.

        Args:
            name: Of the hook; its queue is NAME.log_hook.
            url: Where they are posted to. 2xx takes them; anything else is tried again.
            headers: Further header fields of the request.
            timeout: How long a request may take.
            log_parameters: Options of mta.configure_log_hook.
            queue_config: Options of mta.make_queue_config but for protocol.
            batch_size: How many are posted at once.
            min_batch_size: How many are waited for.
            max_batch_latency: How long they are waited for.
            filter: Takes the message of a record; True leaves it out.
        """
        call = begin_setup("helpers.log_hooks.new_json")
        target = _Target(parse_url(url), _checked_headers(headers), parse_duration(timeout))
        post = partial(self._post, target)
        sender = NativeFunction(f"{name}{DOMAIN}", post, call.place, target.timeout_s + 5.0)
        batch = {
            "batch_size": batch_size,
            "min_batch_size": min_batch_size,
            "max_batch_latency": max_batch_latency,
        }
        self._add(call, name, sender, log_parameters, queue_config, batch, filter)

    def _add(
        self,
        call: HelperSetup,
        name: str,
        sender: Callable[..., Any],
        log_parameters: Mapping[str, Any] | None,
        queue_config: Mapping[str, Any] | None,
        batch: Mapping[str, Any],
        leaves_out: Callable[..., Any] | None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise ValueError("name: lower-case letters, digits, - and _ are expected")
        hooks: dict[str, LogHook] = call.epoch.native.parts.setdefault(NAME, {})
        if name in hooks:
            raise ValueError(f"the log hook {name!r} is set up twice")
        parameters = _plain(log_parameters)
        for option in parameters:
            if option not in LOG_PARAMETERS:
                hint = closest(option, LOG_PARAMETERS)
                raise TypeError(f"log_parameters: unknown option {option!r}{hint}")
        declare = partial(self._api.configure_log_hook, name=name, **parameters)
        with self._api.declaring():
            declare()  # what does not fit is an error of this very line
        options = {**_RETRY, **_queue_options(queue_config)}
        config = make_queue_config(**options, protocol={"script": {"sender": sender, **batch}})
        if leaves_out is not None:
            leaves_out = partial(self._call, _checked_function("filter", leaves_out))
        hook = hooks[name] = LogHook(name, config, leaves_out)
        native = call.epoch.native
        native.before_init.append(declare)
        native.on("should_enqueue_log_record", hook.should_enqueue, call.place)
        native.on("get_queue_config", hook.get_queue_config, call.place)

    async def _post(self, target: _Target, given: MessageView | list[MessageView]) -> str:
        """Post records; return what the Delivery record says."""
        if isinstance(given, list):
            body = b"[" + b",".join(msg.get_data().strip() for msg in given) + b"]"
        else:
            body = given.get_data().strip()
        where = host_of(target.url)
        try:
            posted = await self._poster.post(target.url, body, target.headers, target.timeout_s)
        except (TimeoutError, OSError) as error:
            why = "took too long" if isinstance(error, TimeoutError) else f"no answer: {error}"
            reject(451, f"4.4.1 {where}: {why}")
            raise
        if not posted.is_taken:
            # Whatever the status says: a wrong URL or an expired token must not cost records.
            reject(451, f"4.3.0 {where} answered {posted.status} {posted.text}")
        return f"{posted.status} {posted.text}"

    def new_disposition_hook(self, *, name: str, hook: Callable[..., Any]) -> None:
        """Have a function told of each record where it is made; it delays what it takes part in.

        Args:
            name: Tells hooks apart.
            hook: Takes the message, or None, and the record as a dict.
        """
        call = begin_setup("helpers.log_hooks.new_disposition_hook")
        function = _checked_function("hook", hook, 2)
        if not isinstance(name, str) or not name:
            raise ValueError("name: text is expected")
        parts = call.epoch.native.parts
        hooks: DispositionHooks | None = parts.get("disposition hooks")
        if hooks is None:
            hooks = parts["disposition hooks"] = DispositionHooks(self._call)
            call.epoch.native.on("log_disposition", hooks.tell, call.place)
        if name in hooks.by_name:
            raise ValueError(f"the disposition hook {name!r} is set up twice")
        hooks.by_name[name] = function

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        for function in (self.new, self.new_json, self.new_disposition_hook):
            namespace.expose(function.__name__, function, module=f"helpers.{NAME}")


def _checked_function(name: str, value: Any, arguments: int = 1) -> Callable[..., Any]:
    if EPOCH_NAME not in getattr(value, "__globals__", {}):
        raise TypeError(f"{name}: a function of the script is expected, not {value!r:.80}")
    try:
        return function_of(arguments)(value)
    except OptionError as error:
        raise TypeError(f"{name}: {error}") from None


def _plain(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of options in which nothing of the script stays."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"a table of options is expected, not {type(options).__name__[:100]}")
    return copy_plain(dict(options), caller_budget()).value  # type: ignore[no-any-return]


def _queue_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    options = _plain(given)
    for name in options:
        if name == "protocol" or name not in OPTIONS:
            hint = closest(name, OPTIONS.keys() - {"protocol"})
            raise TypeError(f"queue_config: unknown option {name!r}{hint}")
    return options


def _checked_headers(given: Mapping[str, str] | None) -> dict[str, str]:
    headers = _plain(given)
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER.match(name):
            raise ValueError("headers: names of header fields are expected")
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"headers: {name}: text is expected")
    return headers
