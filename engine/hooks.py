"""Every hook the engine fires, one declaration each; the reference page is made from it.

Place in flow: ``engine.app`` hands the table to ``policy.runtime``; stages fire hooks by name.
The names, arguments and failure rules are the contract's; the text of ``doc`` is the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.answer_check import (
    check_code,
    check_extensions,
    check_identities,
    check_kind,
    check_listener_parameters,
    check_rewritten,
    check_split,
)
from engine.model.access_list import AccessList
from engine.model.egress import EgressPath, EgressPool, EgressSource
from engine.model.listener_domain import ListenerDomain
from engine.model.queue_config import QueueConfig
from policy.hook import Hook, OnFailure

#: How long a handler may wait for the network at reception, and elsewhere, seconds.
RECEPTION_WAIT_S = 30.0
WAIT_S = 10.0
#: init may build tables: its budget is that of a load, not of a message.
INIT_CPU_S = 5.0
#: Declared, so that scripts are checked against them, and fired by what comes later: a handler of
#: one is a warning at load, never silence.
NOT_YET_FIRED: frozenset[str] = frozenset()


def _receive(
    name: str,
    arguments: str,
    doc: str,
    result: tuple[type, ...] | None = None,
    check: Callable[[Any], None] | None = None,
) -> Hook:
    return Hook(
        name=name,
        arguments=tuple(arguments.split()),
        result=result,
        on_failure=OnFailure.REFUSE,
        wait_budget_s=RECEPTION_WAIT_S,
        doc=doc,
        check=check,
    )


def _config(
    name: str, arguments: str, doc: str, kind: type = object, *, multiple: bool = False
) -> Hook:
    return Hook(
        name=name,
        arguments=tuple(arguments.split()),
        result=(object,),
        multiple=multiple,
        on_failure=OnFailure.KEEP_LAST,
        wait_budget_s=WAIT_S,
        doc=doc,
        check=check_kind(kind),
    )


def _note(
    name: str,
    arguments: str,
    doc: str,
    result: tuple[type, ...] | None = None,
    *,
    multiple: bool = False,
    check: Callable[[Any], None] | None = None,
) -> Hook:
    return Hook(
        name=name,
        arguments=tuple(arguments.split()),
        result=result,
        multiple=multiple,
        on_failure=OnFailure.IGNORE,
        wait_budget_s=WAIT_S,
        doc=doc,
        check=check,
    )


HOOKS: tuple[Hook, ...] = (
    Hook(
        name="init",
        arguments=(),
        result=None,
        on_failure=OnFailure.FATAL,
        cpu_budget_s=INIT_CPU_S,
        doc="Declares spool, logs and listeners. Runs once at start and again at each reload.",
    ),
    _note("shutdown", "", "Runs after the last message moved, before the logs are closed."),
    _receive(
        "get_listener_parameters",
        "listener conn",
        "Options of the listener for this connection, as a dict; before smtp_connection_accepted.",
        (dict,),
        check_listener_parameters,
    ),
    _receive("smtp_connection_accepted", "conn", "A client connected; a refusal closes."),
    _receive(
        "smtp_ehlo",
        "domain conn extensions",
        "EHLO or HELO. A list of strings replaces what is advertised.",
        (list, tuple),
        check_extensions,
    ),
    _receive(
        "smtp_auth_plain",
        "authz authc password conn",
        "AUTH PLAIN or LOGIN over TLS: True, False, or a dict with identities and groups.",
        (bool, dict),
        check_identities,
    ),
    _receive("smtp_mail_from", "sender conn", "MAIL FROM, after its syntax was checked."),
    _receive("smtp_rcpt_to", "recipient conn", "RCPT TO, after the relay decision and limits."),
    _receive(
        "smtp_data",
        "msg conn",
        "The whole message with all its recipients, before it is split. May edit it.",
    ),
    _receive(
        "smtp_split_transaction",
        "msg conn",
        "A list of lists of recipients, one message each; instead of batch_handling.",
        (list, tuple),
        check_split,
    ),
    _note(
        "smtp_rewrite_response",
        "status response command conn",
        "Each reply before it is sent: None, or a pair of a new status and text (None keeps).",
        (tuple, list),
        check=check_rewritten,
    ),
    _receive(
        "get_listener_domain",
        "domain listener conn",
        "What may be relayed to or from a domain: mta.make_listener_domain(...), or None.",
        (object,),
        check_kind(ListenerDomain),
    ),
    _receive(
        "message_received",
        "msg",
        "Each message before it is stored, however it came in. Edits are stored with it.",
    ),
    _receive(
        "http_auth_basic",
        "user password",
        "HTTP Basic credentials.",
        (bool, dict),
        check_identities,
    ),
    _receive("http_auth_bearer", "token", "An HTTP bearer token.", (bool, dict), check_identities),
    Hook(
        name="get_acl_definition",
        arguments=("resource",),
        result=(object,),
        multiple=True,
        on_failure=OnFailure.REFUSE,
        wait_budget_s=WAIT_S,
        doc="mta.make_access_control_list(...) of a resource, such as"
        " `http_listener/127.0.0.1:8000/api/admin`; None for the default one. Asked for each"
        " request by HTTP, from the path to what it lies in, until a rule speaks of the caller;"
        " nothing is remembered. A failing handler is a 503.",
        check=check_kind(AccessList),
    ),
    _receive(
        "xfer_message_received",
        "msg",
        "A message that another node transfers, as it was there, before it is stored; instead of"
        " message_received. A refusal leaves it where it is.",
    ),
    _config(
        "get_queue_config",
        "domain tenant campaign routing_domain",
        "mta.make_queue_config(...) of a scheduled queue.",
        QueueConfig,
        multiple=True,
    ),
    _config(
        "get_egress_pool",
        "name",
        "mta.make_egress_pool(...) of this name. Not asked for the pool `unspecified`: that of"
        " queues without one, which always exists and has the source of that name.",
        EgressPool,
    ),
    _config(
        "get_egress_source",
        "name",
        "mta.make_egress_source(...) of this name. Not asked for the source `unspecified`, which"
        " always exists and leaves the address to the system.",
        EgressSource,
    ),
    _config(
        "get_egress_path",
        "routing_domain egress_source site_name",
        "mta.make_egress_path(...) from one source to one site.",
        EgressPath,
    ),
    Hook(
        name="throttle_insert_ready_queue",
        arguments=("msg",),
        result=None,
        multiple=True,
        on_failure=OnFailure.DEFER,
        wait_budget_s=WAIT_S,
        doc="Before a message enters a ready queue; may delay it with a throttle or set_due.",
    ),
    _note(
        "message_requeued",
        "msg response reasons attempt_counted delay",
        "A message goes back to its queue. May move it; a refusal fails the message.",
        multiple=True,
    ),
    _note("message_enumerated", "msg", "A message found in the spool at start."),
    _note(
        "rebind_message",
        "msg data",
        "An operator moves a message that waits, and asked for this event. What it changes of the"
        " message is stored, and the message goes where its queue then is. A refusal, like a"
        " failure, leaves the message as it was.",
    ),
    _note(
        "rewrite_delivery_status",
        "response domain tenant campaign routing_domain",
        "A new code for a peer's reply that is not 250, or None.",
        (int,),
        check=check_code,
    ),
    _note(
        "should_enqueue_log_record",
        "msg hook_name",
        "Whether a record becomes a message of a log hook; the record is in log_record. One that"
        " does has to name a queue in the metadata: without, it goes nowhere.",
        (bool,),
        multiple=True,
    ),
    _note("log_disposition", "msg record", "Each record, where it is made."),
)
