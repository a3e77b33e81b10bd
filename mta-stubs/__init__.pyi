"""What policy scripts import: types for editors and type checkers.

The module itself exists inside a running node only. Classes here are for annotations
(``if TYPE_CHECKING: from mta import Message``); a script gets their objects from events and
from the ``make_*`` functions.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import (
    Any,
    Literal,
    NoReturn,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from . import amqp as amqp
from . import cidr as cidr
from . import counter_series as counter_series
from . import digest as digest
from . import dkim as dkim
from . import dns as dns
from . import domain_map as domain_map
from . import encode as encode
from . import fs as fs
from . import http as http
from . import kafka as kafka
from . import mimepart as mimepart
from . import nats as nats
from . import redis as redis
from . import regex_set_map as regex_set_map
from . import secrets as secrets
from . import serde as serde
from . import sqlite as sqlite
from . import string as string
from . import time as time
from . import uuid as uuid
from . import xfer as xfer

_Duration: TypeAlias = int | float | str
_Rate: TypeAlias = str
_Limit: TypeAlias = int | str
_Floor: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, str]
_MemoryPolicy: TypeAlias = Literal["ShrinkDataAndMeta", "ShrinkData", "NoShrink"]
_Wakeup: TypeAlias = Literal["Aggressive", "Relaxed"]
_Refresh: TypeAlias = Literal["Ttl", "Epoch"]
_Report: TypeAlias = Literal["Ignore", "LogThenDrop", "LogThenRelay"] | bool

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])
#: What a handler answers: ``def`` or ``async def``, and None for "the next one decides".
_Answer: TypeAlias = _T | Coroutine[Any, Any, _T | None] | None
_Nothing: TypeAlias = Coroutine[Any, Any, None] | None

version: str

# -- what events hand over --------------------------------------------------------------------

@final
@type_check_only
class Address:
    """A sender or recipient.

    >>> msg.sender.user, msg.sender.domain, msg.sender.email
    ('anna', 'example.com', 'anna@example.com')
    """

    @property
    def user(self) -> str:
        """The local part without quotes; empty for the null sender."""
    @property
    def domain(self) -> str:
        """The domain in lower case, or an address literal in brackets."""
    @property
    def email(self) -> str:
        """The whole address."""

@final
@type_check_only
class AddressEntry:
    """One address of a header field.

    >>> [(one.name, one.email) for one in msg.from_header().list]
    [('Anna', 'anna@example.com')]
    """

    @property
    def user(self) -> str:
        """The local part without quotes."""
    @property
    def domain(self) -> str:
        """The domain in lower case."""
    @property
    def email(self) -> str:
        """The whole address."""
    @property
    def name(self) -> str | None:
        """The display name, or None."""

@final
@type_check_only
class AddressHeader:
    """The addresses of a header field; asked for one, it is an error if there are several.

    >>> msg.from_header().user, msg.from_header().name
    ('anna', 'Anna')
    """

    @property
    def user(self) -> str:
        """The local part of the only address."""
    @property
    def domain(self) -> str:
        """The domain of the only address."""
    @property
    def email(self) -> str:
        """The only address."""
    @property
    def name(self) -> str | None:
        """The display name of the only address, or None."""
    @property
    def list(self) -> Sequence[AddressEntry]:
        """All addresses, in order."""

@final
@type_check_only
class Message:
    """The message of an event. Nothing here waits."""

    @property
    def sender(self) -> Address:
        """The envelope sender; empty for a bounce.

        >>> msg.sender.email
        'anna@example.com'
        """
    @sender.setter
    def sender(self, value: Address | str) -> None: ...
    @property
    def recipient(self) -> Address:
        """The only recipient; an error if there are several.

        >>> msg.recipient.domain
        'example.org'
        """
    @recipient.setter
    def recipient(self, value: Address | str | Sequence[Address | str]) -> None: ...
    @property
    def recipient_list(self) -> list[Address]:
        """The recipients, in order.

        >>> [one.email for one in msg.recipient_list]
        ['someone@example.org']
        """
    @recipient_list.setter
    def recipient_list(self, value: Iterable[Address | str]) -> None: ...
    @property
    def id(self) -> str:
        """The spool id, 32 hexadecimal digits.

        >>> len(msg.id)
        32
        """
    @property
    def queue_name(self) -> str:
        """The name of the queue, from recipient and metadata as they are now.

        >>> msg.set_meta("tenant", "acme")
        >>> msg.queue_name
        'acme@example.org'
        """
    @property
    def num_attempts(self) -> int:
        """The number of delivery attempts made.

        >>> msg.num_attempts
        0
        """
    def increment_num_attempts(self) -> None:
        """Count one more attempt; it is kept when the message is next stored.

        >>> msg.increment_num_attempts()
        >>> msg.num_attempts
        1
        """
    def set_sender(self, value: Address | str) -> None:
        """Set the envelope sender; ``msg.sender = ...`` does the same.

        >>> msg.set_sender("bounces@example.com")
        >>> msg.sender.email
        'bounces@example.com'
        """
    def set_recipient(self, value: Address | str | Sequence[Address | str]) -> None:
        """Set the recipient, or several given as a list.

        >>> msg.set_recipient("other@example.net")
        >>> msg.queue_name
        'example.net'
        """
    def get_meta(self, name: str) -> Any:
        """A metadata value, or None.

        >>> msg.get_meta("reception_protocol")
        'ESMTP'
        """
    def set_meta(self, name: str, value: Any) -> None:
        """Set a metadata value, a plain one; what is no Unicode becomes U+FFFD.

        The queue is named after tenant, campaign, routing_domain and queue.

        >>> msg.set_meta("campaign", "spring")
        >>> msg.get_meta("campaign")
        'spring'
        """
    def get_data(self) -> bytes:
        """The whole message: header and body as they will be sent.

        >>> b"Subject: " in msg.get_data()
        True
        """
    def set_data(self, data: bytes | str | mimepart.MimePart) -> None:
        r"""Replace the whole message: octets, text, or a part of ``parse_mime``.

        >>> msg.set_data("Subject: new\r\n\r\nAll of it is replaced.\r\n")
        >>> msg.get_first_named_header_value("Subject")
        'new'
        """
    def parse_mime(self) -> mimepart.MimePart:
        """The message as a tree of parts: a copy, to be given to set_data again.

        ValueError: it has too many parts, or they are nested too deeply.

        >>> part = msg.parse_mime()
        >>> part.headers.set_subject("Coffee")
        >>> msg.set_data(part)
        >>> msg.get_first_named_header_value("Subject")
        'Coffee'
        """
    def append_text_plain(self, text: str) -> bool:
        """Put text behind the first plain text; False if there is none.

        >>> msg.append_text_plain("You asked for this mail.")
        True
        """
    def append_text_html(self, text: str) -> bool:
        """Put HTML before the last ``</body>``, or at the end; False if there is no HTML.

        >>> msg.append_text_html("<p>You asked for this mail.</p>")
        True
        """
    def check_fix_conformance(
        self, checks: str, fixes: str, settings: Mapping[str, Any] | None = None
    ) -> str | None:
        """What is wrong with the form of the message, by labels joined by ``|``; or mend it.

        The labels: MISSING_COLON_VALUE, NON_CANONICAL_LINE_ENDINGS, NAME_ENDS_WITH_SPACE,
        LINE_TOO_LONG (over 998 octets), NEEDS_TRANSFER_ENCODING, MISSING_DATE_HEADER,
        MISSING_MESSAGE_ID_HEADER, MISSING_MIME_VERSION.

        ValueError: there is no such label or setting.

        >>> msg.check_fix_conformance("MISSING_DATE_HEADER", "")
        'Message has conformance issues: MISSING_DATE_HEADER'
        >>> msg.check_fix_conformance("", "MISSING_DATE_HEADER")
        >>> msg.get_first_named_header_value("Date") is None
        False
        """
    def parse_rfc3464(self) -> dict[str, Any] | None:
        """What a delivery status notification says; None if the message is none.

        Three keys: ``per_message``, ``per_recipient`` (a list) and ``original_message`` (text, or
        None). What the report leaves out is None; dates are RFC 3339 in UTC.

        ``per_message``: reporting_mta, dsn_gateway and received_from_mta (each with mta_type and
        name), original_envelope_id, arrival_date, extensions.

        Each of ``per_recipient``: final_recipient and original_recipient (each with recipient_type
        and recipient), action (failed, delayed, delivered, relayed or expanded), status (as
        "5.1.1"), remote_mta (mta_type and name), diagnostic_code (diagnostic_type and diagnostic),
        last_attempt_date, final_log_id, will_retry_until, extensions.

        ``extensions`` holds the fields that the standard does not know: names in lower case, each
        with a list of values.

        >>> msg.parse_rfc3464() is None
        True
        """
    def parse_rfc5965(self) -> dict[str, Any] | None:
        """What a feedback report says; None if the message is none.

        Text: feedback_type (as "abuse"), user_agent, version. Text or None: arrival_date (RFC 3339
        in UTC), original_envelope_id, original_mail_from, source_ip, original_message. A number or
        None: incidents. reporting_mta has mta_type and name, or is None.

        Lists of text: authentication_results, original_rcpto_to (spelled as in log records),
        reported_domain, reported_uri.

        ``extensions`` holds the fields that the standard does not know: names in lower case, each
        with a list of values. ``supplemental_trace`` is what a node noted in its trace field of the
        original message (recipient and chosen metadata), or None.

        >>> msg.parse_rfc5965() is None
        True
        """
    def save(self) -> None:
        """Nothing to be done: changes are stored as the event says.

        >>> msg.save()
        """
    def set_force_sync(self, force_sync: bool) -> None:
        """Nothing to be done: see durability of define_spool.

        >>> msg.set_force_sync(True)
        """
    def shrink(self) -> None:
        """Nothing to be done: the node does it when memory is low.

        >>> msg.shrink()
        """
    def shrink_data(self) -> None:
        """Nothing to be done: the node does it when memory is low.

        >>> msg.shrink_data()
        """
    def get_first_named_header_value(self, name: str) -> str | None:
        """The first value of a header field, unfolded and decoded, or None.

        >>> msg.get_first_named_header_value("subject")
        'Café'
        """
    def get_all_named_header_values(self, name: str) -> list[str]:
        """All values of a header field, in order.

        >>> msg.get_all_named_header_values("X-Tag")
        ['news', 'spring']
        """
    def get_all_headers(self) -> list[list[str]]:
        """All header fields, as pairs of name and decoded value.

        >>> msg.get_all_headers()[0]
        ['From', 'Anna <anna@example.com>']
        """
    def from_header(self) -> AddressHeader | None:
        """The addresses of From, or None. ValueError: they cannot be read.

        >>> msg.from_header().domain
        'example.com'
        """
    def to_header(self) -> AddressHeader | None:
        """The addresses of To, or None. ValueError: they cannot be read.

        >>> [one.email for one in msg.to_header().list]
        ['someone@example.org']
        """
    def get_address_header(self, name: str) -> AddressHeader | None:
        """The addresses of the first field of this name, or None. ValueError: they cannot be read.

        >>> msg.get_address_header("Reply-To") is None
        True
        """
    def add_authentication_results(
        self,
        server_id: str,
        results: Iterable[mimepart.AuthenticationResult | Mapping[str, Any]],
    ) -> None:
        """Put Authentication-Results in front of all header fields.

        >>> msg.add_authentication_results("mx.example", [{"method": "auth", "result": "pass"}])
        >>> msg.get_first_named_header_value("Authentication-Results")
        'mx.example; auth=pass'
        """
    def prepend_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field in front; ``encode`` as RFC 2047 says, and folded.

        >>> msg.prepend_header("X-Greeting", "Grüße", encode=True)
        >>> msg.get_first_named_header_value("X-Greeting")
        'Grüße'
        """
    def append_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field behind the others; ``encode`` as RFC 2047 says, and folded.

        >>> msg.append_header("X-Handled-By", "mx1")
        >>> msg.get_all_headers()[-1]
        ['X-Handled-By', 'mx1']
        """
    def remove_all_named_headers(self, name: str) -> None:
        """Remove every header field of a name.

        >>> msg.remove_all_named_headers("X-Tag")
        >>> msg.get_all_named_header_values("X-Tag")
        []
        """
    def remove_x_headers(self, names: Iterable[str] = ()) -> None:
        """Remove these header fields, or with no names all that start with X-.

        >>> msg.remove_x_headers(["X-Tag"])
        >>> msg.get_first_named_header_value("X-Tag") is None
        True
        """
    def import_x_headers(self, names: Iterable[str] = ()) -> None:
        """Copy header fields into metadata, or with no names all that start with X-.

        >>> msg.import_x_headers(["X-Tenant"])
        >>> msg.get_meta("x_tenant")
        'acme'
        """
    def import_headers(self, specs: Iterable[Mapping[str, Any]]) -> None:
        """Copy header fields into metadata: name, match, transform, target, remove.

        >>> msg.import_headers([{"name": "X-Tenant", "target": "tenant", "remove": True}])
        >>> msg.get_meta("tenant")
        'acme'
        """
    def dkim_sign(self, signer: dkim.Signer) -> None:
        """Have the message signed, as it is after the last handler of its reception.

        Only in smtp_data, smtp_split_transaction and message_received; a ValueError elsewhere.

        >>> signer = mta.dkim.ed25519_signer(
        ...     domain="example.com",
        ...     selector="s1",
        ...     headers=["From", "To", "Subject"],
        ...     key="/etc/cirrus/dkim/ed25519.key",
        ... )
        >>> msg.dkim_sign(signer)
        """
    def set_due(self, due: str | datetime | None = None) -> None:
        """When it may next be sent: None for now, RFC 3339 text, or a datetime with a zone.

        ValueError: it is no such text, or has no zone.

        >>> msg.set_due("2030-01-31T09:00:00Z")
        """
    def set_scheduling(self, schedule: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Set first_attempt, expires, and a window of dow, tz, start and end; None removes them.

        Returns what holds then. ValueError: a field is unknown, or does not fit.

        >>> msg.set_scheduling({"expires": "2030-01-31T09:00:00Z"})
        {'expires': '2030-01-31T09:00:00Z'}
        """
    def import_scheduling_header(self, name: str, remove: bool = False) -> dict[str, Any] | None:
        """Set the schedule from a header field that holds it as JSON; None without the field.

        ValueError: the field is no schedule.

        >>> msg.import_scheduling_header("X-Schedule", remove=True)
        {'first_attempt': '2030-01-02T00:00:00Z'}
        """

@final
@type_check_only
class Connection:
    """A client's connection: named values, kept until it closes."""

    def get_meta(self, name: str) -> Any:
        """A named value, or None.

        >>> conn.get_meta("received_from")
        '192.0.2.1:40000'
        """
    def set_meta(self, name: str, value: Any) -> None:
        """Keep a value until the connection closes.

        >>> conn.set_meta("recipients", 1)
        >>> conn.get_meta("recipients")
        1
        """
    def auth_info(self) -> dict[str, Any]:
        """Who the client is: peer_address, identities and groups.

        The address is that of the client, also behind a balancer or a filter. Each identity has
        ``identity`` and ``context``; there are none before AUTH.

        >>> conn.auth_info()
        {'peer_address': '192.0.2.1', 'identities': [], 'groups': []}
        """

@type_check_only
class _RateAnswer(dict[str, Any]):
    def __await__(self) -> Generator[Any, Any, dict[str, Any]]: ...

@type_check_only
class _RateVerdict(int):
    def __await__(self) -> Generator[Any, Any, bool]: ...

@final
@type_check_only
class Throttle:
    """A rate that the script applies itself; counts are kept across reloads.

    Where nodes share limits (`configure_redis_throttles`), a rate without `local:` is counted for
    all of them. What it answers is then awaited, in an `async def` handler; awaiting is right on a
    node that shares with nobody too.
    """

    def throttle(self, quantity: int = 1) -> _RateAnswer:
        """throttled, limit, remaining, reset_after and retry_after (whole seconds).

        >>> mta.make_throttle("logins", "100/min").throttle()["throttled"]
        False
        """
    def sleep_if_throttled(self) -> Awaitable[bool]:
        """Wait until the rate allows one, and take it; whether that took any waiting.

        >>> await mta.make_throttle("look-ups", "100/min").sleep_if_throttled()
        False
        """
    def delay_message_if_throttled(self, msg: Message) -> _RateVerdict:
        """Take one, or have the message wait for its turn; whether it waits.

        >>> mta.make_throttle("acme", "100/min").delay_message_if_throttled(msg)
        False
        """

# -- declared by init -------------------------------------------------------------------------

def define_spool(
    *,
    path: str,
    durability: Literal["strict", "relaxed"] = "strict",
    min_free_space: _Floor | None = None,
    min_free_inodes: _Floor | None = None,
) -> None:
    """Declare where accepted mail is kept.

    >>> mta.define_spool(path="/var/spool/cirrus", min_free_space="10%")
    """

def start_esmtp_listener(
    *,
    listen: str = ...,
    max_connections: int = ...,
    hostname: str = ...,
    banner: str = ...,
    relay_hosts: Iterable[str] = ...,
    tls_certificate: _KeySource | None = ...,
    tls_private_key: _KeySource | None = ...,
    tls_required_client_ca: _KeySource | None = ...,
    tls_from_first_byte: bool = ...,
    deferred_spool: bool = ...,
    deferred_queue: bool = ...,
    allow_xclient: bool = ...,
    require_proxy_protocol: bool = ...,
    trace_headers: Mapping[str, Any] = ...,
    client_timeout: _Duration = ...,
    data_processing_timeout: _Duration = ...,
    max_messages_per_connection: int = ...,
    max_recipients_per_message: int = ...,
    max_message_size: int = ...,
    data_buffer_size: int = ...,
    invalid_line_endings: Literal["Deny", "Allow", "Fix"] = ...,
    line_length_hard_limit: int = ...,
    batch_handling: Literal["BifurcateAlways", "BatchByDomain"] = ...,
    meta: Mapping[str, Any] = ...,
    peer: Mapping[str, Mapping[str, Any]] = ...,
    via: Mapping[str, Mapping[str, Any]] = ...,
) -> None:
    """Declare an SMTP listener.

    >>> mta.start_esmtp_listener(listen="127.0.0.1:2525", relay_hosts=["127.0.0.1"])
    """

def start_http_listener(
    *,
    listen: str = "127.0.0.1:8000",
    hostname: str | None = None,
    trusted_hosts: Iterable[str] = ...,
    request_body_limit: int = ...,
    use_tls: bool = False,
    tls_certificate: _KeySource | None = None,
    tls_private_key: _KeySource | None = None,
) -> None:
    """Declare an HTTP listener: injection, liveness, metrics, administration.

    >>> mta.start_http_listener(listen="127.0.0.1:8000", trusted_hosts=["127.0.0.1"])
    """

def start_ssh_console(
    *,
    listen: str = "127.0.0.1:2022",
    host_key: str,
    authorized_keys: str,
    idle_timeout: _Duration = "30m",
    max_sessions: int = 16,
    password_roles: Mapping[str, Literal["viewer", "operator", "admin"]] | None = None,
) -> None:
    """Declare an SSH console: the verbs of the command line, for those with a key.

    The host key is made at the first start. A line of authorized_keys may begin with
    ``role="operator",name="ann",from="192.0.2.0/24"``; without a role a key may look only. Users of
    password_roles come with the password that the event http_auth_basic takes.

    >>> mta.start_ssh_console(host_key="/etc/cirrus/key", authorized_keys="/etc/cirrus/operators")
    """

def configure_local_logs(
    *,
    log_dir: str,
    max_file_size: int = ...,
    max_segment_duration: _Duration | None = ...,
    back_pressure: int = ...,
    compression_level: int = ...,
    meta: list[str] = ...,
    headers: list[str] = ...,
    per_record: dict[str, dict[str, Any]] = ...,
    filter_event: Callable[[Message], bool] | None = ...,
    min_free_space: _Floor | None = ...,
    min_free_inodes: _Floor | None = ...,
    keep: _Duration = ...,
) -> None:
    """Declare a folder of log segments.

    >>> mta.configure_local_logs(log_dir="/var/log/cirrus", headers=["Subject"], keep="30d")
    """

def configure_log_hook(
    *,
    name: str,
    back_pressure: int = 128_000,
    meta: Iterable[str] = (),
    headers: Iterable[str] = (),
    per_record: Mapping[str, Any] | None = None,
    deferred_spool: bool = False,
) -> None:
    """Declare that records become queued messages; route them by get_queue_config.

    >>> mta.configure_log_hook(name="webhook", meta=["tenant"])
    """

def set_memory_hard_limit(octets: int) -> None:
    """The most memory a node may take, in octets; at least 1 MiB.

    >>> mta.set_memory_hard_limit(4 << 30)
    """

def set_memory_soft_limit(octets: int) -> None:
    """Beyond this many octets no mail is taken.

    >>> mta.set_memory_soft_limit(3 << 30)
    """

def set_memory_low_thresh(octets: int) -> None:
    """Beyond this many octets the node saves memory.

    >>> mta.set_memory_low_thresh(2 << 30)
    """

def set_handler_limits(
    *, event: str | None = None, cpu: _Duration | None = None, wait: _Duration | None = None
) -> None:
    """What one call of a handler may use: of one event, or of all others and of functions.

    Without these, a call has 50 ms of CPU, during which all other work stands still, and an
    `async def` handler may take 30 s at reception and 10 s elsewhere. `init` keeps its own.

    >>> mta.set_handler_limits(event="message_received", cpu="100ms", wait="5s")
    """

def configure_redis_throttles(
    *,
    node: str | Sequence[str],
    pool_size: int = 10,
    username: str | None = None,
    password: str | None = None,
    connect_timeout: _Duration = 1,
    wait_timeout: _Duration = 1,
    response_timeout: _Duration = 1,
    cluster: bool | None = None,
    read_from_replicas: bool = False,
    tls_ca: str | None = None,
    tls_verify: bool = True,
    recycle_timeout: _Duration | None = None,
    nodes: int = 1,
    share_directives: bool = True,
) -> None:
    """Share rates, connection limits and operators' directives with other nodes.

    All rates and limits without `local:` are then counted in this Redis (`redis://`, `rediss://`
    for TLS; several URLs are a cluster). While it cannot be reached each node goes on with its
    share: the limit divided by the nodes last seen, or by `nodes` as long as none was.

    >>> mta.configure_redis_throttles(node="redis://127.0.0.1:6379", nodes=3)
    """

def configure_tracing(
    *,
    endpoint: str = "http://127.0.0.1:4318/v1/traces",
    sample: float = 0.01,
    headers: Mapping[str, str] | None = None,
    service_name: str = "cirrus",
    resource: Mapping[str, str] | None = None,
    addresses: bool = False,
    timeout: _Duration = "10s",
) -> None:
    """Send traces of messages to a collector of OpenTelemetry (OTLP over HTTP).

    A trace has a span for the reception, for each wait in a queue and for each attempt. `sample` is
    the share of messages that is traced; of those with a `traceparent` in their metadata, its flag
    decides. Spans show no sender, recipient or reply unless `addresses` is set. Needs the library:
    `pip install 'cirrus-mta[otel]'`.

    >>> mta.configure_tracing(endpoint="http://collector.test:4318", sample=0.05)
    """

# -- answers of get_* events ------------------------------------------------------------------

@final
@type_check_only
class QueueConfig: ...

@final
@type_check_only
class EgressPool: ...

@final
@type_check_only
class EgressSource: ...

@final
@type_check_only
class EgressPath: ...

@final
@type_check_only
class ListenerDomain: ...

@final
@type_check_only
class AccessControlList: ...

@final
@type_check_only
class AccessControlMap:
    """Access lists by resource, as load_acl_map returns them.

    >>> acls = mta.load_acl_map({"acl": {}})
    >>> acls.get("http_listener/*/metrics") is None
    True
    """

    def get(self, resource: str) -> AccessControlList | None:
        """The list of a resource, or None."""

@type_check_only
class _PoolEntryName(TypedDict):
    name: str

@type_check_only
class _PoolEntry(_PoolEntryName, total=False):
    weight: int

def make_queue_config(
    *,
    retry_interval: _Duration | None = None,
    max_retry_interval: _Duration | None = None,
    max_age: _Duration | None = None,
    egress_pool: str | None = None,
    max_message_rate: _Rate | None = None,
    protocol: Literal["smtp", "null"] | Mapping[str, Mapping[str, Any]] | None = None,
    reap_interval: _Duration | None = None,
    refresh_interval: _Duration | None = None,
    refresh_strategy: _Refresh | None = None,
    provider_name: str | None = None,
    strategy: Literal["SingletonTimerWheel", "TimerWheel", "SkipList", "SingletonTimerWheelV2"]
    | None = None,
    timerwheel_tick_interval: _Duration | None = None,
    shrink_policy: Iterable[Mapping[str, Any]] | None = None,
) -> QueueConfig:
    """How a scheduled queue is kept: the answer of get_queue_config.

    >>> config = mta.make_queue_config(egress_pool="pool-a", retry_interval="20m", max_age="7d")
    """

def make_egress_pool(
    *,
    name: str,
    entries: Iterable[_PoolEntry] | Iterable[Mapping[str, Any]] | None = None,
    ttl: _Duration | None = None,
) -> EgressPool:
    """Sources with their weights: the answer of get_egress_pool.

    >>> pool = mta.make_egress_pool(
    ...     name="pool-a", entries=[{"name": "ip-1", "weight": 2}, {"name": "ip-2"}]
    ... )
    """

def make_egress_source(
    *,
    name: str,
    ehlo_domain: str | None = None,
    source_address: str | None = None,
    remote_port: int | None = None,
    ha_proxy_server: str | None = None,
    ha_proxy_source_address: str | None = None,
    socks5_proxy_server: str | None = None,
    socks5_proxy_source_address: str | None = None,
    socks5_proxy_username: str | None = None,
    socks5_proxy_password: _KeySource | None = None,
    suspend_when_unplumbed: Mapping[str, Any] | None = None,
    suspend_when_proxy_unhealthy: Mapping[str, Any] | None = None,
    ttl: _Duration | None = None,
) -> EgressSource:
    """Where mail comes from: the answer of get_egress_source.

    >>> source = mta.make_egress_source(
    ...     name="ip-1", source_address="192.0.2.1", ehlo_domain="out1.example.com"
    ... )
    """

def make_egress_path(
    *,
    connection_limit: _Limit | None = None,
    additional_connection_limits: Mapping[str, _Limit] | None = None,
    max_ready: int | None = None,
    max_connection_rate: _Rate | None = None,
    max_message_rate: _Rate | None = None,
    additional_message_rate_throttles: Mapping[str, _Rate] | None = None,
    source_selection_rate: _Rate | None = None,
    additional_source_selection_rates: Mapping[str, _Rate] | None = None,
    max_deliveries_per_connection: int | None = None,
    max_recipients_per_batch: int | None = None,
    consecutive_connection_failures_before_delay: int | None = None,
    smtp_port: int | None = None,
    ehlo_domain: str | None = None,
    enable_tls: Literal[
        "Opportunistic", "OpportunisticInsecure", "Required", "RequiredInsecure", "Disabled"
    ]
    | None = None,
    enable_mta_sts: bool | None = None,
    enable_dane: bool | None = None,
    tls_prefer_openssl: bool | None = None,
    tls_certificate: _KeySource | None = None,
    tls_private_key: _KeySource | None = None,
    openssl_cipher_list: str | None = None,
    openssl_cipher_suites: str | None = None,
    openssl_options: str | None = None,
    rustls_cipher_suites: Iterable[str] | None = None,
    opportunistic_tls_reconnect_on_failed_handshake: bool | None = None,
    remember_broken_tls: _Duration | None = None,
    smtp_auth_plain_username: str | None = None,
    smtp_auth_plain_password: _KeySource | None = None,
    allow_smtp_auth_plain_without_tls: bool | None = None,
    allow_smtp_auth_plain_without_valid_certificate: bool | None = None,
    enable_pipelining: bool | None = None,
    enable_rset: bool | None = None,
    use_lmtp: bool | None = None,
    ignore_8bit_checks: bool | None = None,
    reconnect_strategy: Literal["ConnectNextHost", "ReconnectSameHost", "TerminateSession"]
    | None = None,
    try_next_host_on_transport_error: bool | None = None,
    prohibited_hosts: Iterable[str] | None = None,
    skip_hosts: Iterable[str] | None = None,
    ip_lookup_strategy: Literal[
        "Ipv4AndIpv6", "Ipv4Only", "Ipv6Only", "Ipv6ThenIpv4", "Ipv4ThenIpv6"
    ]
    | None = None,
    connect_timeout: _Duration | None = None,
    banner_timeout: _Duration | None = None,
    ehlo_timeout: _Duration | None = None,
    mail_from_timeout: _Duration | None = None,
    rcpt_to_timeout: _Duration | None = None,
    data_timeout: _Duration | None = None,
    data_dot_timeout: _Duration | None = None,
    rset_timeout: _Duration | None = None,
    idle_timeout: _Duration | None = None,
    starttls_timeout: _Duration | None = None,
    auth_timeout: _Duration | None = None,
    system_shutdown_timeout: _Duration | None = None,
    dispatcher_progress_watchdog_timeout: _Duration | None = None,
    aggressive_connection_opening: bool | None = None,
    refresh_interval: _Duration | None = None,
    refresh_strategy: _Refresh | None = None,
    dispatcher_wakeup_strategy: _Wakeup | None = None,
    maintainer_wakeup_strategy: _Wakeup | None = None,
    low_memory_reduction_policy: _MemoryPolicy | None = None,
    no_memory_reduction_policy: _MemoryPolicy | None = None,
    provider_name: str | None = None,
    readyq_pool_name: str | None = None,
) -> EgressPath:
    """How a site is talked to: the answer of get_egress_path.

    >>> path = mta.make_egress_path(connection_limit=10, max_message_rate="100/s")
    """

def make_listener_domain(
    *,
    relay_to: bool | None = None,
    relay_from: Iterable[str] | None = None,
    log_oob: _Report | None = None,
    log_arf: _Report | None = None,
    ttl: _Duration | None = None,
) -> ListenerDomain:
    """What is relayed to and from a domain: the answer of get_listener_domain.

    >>> domain = mta.make_listener_domain(relay_to=True)
    """

@type_check_only
class _AccessRule(TypedDict, total=False):
    criteria: dict[str, Any] | str
    identity: dict[str, Any] | str
    privilege: str
    privileges: Iterable[str]
    access: Literal["Allow", "Deny"]
    allow: bool

def make_access_control_list(rules: Iterable[_AccessRule]) -> AccessControlList:
    """Who may do what by HTTP: the answer of get_acl_definition.

    The first rule that speaks of the caller and the privilege decides; if none does, the list of
    what the resource lies in is asked. A rule has ``criteria`` (or ``identity``): ``Any``,
    ``Authenticated``, ``Unauthenticated``, ``{"Individual": name}``, ``{"Group": name}``,
    ``{"Machine": address}``, ``{"MachineSet": [networks]}``, ``{"Not": criteria}``,
    ``{"AllOf": [criteria]}`` or ``{"AnyOf": [criteria]}``; ``privilege`` (or ``privileges``), HTTP
    methods; and ``access``, Allow or Deny (or ``allow``). Peers that a listener trusts are in the
    group ``cirrus:http-listener-trusted-ip``.

    >>> operators = {"Group": "operators"}
    >>> rule = {"criteria": operators, "privileges": ["GET", "POST", "DELETE"], "access": "Allow"}
    >>> acl = mta.make_access_control_list([rule])
    """

def load_acl_map(table: Mapping[str, Any]) -> AccessControlMap:
    """Access lists by resource, of a file whose tables are ``[[acl."<resource>"]]``.

    >>> acls = mta.load_acl_map(mta.serde.toml_load("acl.toml"))
    >>> acls.get("http_listener/*/api/admin") is None
    False
    """

def set_fall_back_to_acl_map(fall_back: bool) -> None:
    """In init: whether default access lists hold where get_acl_definition answers None (True).

    >>> mta.set_fall_back_to_acl_map(False)
    """

# -- acting -----------------------------------------------------------------------------------

def reject(code: int, text: str) -> NoReturn:
    """Refuse what the event is about, with a code from 400 to 599.

    The text may start with an enhanced status; several lines make a reply of several lines.

    >>> mta.reject(550, "5.7.1 not from here")
    """

def disconnect(
    code: int,
    text: str,
    mode: Literal["ForceDisconnect", "FollowWith421", "If421"] = "ForceDisconnect",
) -> NoReturn:
    """Refuse, and close the connection.

    ``FollowWith421`` says 421 after the reply, ``If421`` closes only if that is the code.

    >>> mta.disconnect(421, "4.7.0 too many connections")
    """

def make_throttle(name: str, spec: _Rate) -> Throttle:
    """A throttle of this node, such as ``make_throttle("t1", "100/min")``.

    All that are made with the same name and rate count together. ValueError: it is no rate.

    >>> mta.make_throttle("t1", "100/min").throttle()["remaining"]
    99
    """

def make_message(
    sender: Address | str | None,
    recipient: Address | str | Sequence[Address | str],
    body: bytes | str | mimepart.MimePart,
) -> Message:
    r"""A new message; ``await inject_message(msg)`` sends it. An empty sender makes a bounce.

    ValueError: an address is none, there is no recipient, or no content.

    >>> notice = mta.make_message(
    ...     "mailer@example.com",
    ...     "ops@example.org",
    ...     "Subject: Tenants over quota\r\n\r\nacme\r\n",
    ... )
    >>> notice.queue_name
    'example.org'
    """

def inject_message(msg: Message, deferred_spool: bool = False) -> Awaitable[None]:
    r"""Store a message of make_message and queue it, once. No event is fired for it.

    ValueError: it was injected before. Any other error: it is not queued, and may be tried again.

    >>> notice = mta.make_message("", "ops@example.org", "Subject: hello\r\n\r\nhello\r\n")
    >>> await mta.inject_message(notice)
    """

def parse_duration(value: _Duration) -> float:
    """A duration in seconds. ValueError: it is none.

    >>> mta.parse_duration("1h30m")
    5400.0
    """

@overload
def memoize(
    function: _F,
    /,
    *,
    name: str,
    ttl: _Duration,
    capacity: int,
    invalidate_with_epoch: bool = False,
    populate_timeout: _Duration = 120,
    retry_on_populate_timeout: bool = False,
    allow_stale_reads: bool = False,
) -> _F: ...
@overload
def memoize(
    *,
    name: str,
    ttl: _Duration,
    capacity: int,
    invalidate_with_epoch: bool = False,
    populate_timeout: _Duration = 120,
    retry_on_populate_timeout: bool = False,
    allow_stale_reads: bool = False,
) -> Callable[[_F], _F]:
    """A function that remembers its answers, also across reloads, by the name of the cache.

    Without a function it is a decorator: ``@mta.memoize(name="plan", ttl="5m", capacity=1000)``.
    Of several calls of an ``async def`` with the same arguments one runs; the others wait for it,
    at most ``populate_timeout``. Errors are not remembered. Answers and arguments are plain values;
    lists and dicts are handed out as copies. The least recently used answer goes first when there
    are more than ``capacity``. ``invalidate_with_epoch`` begins anew at each reload;
    ``allow_stale_reads`` gives the old answer while a call renews it, and when that fails.

    TypeError: an argument or the answer is no plain value; TimeoutError: the answer is not there
    after ``populate_timeout``.

    The arguments alone are the key. A function that reads a tenant from somewhere else gives one
    tenant's answer to all: pass the tenant as an argument.

    >>> mta.memoize(lambda x: x * 2, name="double", ttl="5m", capacity=100)(21)
    42
    """

@final
@type_check_only
class Counter:
    """A metric that a script counts.

    >>> requests = mta.make_counter("requests", labels=["tenant", "kind"])
    >>> requests.inc(tenant="acme", kind="bulk")
    >>> requests.inc(5, tenant="acme", kind="vip")
    """

    def inc(self, n: int | float = 1, **labels: object) -> None:
        """Add to the series of these labels; all labels are given, by name."""

def make_counter(name: str, labels: Sequence[str] = (), help: str = "") -> Counter:
    """The counter of a name, exposed as ``script_`` and the name; it outlives reloads.

    A counter has at most 1000 series; further label values count as ``(other)``. ValueError: a
    name is more than a-z, 0-9 and _.

    >>> mta.make_counter("refused", labels=["tenant"]).inc(tenant="acme")
    """

def available_parallelism() -> int:
    """How many processors the node may use.

    >>> mta.available_parallelism() > 0
    True
    """

def get_event_registrars(name: str) -> list[dict[str, Any]]:
    """Where the handlers of an event stand, in order: file, line and function of each.

    >>> mta.get_event_registrars("smtp_ehlo")
    []
    """

def set_lruttl_cache_capacity(name: str, capacity: int) -> None:
    """Known, not in force: the caches of a node find their size themselves.

    >>> mta.set_lruttl_cache_capacity("dns_resolver_mx", 1000)
    """

def log_debug(text: object, *, every: _Duration | None = None, key: str | None = None) -> None:
    """A line of the diagnostic log; with ``every``, one in that time for this place or key.

    The next one says how many were left out.

    >>> mta.log_debug("no tenant given", every="1m")
    """

def log_info(text: object, *, every: _Duration | None = None, key: str | None = None) -> None:
    """A line of the diagnostic log; with ``every``, one in that time for this place or key.

    The next one says how many were left out.

    >>> mta.log_info("no tenant given", every="1m")
    """

def log_warn(text: object, *, every: _Duration | None = None, key: str | None = None) -> None:
    """A line of the diagnostic log; with ``every``, one in that time for this place or key.

    The next one says how many were left out.

    >>> mta.log_warn("no tenant given", every="1m")
    """

def log_error(text: object, *, every: _Duration | None = None, key: str | None = None) -> None:
    """A line of the diagnostic log; with ``every``, one in that time for this place or key.

    The next one says how many were left out.

    >>> mta.log_error("no tenant given", every="1m")
    """

# -- registering handlers ---------------------------------------------------------------------

_H0 = TypeVar("_H0", bound=Callable[[], _Nothing])
_H1 = TypeVar("_H1", bound=Callable[[str, Connection], _Answer[Mapping[str, Any]]])
_H2 = TypeVar("_H2", bound=Callable[[Connection], _Nothing])
_H3 = TypeVar("_H3", bound=Callable[[str, Connection, list[str]], _Answer[Sequence[str]]])
_H4 = TypeVar("_H4", bound=Callable[[str, str, str, Connection], _Answer[bool | Mapping[str, Any]]])
_H5 = TypeVar("_H5", bound=Callable[[Address, Connection], _Nothing])
_H6 = TypeVar("_H6", bound=Callable[[Message, Connection], _Nothing])
_H7 = TypeVar(
    "_H7", bound=Callable[[Message, Connection], _Answer[Sequence[Sequence[Address | str]]]]
)
_H8 = TypeVar(
    "_H8",
    bound=Callable[[int, str, str | None, Connection], _Answer[tuple[int | None, str | None]]],
)
_H9 = TypeVar("_H9", bound=Callable[[str, str, Connection], _Answer[ListenerDomain]])
_H10 = TypeVar("_H10", bound=Callable[[Message], _Nothing])
_H11 = TypeVar("_H11", bound=Callable[[str, str], _Answer[bool | Mapping[str, Any]]])
_H12 = TypeVar("_H12", bound=Callable[[str], _Answer[bool | Mapping[str, Any]]])
_H13 = TypeVar("_H13", bound=Callable[[str], _Answer[AccessControlList]])
_H14 = TypeVar(
    "_H14", bound=Callable[[str, str | None, str | None, str | None], _Answer[QueueConfig]]
)
_H15 = TypeVar("_H15", bound=Callable[[str], _Answer[EgressPool]])
_H16 = TypeVar("_H16", bound=Callable[[str], _Answer[EgressSource]])
_H17 = TypeVar("_H17", bound=Callable[[str, str, str], _Answer[EgressPath]])
_H18 = TypeVar("_H18", bound=Callable[[Message, str, list[str], bool, float], _Nothing])
_H19 = TypeVar("_H19", bound=Callable[[Message, dict[str, Any]], _Nothing])
_H20 = TypeVar("_H20", bound=Callable[[str, str, str | None, str | None, str | None], _Answer[int]])
_H21 = TypeVar("_H21", bound=Callable[[Message, str], _Answer[bool]])
_H22 = TypeVar("_H22", bound=Callable[[Message | None, dict[str, Any]], _Nothing])
_H23 = TypeVar("_H23", bound=Callable[[], _Answer[Sequence[str]]])
_H24 = TypeVar("_H24", bound=Callable[[str, str, Connection], _Answer[bool | Mapping[str, Any]]])

@overload
def on(event: Literal["init", "shutdown", "tsa_init", "proxy_init"]) -> Callable[[_H0], _H0]: ...
@overload
def on(event: Literal["init", "shutdown", "tsa_init", "proxy_init"], function: _H0) -> _H0: ...
@overload
def on(event: Literal["proxy_auth"]) -> Callable[[_H24], _H24]: ...
@overload
def on(event: Literal["proxy_auth"], function: _H24) -> _H24: ...
@overload
def on(event: Literal["load_shaping_data"]) -> Callable[[_H23], _H23]: ...
@overload
def on(event: Literal["load_shaping_data"], function: _H23) -> _H23: ...
@overload
def on(event: Literal["get_listener_parameters"]) -> Callable[[_H1], _H1]: ...
@overload
def on(event: Literal["get_listener_parameters"], function: _H1) -> _H1: ...
@overload
def on(event: Literal["smtp_connection_accepted"]) -> Callable[[_H2], _H2]: ...
@overload
def on(event: Literal["smtp_connection_accepted"], function: _H2) -> _H2: ...
@overload
def on(event: Literal["smtp_ehlo"]) -> Callable[[_H3], _H3]: ...
@overload
def on(event: Literal["smtp_ehlo"], function: _H3) -> _H3: ...
@overload
def on(event: Literal["smtp_auth_plain"]) -> Callable[[_H4], _H4]: ...
@overload
def on(event: Literal["smtp_auth_plain"], function: _H4) -> _H4: ...
@overload
def on(event: Literal["smtp_mail_from", "smtp_rcpt_to"]) -> Callable[[_H5], _H5]: ...
@overload
def on(event: Literal["smtp_mail_from", "smtp_rcpt_to"], function: _H5) -> _H5: ...
@overload
def on(event: Literal["smtp_data"]) -> Callable[[_H6], _H6]: ...
@overload
def on(event: Literal["smtp_data"], function: _H6) -> _H6: ...
@overload
def on(event: Literal["smtp_split_transaction"]) -> Callable[[_H7], _H7]: ...
@overload
def on(event: Literal["smtp_split_transaction"], function: _H7) -> _H7: ...
@overload
def on(event: Literal["smtp_rewrite_response"]) -> Callable[[_H8], _H8]: ...
@overload
def on(event: Literal["smtp_rewrite_response"], function: _H8) -> _H8: ...
@overload
def on(event: Literal["get_listener_domain"]) -> Callable[[_H9], _H9]: ...
@overload
def on(event: Literal["get_listener_domain"], function: _H9) -> _H9: ...
@overload
def on(
    event: Literal[
        "message_received",
        "xfer_message_received",
        "throttle_insert_ready_queue",
        "message_enumerated",
    ],
) -> Callable[[_H10], _H10]: ...
@overload
def on(
    event: Literal[
        "message_received",
        "xfer_message_received",
        "throttle_insert_ready_queue",
        "message_enumerated",
    ],
    function: _H10,
) -> _H10: ...
@overload
def on(event: Literal["http_auth_basic"]) -> Callable[[_H11], _H11]: ...
@overload
def on(event: Literal["http_auth_basic"], function: _H11) -> _H11: ...
@overload
def on(event: Literal["http_auth_bearer"]) -> Callable[[_H12], _H12]: ...
@overload
def on(event: Literal["http_auth_bearer"], function: _H12) -> _H12: ...
@overload
def on(event: Literal["get_acl_definition"]) -> Callable[[_H13], _H13]: ...
@overload
def on(event: Literal["get_acl_definition"], function: _H13) -> _H13: ...
@overload
def on(event: Literal["get_queue_config"]) -> Callable[[_H14], _H14]: ...
@overload
def on(event: Literal["get_queue_config"], function: _H14) -> _H14: ...
@overload
def on(event: Literal["get_egress_pool"]) -> Callable[[_H15], _H15]: ...
@overload
def on(event: Literal["get_egress_pool"], function: _H15) -> _H15: ...
@overload
def on(event: Literal["get_egress_source"]) -> Callable[[_H16], _H16]: ...
@overload
def on(event: Literal["get_egress_source"], function: _H16) -> _H16: ...
@overload
def on(event: Literal["get_egress_path"]) -> Callable[[_H17], _H17]: ...
@overload
def on(event: Literal["get_egress_path"], function: _H17) -> _H17: ...
@overload
def on(event: Literal["message_requeued"]) -> Callable[[_H18], _H18]: ...
@overload
def on(event: Literal["message_requeued"], function: _H18) -> _H18: ...
@overload
def on(event: Literal["rebind_message"]) -> Callable[[_H19], _H19]: ...
@overload
def on(event: Literal["rebind_message"], function: _H19) -> _H19: ...
@overload
def on(event: Literal["rewrite_delivery_status"]) -> Callable[[_H20], _H20]: ...
@overload
def on(event: Literal["rewrite_delivery_status"], function: _H20) -> _H20: ...
@overload
def on(event: Literal["should_enqueue_log_record"]) -> Callable[[_H21], _H21]: ...
@overload
def on(event: Literal["should_enqueue_log_record"], function: _H21) -> _H21: ...
@overload
def on(event: Literal["log_disposition"]) -> Callable[[_H22], _H22]: ...
@overload
def on(event: Literal["log_disposition"], function: _H22) -> _H22: ...
