"""Injection: ``POST /api/inject/v1`` turns one request into a message per recipient.

Place in flow: a route of the daemon's ``engine.base.http_service``; messages are built by
``engine.receive.injection_content`` in a thread and handed to admission through the ``Admit`` port.

Invariants:
    * A request is checked whole, templates compiled, before the first message is admitted.
    * A recipient's failure never fails the others; the answer names it.
    * At most a batch of built messages is in memory per request; the event loop only passes
      batches on.

Failure: 422 names the field that is wrong; 503 while the node takes no mail. A recipient whose
message could not be stored counts as failed: the client may send it again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from engine.base.clock import Clock
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.model.address import EnvelopeAddress, parse_address
from engine.model.errors import EngineError
from engine.model.header_encoding import format_mailbox, is_field_name
from engine.model.listener_options import TraceHeaders
from engine.receive.injection_content import Build, ContentError, ContentObject, compile_content
from engine.receive.template_dialect import TemplateDialect, TemplateError

log = logging.getLogger("cirrus.injection")

PATH = "/api/inject/v1"
#: Messages handed to admission at once: enough to share a flush, few enough to hold in memory.
BATCH_MESSAGES = 64
#: Octets after which a batch is handed on, however few messages it holds.
BATCH_BYTES = 4 * 1024 * 1024
#: Threads that build messages; two requests never wait for one long template.
BUILD_THREADS = 2
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")

#: Why a message was not taken, or None when it was.
AdmitOutcome = str | None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message built from a request, before admission.

    Attributes:
        data: The message, with CRLF line ends.
        meta: Its first metadata.
        relaxed: Answer after an unsynced write.
        trace: The trace headers admission adds.
        smtputf8: An address of the envelope is not ASCII.
    """

    sender: str
    recipients: list[str]
    data: bytes
    meta: dict[str, Any]
    relaxed: bool
    trace: TraceHeaders
    smtputf8: bool = False


#: Port: judge and store messages; one outcome for each, in order.
Admit = Callable[[list[NewMessage]], Awaitable[list[AdmitOutcome]]]
#: Port: return why the node takes no mail now, or None.
Gate = Callable[[], str | None]
#: Port: count octets of memory taken, before the next sample would show them.
Grow = Callable[[int], None]


class InjectRecipient(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One recipient of a request, who gets a message of their own.

    Attributes:
        email: The address.
        name: The name to show, for templates.
        substitutions: What templates put in, before that of the request.
        metadata: The message's ``extra`` metadata.
    """

    email: str
    name: str | None = None
    substitutions: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class InjectTraceHeaders(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which trace headers the messages get; none that shows the injector unless asked for.

    Attributes:
        received_header: A Received field.
        supplemental_header: A field that finds message and injector again in feedback.
        header_name: The name of that field.
        include_meta_names: Metadata that it carries.
    """

    received_header: bool = False
    supplemental_header: bool = True
    header_name: str = "X-KumoRef"
    include_meta_names: list[str] = []


class InjectRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a client sends.

    Attributes:
        envelope_sender: The address that bounces go to.
        recipients: Who get a message each.
        content: The message, or the parts that it is put together from.
        substitutions: What templates put in.
        deferred_spool: Answer before the messages are safe on the disk: a crash may lose them.
        deferred_generation: Not available yet.
        trace_headers: Trace fields of the messages.
        template_dialect: The language of the content.
    """

    envelope_sender: str
    recipients: list[InjectRecipient]
    content: str | ContentObject
    substitutions: dict[str, Any] = {}
    deferred_spool: bool = False
    deferred_generation: bool = False
    trace_headers: InjectTraceHeaders = InjectTraceHeaders()
    template_dialect: TemplateDialect = TemplateDialect.JINJA


class InjectResponse(msgspec.Struct, kw_only=True):
    """What the client is answered: how many messages were taken, and which were not and why.

    Attributes:
        success_count: Messages that were taken.
        fail_count: Recipients whose message was not.
        failed_recipients: These recipients.
        errors: Why, in the same order.
    """

    success_count: int = 0
    fail_count: int = 0
    failed_recipients: list[str] = []
    errors: list[str] = []


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str


class HttpInjection:
    """The injection endpoint.

    Args:
        clock: Source of the Date header.
        admit: Port to admission.
        gate: Port that says why the node takes no mail now.
        grow: Port that counts what requests take.
    """

    def __init__(
        self,
        clock: Clock,
        admit: Admit,
        gate: Gate = lambda: None,
        grow: Grow = lambda _octets: None,
    ) -> None:
        self._clock = clock
        self._admit = admit
        self._gate = gate
        self._grow = grow
        self._threads = ThreadPoolExecutor(BUILD_THREADS, thread_name_prefix="injection")

    def add_to(self, service: HttpService) -> None:
        """Offer the endpoint on a listener."""
        service.add_route(
            "POST",
            PATH,
            self.inject,
            Access.INJECT,
            body=InjectRequest,
            answer=InjectResponse,
            summary="Inject one message for each recipient.",
        )

    def close(self) -> None:
        """Stop the threads; what they build is no longer wanted."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def inject(self, call: HttpCall) -> InjectResponse:
        """Return what became of a request.

        Raises:
            HttpRefusalError: The request is wrong as a whole, or the node takes no mail.
        """
        request: InjectRequest = call.body
        # The request as octets and as values; many large ones come in between two samples.
        self._grow(2 * len(call.raw_body))
        return await self.inject_request(request, connection_meta(call))

    async def inject_request(self, request: InjectRequest, meta: dict[str, Any]) -> InjectResponse:
        """Return what became of a request, wherever it came from.

        Args:
            request: What to inject.
            meta: Metadata of each message.

        Raises:
            HttpRefusalError: The request is wrong as a whole, or the node takes no mail.
        """
        self._refuse_while_closed()
        loop = asyncio.get_running_loop()
        work = await loop.run_in_executor(self._threads, self._compile, request, meta)
        response = InjectResponse()
        recipients = iter(request.recipients)
        while True:
            batch = await loop.run_in_executor(self._threads, work.build_batch, recipients)
            if not batch:
                return response
            await self._admit_batch(batch, response)

    def _refuse_while_closed(self) -> None:
        reason = self._gate()
        if reason is not None:
            raise HttpRefusalError(503, reason)

    def _compile(self, request: InjectRequest, meta: dict[str, Any]) -> _InjectionWork:
        return _InjectionWork(request, meta, self._clock)

    async def _admit_batch(
        self, batch: list[tuple[str, NewMessage | _Failure]], response: InjectResponse
    ) -> None:
        messages = [built for _, built in batch if isinstance(built, NewMessage)]
        self._grow(sum(len(built.data) for built in messages))
        outcomes = iter(await self._outcomes(messages) if messages else ())
        for email, built in batch:
            reason = built.reason if isinstance(built, _Failure) else next(outcomes)
            if reason is None:
                response.success_count += 1
                continue
            response.fail_count += 1
            response.failed_recipients.append(email)
            response.errors.append(f"{email}: {_CONTROLS.sub(' ', reason)}")

    async def _outcomes(self, messages: list[NewMessage]) -> list[AdmitOutcome]:
        reason = self._gate()
        if reason is not None:
            # Closed in the middle: what was taken stays taken, the rest is the client's again.
            return [reason] * len(messages)
        try:
            return await self._admit(messages)
        except EngineError as error:
            log.warning("injected messages could not be taken: %s", error)
            return ["the message cannot be taken now"] * len(messages)


class _InjectionWork:
    """A checked and compiled request; used in a thread."""

    def __init__(self, request: InjectRequest, meta: dict[str, Any], clock: Clock) -> None:
        if request.deferred_generation:
            raise HttpRefusalError(
                422, "deferred_generation is not available yet", "deferred_generation"
            )
        if request.template_dialect is TemplateDialect.HANDLEBARS:
            raise HttpRefusalError(
                422, "the dialect Handlebars is not available yet", "template_dialect"
            )
        if not is_field_name(request.trace_headers.header_name):
            raise HttpRefusalError(422, "no name of a header", "trace_headers.header_name")
        self._request = request
        self._meta = meta
        self._sender = _check_sender(request.envelope_sender)
        self._build: Build = self._compile_content(clock)
        trace = request.trace_headers
        self._trace = TraceHeaders(
            received_header=trace.received_header,
            supplemental_header=trace.supplemental_header,
            header_name=trace.header_name,
            include_meta_names=tuple(trace.include_meta_names),
        )

    def _compile_content(self, clock: Clock) -> Build:
        request = self._request
        try:
            return compile_content(request.content, request.template_dialect, clock.wall)
        except ContentError as error:
            raise HttpRefusalError(422, str(error), error.field) from error

    def build_batch(
        self, recipients: Iterator[InjectRecipient]
    ) -> list[tuple[str, NewMessage | _Failure]]:
        """Return the next messages, or why one could not be built, with the recipients."""
        batch: list[tuple[str, NewMessage | _Failure]] = []
        size_bytes = 0
        for recipient in islice(recipients, BATCH_MESSAGES):
            built = self._build_one(recipient)
            batch.append((recipient.email, built))
            if isinstance(built, NewMessage):
                size_bytes += len(built.data)
            if size_bytes >= BATCH_BYTES:
                break
        return batch

    def _build_one(self, recipient: InjectRecipient) -> NewMessage | _Failure:
        try:
            address = parse_address(recipient.email)
            if not address:
                return _Failure("the address is empty")
            variables: dict[str, Any] = {
                **self._request.substitutions,
                "email": recipient.email,
                "name": recipient.name or "",
                "to_header": format_mailbox(recipient.name, recipient.email),
                **recipient.substitutions,
            }
            data = self._build(variables)
        except TemplateError as error:
            return _Failure(f"template: {error}")
        except ValueError as error:
            return _Failure(str(error))
        meta = dict(self._meta)
        if recipient.metadata:
            meta["extra"] = recipient.metadata
        is_ascii = address.email.isascii() and self._sender.email.isascii()
        return NewMessage(
            self._sender.email,
            [address.email],
            data,
            meta,
            self._request.deferred_spool,
            self._trace,
            smtputf8=not is_ascii,
        )


def _check_sender(text: str) -> EnvelopeAddress:
    try:
        return parse_address(text)
    except ValueError as error:
        raise HttpRefusalError(422, f"no address: {error}", "envelope_sender") from error


def connection_meta(call: HttpCall) -> dict[str, Any]:
    """Return the metadata a call gives its messages."""
    return {
        "http_auth": call.identity,
        "reception_protocol": "HTTP",
        "received_from": call.peer_ip,
        "received_via": call.local_ip,
        "hostname": call.hostname,
    }
