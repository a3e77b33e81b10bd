"""Tests of an operator's own scripts, without a node: this is the module that they import.

    from engine.script_testing import Refusal, ScriptHarness

Place in flow: used by tests only. ``engine.script_test_node`` is what the script runs in,
``engine.pytest_plugin`` offers it as the fixture ``script``; docs/testing-scripts.md explains it.

Invariants:
    * A script is loaded and checked as a node does it, ``init`` and the dry calls included.
    * Time stands still until a test or a waiting handler moves it; then waiting takes none.
    * Nothing outside is reached: no host, no name server, no file but those of the policy folder.

Failure: whatever is wrong with the script is a ``ScriptError``, an ``AssertionError`` with file,
line and the script's own lines. Wrong use of this module is a ``TypeError``, ``ValueError`` or
``LookupError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.model.address import parse_address
from engine.model.duration import parse_duration
from engine.model.listener_options import format_listen, make_listener_options, parse_listen
from engine.model.message import Message
from engine.receive.smtp_listener import SmtpListener
from engine.script_declarations import Declarations
from engine.script_refusals import SmtpRefusal
from engine.script_test_client import Exchange, MemoryClient, Reception
from engine.script_test_events import (
    find_hook,
    make_connection,
    make_up,
    name_arguments,
    options_of,
)
from engine.script_test_http import FakeHttp, SentRequest
from engine.script_test_log import LogLine, listening
from engine.script_test_mail import Mail, Refusal, make_mail, make_signing_key, refusal_of
from engine.script_test_node import HOSTNAME, ScriptTestNode
from engine.script_views import ConnectionView
from policy.errors import HookFailedError, PolicyLoadError
from policy.hook import Hook
from policy.testing import VirtualLoop, write_scripts

__all__ = [
    "Exchange",
    "FakeHttp",
    "LogLine",
    "Mail",
    "Reception",
    "Refusal",
    "ScriptError",
    "ScriptHarness",
    "SentRequest",
    "make_signing_key",
    "options_of",
]

_T = TypeVar("_T")


class ScriptError(AssertionError):
    """A script under test does not load, or a handler of it failed.

    Attributes:
        file: The script at fault.
        line: The line, where one is known.
        reason: What went wrong, without the place.
    """

    def __init__(self, error: PolicyLoadError | HookFailedError) -> None:
        shown = "".join(f"\n  at {frame}" for frame in error.trace)
        super().__init__(f"{error}{shown}")
        self.file = error.file
        self.line = error.line
        self.reason = error.message


class ScriptHarness:
    """A policy script under test.

    Args:
        path: The script.
        now: The instant at which time stands: a datetime, or RFC 3339 text.
        zones: What the DNS knows, as texts of zone files; instead of what ``init`` declares.
        servfail: Domains whose name servers do not answer.
        http: What answers its HTTP requests; one made before the script is loaded where loading
            needs an answer already, as a shaping file from a URL or a key in a Vault does.

    Attributes:
        log: What the script wrote with ``mta.log_*`` and ``print``.
        http: What answers its HTTP requests; see ``FakeHttp``.

    Raises:
        ScriptError: The script does not load.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        now: datetime | str = "2030-01-01T12:00:00Z",
        zones: Iterable[str] | None = None,
        servfail: Iterable[str] = (),
        http: FakeHttp | None = None,
    ) -> None:
        __tracebackhide__ = True
        self.path = Path(path).absolute()
        self.log: list[LogLine] = []
        self._failures: list[dict[str, Any]] = []
        self.http = http or FakeHttp()
        self._node = ScriptTestNode(self.path, _instant(now), self._take_report, self.http)
        if zones is not None or servfail:
            self._node.set_zones(zones or (), servfail)
        self._loop = VirtualLoop(self._node.time)
        try:
            self.reload()
        except BaseException:
            self._loop.close()
            raise

    @classmethod
    def from_text(
        cls,
        folder: Path,
        text: str,
        others: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ScriptHarness:
        """Return a script made of text.

        Args:
            folder: An empty folder, such as ``tmp_path`` of pytest.
            text: The script, written as ``init.py``.
            others: What stands beside it, by file name.
            options: Those of the class.
        """
        __tracebackhide__ = True
        return cls(write_scripts(folder, text, others or {}), **options)

    # -- loading ------------------------------------------------------------------------------

    def reload(self) -> None:
        """Load the script anew, as a node does when it was edited.

        Raises:
            ScriptError: It does not load; the one that is loaded stays.
        """
        __tracebackhide__ = True
        self._run(self._load())

    async def _load(self) -> None:
        __tracebackhide__ = True
        runtime = self._node.runtime
        try:
            runtime.swap(runtime.load(self.path, dry_check=self._node.dry_check))
        except PolicyLoadError as error:
            raise ScriptError(error) from None
        self._node.helpers.begin(runtime.epoch)
        await self._node.settle()

    @property
    def warnings(self) -> list[str]:
        """Return what a node would warn of at load, each with file and line."""
        return [str(finding) for finding in self._node.runtime.epoch.warnings]

    @property
    def declared(self) -> Declarations:
        """Return what ``init`` declared."""
        return self._node.dry_check.declarations

    # -- firing -------------------------------------------------------------------------------

    def fire(self, event: str, *args: Any, **named: Any) -> Any:
        """Return the answer of the script to an event, or its ``Refusal``.

        Args:
            event: Its name.
            args: Its arguments by position, as the reference has them; addresses may be text,
                a message is a ``Mail``, a connection a dict.
            named: Its arguments by name. What is left out is made up where that makes sense.

        Raises:
            ScriptError: A handler failed.
            LookupError: There is no such event, or no handler of it in the script.
        """
        __tracebackhide__ = True
        hook = find_hook(event)
        runtime = self._node.runtime
        if not runtime.is_handled(event):
            raise LookupError(f"{self.path.name} has no handler of {event!r}")
        given = name_arguments(hook, args, named)
        values = [
            self._argument(event, name, value) for name, value in self._arguments(hook, given)
        ]
        return self._outcome(runtime.fire(event, *values))

    def call(self, name: str, *args: Any) -> Any:
        """Return what a function of the script returns, called as a handler is, or its ``Refusal``.

        Args:
            name: Its name at the top level of the script.
            args: Its arguments; a message is a ``Mail``.

        Raises:
            ScriptError: It failed.
            LookupError: The script has no such function, or no handler at all.
        """
        __tracebackhide__ = True
        for handlers in self._node.runtime.epoch.handlers.values():
            for handler in handlers:
                if handler.file == str(self.path) and not handler.is_native:
                    found = handler.function.__globals__.get(name)
                    if callable(found):
                        values = [self._argument("message_received", "", one) for one in args]
                        return self._outcome(self._node.runtime.call_function(found, *values))
        raise LookupError(f"{self.path.name} has no function {name!r}")

    def _arguments(self, hook: Hook, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield each argument of an event by name, made up where the test gives none.

        Raises:
            TypeError: One must be given.
        """
        __tracebackhide__ = True
        site_name = ""
        if hook.name == "get_egress_path":
            domain = given.get("routing_domain", make_up(hook, "routing_domain"))
            site_name = self._run(self._node.find_site(domain))
        for name in hook.arguments:
            if name in given:
                yield name, given[name]
            elif name == "msg":
                yield name, self.mail()
            elif name == "conn":
                yield name, {}
            elif name == "listener":
                yield name, format_listen(self._listen(None))
            elif name == "site_name":
                yield name, site_name
            else:
                yield name, make_up(hook, name)

    def _argument(self, event: str, name: str, value: Any) -> Any:
        if isinstance(value, Mail):
            return value.view(event)
        if name == "conn" and isinstance(value, Mapping):
            return self.connection(**value)
        if name in ("sender", "recipient") and isinstance(value, str):
            return parse_address(value)
        if name in ("extensions", "reasons"):
            return list(value)
        return value

    def _outcome(self, answer: Coroutine[Any, Any, Any]) -> Any:
        __tracebackhide__ = True
        try:
            return self._run(answer)
        except SmtpRefusal as refusal:
            return refusal_of(refusal)
        except HookFailedError as error:
            raise ScriptError(error) from None

    # -- mail ---------------------------------------------------------------------------------

    def mail(
        self,
        text: str = "hello",
        *,
        sender: str = "sender@example.com",
        recipient: str | Iterable[str] = "someone@example.org",
        headers: Mapping[str, str | Iterable[str] | None] | None = None,
        raw: bytes | None = None,
        meta: Mapping[str, Any] | None = None,
        num_attempts: int = 0,
    ) -> Mail:
        """Return a message for an event.

        Args:
            text: The body.
            sender: Envelope sender; empty for a bounce.
            recipient: Of the envelope: one, or several.
            headers: Fields besides From, To and Subject, which are made up; None leaves one out.
            raw: Header and body instead.
            meta: Metadata, such as the tenant.
            num_attempts: Delivery attempts made.
        """
        return make_mail(
            self._node.clock,
            text,
            sender=sender,
            recipients=[recipient] if isinstance(recipient, str) else recipient,
            headers=headers,
            raw=raw,
            meta=meta,
            num_attempts=num_attempts,
        )

    @staticmethod
    def connection(*, auth_groups: Iterable[str] = (), **meta: Any) -> ConnectionView:
        """Return a client's connection for an event; a handler's ``set_meta`` shows in it.

        Args:
            auth_groups: What ``auth_info`` gives as groups.
            meta: Metadata; ``authz_id`` and ``authn_id`` are identities of ``auth_info`` as well.
        """
        return make_connection(meta, tuple(auth_groups))

    def receive(
        self,
        mail: Mail | str | None = None,
        *,
        client: str = "127.0.0.1",
        ehlo: str = "client.example.com",
        listen: str | None = None,
        credentials: tuple[str, str] | None = None,
        **options: Any,
    ) -> Reception:
        """Send a message through the whole reception of a listener, up to its queue.

        Relay rules, limits, all events of reception in their order and the naming of the queue
        are those of a node.

        Args:
            mail: The message, or its body; or give the arguments of ``mail``.
            client: IP address of the client.
            ehlo: What it calls itself.
            listen: Address of the listener, where ``init`` declares several.
            credentials: Name and password of AUTH; the connection then passes for one over TLS.
            options: Arguments of ``mail``.

        Raises:
            ScriptError: A handler failed.
            LookupError: There is no such listener.
        """
        __tracebackhide__ = True
        if isinstance(mail, str):
            options["text"] = mail
        elif mail is not None and options:
            raise TypeError(f"the message is made already; {', '.join(options)} come too late")
        sent = mail if isinstance(mail, Mail) else self.mail(**options)
        node, before = self._node, len(self._node.queued)
        listen_at = self._listen(listen)
        known = self.declared.listeners.get(listen_at)
        listener = SmtpListener(known or make_listener_options({}, hostname=HOSTNAME), node)

        async def deliver() -> list[Exchange]:
            client_of_it = MemoryClient(listener, client, over_tls=credentials is not None)
            await client_of_it.deliver(
                sent.sender, sent.recipients, sent.content, ehlo=ehlo, credentials=credentials
            )
            return client_of_it.exchanges

        self._failures.clear()
        exchanges = self._run(deliver())
        if self._failures:
            raise _as_error(self._failures[0])
        if node.supervisor.defects:
            raise RuntimeError("the session met a defect of Cirrus; its log says which")
        return Reception(exchanges, [self._as_mail(one) for one in node.queued[before:]])

    def _listen(self, wanted: str | None) -> tuple[str, int]:
        listeners = self.declared.listeners
        if wanted is not None:
            address = parse_listen(wanted)
            if address not in listeners:
                raise LookupError(f"init declares no listener on {wanted}")
            return address
        return next(iter(listeners), ("127.0.0.1", 25))

    @property
    def injected(self) -> list[Mail]:
        """Return the messages that the script made and injected itself."""
        return [self._as_mail(one) for one in self._node.injected]

    def _as_mail(self, message: Message) -> Mail:
        return Mail(message, self._node.clock)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return the log records made by ``receive``, as they are written to the log."""
        return [msgspec.to_builtins(record) for record in self._node.records]

    def counted(self, name: str, **labels: str) -> float:
        """Return what a counter of ``mta.make_counter`` says, in all series with these labels.

        Raises:
            LookupError: The script has made no counter of this name.
        """
        return self._node.count_of(name, labels)

    # -- the world ----------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Return the time of the script, in UTC."""
        return datetime.fromtimestamp(self._node.clock.wall(), UTC)

    def advance(self, duration: float | str) -> None:
        """Let time pass, such as ``"20m"``; what falls due meanwhile happens."""
        self._run(self._pass(parse_duration(duration)))

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._node.settle()

    def move_to(self, instant: datetime | str) -> None:
        """Let time pass up to an instant, such as ``"2030-01-02T09:00:00Z"``."""
        seconds = (_instant(instant) - self.now).total_seconds()
        if seconds < 0:
            raise ValueError(f"time moves forward only, and it is {self.now.isoformat()}")
        self.advance(seconds)

    def set_dns(self, zones: Iterable[str], servfail: Iterable[str] = ()) -> None:
        """Set what the DNS knows from now on, as texts of zone files."""
        self._node.set_zones(zones, servfail)
        self._run(self._node.settle())

    # -- running ------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            work.close()
            raise TypeError("a script is tested by a plain `def test_...`, outside a running loop")
        __tracebackhide__ = True
        with listening(self.log.append):
            try:
                return self._loop.run_until_complete(work)
            except ScriptError as error:
                # Of no use to who reads it is the way through the loop.
                raise error.with_traceback(None) from None

    def _take_report(self, event: str, facts: dict[str, Any]) -> None:
        if event == "script_print":
            self.log.append(LogLine("info", str(facts["text"])))
        elif event == "handler_failed":
            self._failures.append(facts)

    def close(self) -> None:
        """End what is under way; the script cannot be used any more."""
        if not self._loop.is_closed():
            self._run(self._node.close())
            self._run(self._loop.shutdown_default_executor())
            self._loop.close()

    def __enter__(self) -> ScriptHarness:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _instant(value: datetime | str) -> datetime:
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone, as in 2030-01-31T09:00:00Z")
    return instant


def _as_error(facts: Mapping[str, Any]) -> ScriptError:
    error = HookFailedError(
        facts["hook"],
        file=facts["file"],
        line=facts["line"],
        message=facts["message"],
        trace=facts.get("trace", ()),
    )
    return ScriptError(error)
