"""MIME parts: read, edited and made. A part is a copy; ``msg.set_data(part)`` puts it back."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, final, type_check_only

_AddressValue: TypeAlias = str | Mailbox | Group | Mapping[str, Any]
_Addresses: TypeAlias = _AddressValue | Iterable[_AddressValue]
_Params: TypeAlias = str | MimeParams | Mapping[str, Any]

@final
@type_check_only
class AddrSpec:
    r"""The address of a mailbox.

    >>> part = mta.mimepart.parse("From: Ann <ann@Example.com>\r\n\r\nhi\r\n")
    >>> address = part.headers.from_()[0].address
    >>> address.local_part, address.domain, address.email
    ('ann', 'Example.com', 'ann@Example.com')
    """

    @property
    def local_part(self) -> str:
        """What stands before the @, without quotes."""
    @property
    def domain(self) -> str:
        """What stands behind the @."""
    @property
    def email(self) -> str:
        """The address with quotes where it needs them."""

@final
@type_check_only
class Mailbox:
    r"""One address with its display name, which may be empty.

    >>> part = mta.mimepart.parse("From: Ann <ann@example.com>\r\n\r\nhi\r\n")
    >>> [(one.name, one.address.email) for one in part.headers.from_()]
    [('Ann', 'ann@example.com')]
    """

    @property
    def name(self) -> str:
        """The display name."""
    @property
    def address(self) -> AddrSpec:
        """The address."""

@final
@type_check_only
class Group:
    r"""Mailboxes under one name.

    >>> part = mta.mimepart.parse("To: team: a@example.com, b@example.com;\r\n\r\nhi\r\n")
    >>> (group,) = part.headers.to()
    >>> group.name, len(group.entries)
    ('team', 2)
    """

    @property
    def name(self) -> str:
        """The name."""
    @property
    def entries(self) -> tuple[Mailbox, ...]:
        """The mailboxes, in order."""

@final
@type_check_only
class MimeParams:
    """A media type or disposition in lower case, and its parameters.

    >>> kind = mta.mimepart.new_text_plain("hello").headers.content_type()
    >>> kind.value, kind.parameters
    ('text/plain', {'charset': 'utf-8'})
    """

    @property
    def value(self) -> str:
        """Such as `text/plain` or `attachment`."""
    @property
    def parameters(self) -> dict[str, str]:
        """The parameters by name."""

@final
@type_check_only
class AuthenticationResult:
    r"""What one check said.

    >>> text = "Authentication-Results: mx.test; spf=fail reason=bad smtp.mailfrom=a.test\r\n\r\n"
    >>> field = mta.mimepart.parse(text).headers.get_first_named("Authentication-Results")
    >>> (one,) = field.authentication_results.results
    >>> one.method, one.result, one.reason, one.props
    ('spf', 'fail', 'bad', {'smtp.mailfrom': 'a.test'})
    """

    @property
    def method(self) -> str:
        """Such as `spf` or `dkim`."""
    @property
    def result(self) -> str:
        """Such as `pass` or `fail`."""
    @property
    def reason(self) -> str | None:
        """The reason in words, or None."""
    @property
    def props(self) -> dict[str, str]:
        """The properties by kind and name."""
    @property
    def method_version(self) -> int | None:
        """The version of the method, or None."""

@final
@type_check_only
class AuthenticationResults:
    r"""Who checked a message, and what was found.

    >>> part = mta.mimepart.parse("Authentication-Results: mx.example 1; dkim=pass\r\n\r\n")
    >>> found = part.headers.get_first_named("Authentication-Results").authentication_results
    >>> found.serv_id, found.version, [one.method for one in found.results]
    ('mx.example', 1, ['dkim'])
    """

    @property
    def serv_id(self) -> str:
        """Who checked."""
    @property
    def results(self) -> list[AuthenticationResult]:
        """What each check said."""
    @property
    def version(self) -> int | None:
        """The version of the field, or None."""

@final
@type_check_only
class Header:
    r"""One field. What is assigned is encoded; a value of another structure is an error.

    >>> part = mta.mimepart.parse("Subject: =?utf-8?q?Caf=C3=A9?=\r\n\r\nhi\r\n")
    >>> field = part.headers.get_first_named("subject")
    >>> field.name, field.unstructured, field.raw_value
    ('Subject', 'Café', '=?utf-8?q?Caf=C3=A9?=')
    >>> field.unstructured = "Tea"
    >>> part.headers.subject()
    'Tea'
    """

    @property
    def name(self) -> str:
        """The name as it is written."""
    @property
    def raw_value(self) -> str:
        """What stands behind the colon, folded and encoded as it is."""
    @raw_value.setter
    def raw_value(self, text: str) -> None: ...
    @property
    def unstructured(self) -> str:
        """The value as text, unfolded and decoded."""
    @unstructured.setter
    def unstructured(self, text: str) -> None: ...
    @property
    def value(self) -> Any:
        """The value in the form that the name asks for."""
    @value.setter
    def value(self, value: Any) -> None: ...
    @property
    def address_list(self) -> list[Mailbox | Group]:
        """As addresses and groups. ValueError: it is no such list."""
    @address_list.setter
    def address_list(self, value: _Addresses) -> None: ...
    @property
    def mailbox_list(self) -> list[Mailbox]:
        """As addresses. ValueError: it is no such list."""
    @mailbox_list.setter
    def mailbox_list(self, value: _Addresses) -> None: ...
    @property
    def message_id(self) -> str:
        """Without angle brackets."""
    @message_id.setter
    def message_id(self, value: str) -> None: ...
    @property
    def message_id_list(self) -> list[str]:
        """As identifiers without angle brackets."""
    @message_id_list.setter
    def message_id_list(self, value: str | Iterable[str]) -> None: ...
    @property
    def mime_params(self) -> MimeParams:
        """As a value with parameters."""
    @mime_params.setter
    def mime_params(self, value: _Params) -> None: ...
    @property
    def authentication_results(self) -> AuthenticationResults:
        """As results of checks. ValueError: it is none of these."""

@final
@type_check_only
class HeaderMap:
    r"""The fields of a message or part, in order. A getter gives None where there is no field.

    A value that does not fit what its field holds is a ValueError, set or read.

    >>> headers = mta.mimepart.parse("To: a@example.com\r\n\r\nhi\r\n").headers
    >>> headers.set_subject("Grüße")
    >>> headers.set_cc(["b@example.com"])
    >>> [field.name for field in headers]
    ['To', 'Subject', 'Cc']
    >>> headers.subject(), headers.cc()[0].address.email, headers.reply_to()
    ('Grüße', 'b@example.com', None)
    """

    def __iter__(self) -> Iterator[Header]: ...
    def iter(self, name: str | None = None) -> Iterator[Header]:
        """The fields, or those of a name."""
    def get_first_named(self, name: str) -> Header | None:
        """The first field of a name, or None."""
    def append(self, name: str, value: str) -> None:
        """Put a field behind the others."""
    def prepend(self, name: str, value: str) -> None:
        """Put a field in front."""
    def remove_all_named(self, name: str) -> None:
        """Remove the fields of a name."""
    def bcc(self) -> list[Mailbox | Group] | None:
        """The value of Bcc, or None."""
    def set_bcc(self, value: _Addresses) -> None:
        """Set Bcc."""
    def cc(self) -> list[Mailbox | Group] | None:
        """The value of Cc, or None."""
    def set_cc(self, value: _Addresses) -> None:
        """Set Cc."""
    def comments(self) -> str | None:
        """The value of Comments, or None."""
    def set_comments(self, value: str) -> None:
        """Set Comments."""
    def content_disposition(self) -> MimeParams | None:
        """The value of Content-Disposition, or None."""
    def set_content_disposition(self, value: _Params) -> None:
        """Set Content-Disposition."""
    def content_id(self) -> str | None:
        """The value of Content-ID, or None."""
    def set_content_id(self, value: str) -> None:
        """Set Content-ID."""
    def content_transfer_encoding(self) -> str | None:
        """The value of Content-Transfer-Encoding, or None."""
    def set_content_transfer_encoding(self, value: str) -> None:
        """Set Content-Transfer-Encoding."""
    def content_type(self) -> MimeParams | None:
        """The value of Content-Type, or None."""
    def set_content_type(self, value: _Params) -> None:
        """Set Content-Type."""
    def from_(self) -> list[Mailbox] | None:
        """The value of From, or None."""
    def set_from(self, value: _Addresses) -> None:
        """Set From."""
    def message_id(self) -> str | None:
        """The value of Message-ID, or None."""
    def set_message_id(self, value: str) -> None:
        """Set Message-ID."""
    def mime_version(self) -> str | None:
        """The value of MIME-Version, or None."""
    def set_mime_version(self, value: str) -> None:
        """Set MIME-Version."""
    def references(self) -> list[str] | None:
        """The value of References, or None."""
    def set_references(self, value: str | Iterable[str]) -> None:
        """Set References."""
    def reply_to(self) -> list[Mailbox | Group] | None:
        """The value of Reply-To, or None."""
    def set_reply_to(self, value: _Addresses) -> None:
        """Set Reply-To."""
    def resent_bcc(self) -> list[Mailbox | Group] | None:
        """The value of Resent-Bcc, or None."""
    def set_resent_bcc(self, value: _Addresses) -> None:
        """Set Resent-Bcc."""
    def resent_cc(self) -> list[Mailbox | Group] | None:
        """The value of Resent-Cc, or None."""
    def set_resent_cc(self, value: _Addresses) -> None:
        """Set Resent-Cc."""
    def resent_from(self) -> list[Mailbox] | None:
        """The value of Resent-From, or None."""
    def set_resent_from(self, value: _Addresses) -> None:
        """Set Resent-From."""
    def resent_sender(self) -> Mailbox | None:
        """The value of Resent-Sender, or None."""
    def set_resent_sender(self, value: _AddressValue) -> None:
        """Set Resent-Sender."""
    def resent_to(self) -> list[Mailbox | Group] | None:
        """The value of Resent-To, or None."""
    def set_resent_to(self, value: _Addresses) -> None:
        """Set Resent-To."""
    def sender(self) -> Mailbox | None:
        """The value of Sender, or None."""
    def set_sender(self, value: _AddressValue) -> None:
        """Set Sender."""
    def subject(self) -> str | None:
        """The value of Subject, or None."""
    def set_subject(self, value: str) -> None:
        """Set Subject."""
    def to(self) -> list[Mailbox | Group] | None:
        """The value of To, or None."""
    def set_to(self, value: _Addresses) -> None:
        """Set To."""

@final
@type_check_only
class Attachment:
    """What goes with a message beside its texts. The file name comes from outside.

    >>> builder = mta.mimepart.builder()
    >>> builder.text_plain("hello")
    >>> builder.attach("image/png", b"...", file_name="logo.png", inline=True)
    >>> (one,) = builder.build().get_simple_structure().attachments
    >>> one.file_name, one.inline, one.content_type, one.part.body
    ('logo.png', True, 'image/png', b'...')
    """

    @property
    def file_name(self) -> str | None:
        """Its name, or None."""
    @property
    def inline(self) -> bool:
        """Whether it is shown among the text."""
    @property
    def content_id(self) -> str | None:
        """How HTML refers to it, or None."""
    @property
    def content_type(self) -> str:
        """Such as `image/png`."""
    @property
    def part(self) -> MimePart:
        """The part itself."""

@final
@type_check_only
class SimpleStructure:
    """The parts that most messages have.

    >>> builder = mta.mimepart.builder()
    >>> builder.text_plain("hello")
    >>> builder.text_html("<p>hello</p>")
    >>> found = builder.build().get_simple_structure()
    >>> found.text_part.body, found.html_part.body, found.attachments
    ('hello', '<p>hello</p>', [])
    """

    @property
    def text_part(self) -> MimePart | None:
        """Plain text, or None."""
    @property
    def html_part(self) -> MimePart | None:
        """HTML, or None."""
    @property
    def amp_html_part(self) -> MimePart | None:
        """AMP, or None."""
    @property
    def header_part(self) -> MimePart | None:
        """The part that holds the header of the message."""
    @property
    def attachments(self) -> list[Attachment]:
        """What goes with it, in order."""

@final
@type_check_only
class MimePart:
    """A message, or a part of one; ``str`` and ``bytes`` give it as it goes over the wire.

    >>> part = mta.mimepart.new_multipart("multipart/mixed", [mta.mimepart.new_text_plain("one")])
    >>> part.append_part(mta.mimepart.new_html("<p>two</p>"))
    >>> [(one.id, one.body) for one in part.parts]
    [('0.1', 'one'), ('0.2', '<p>two</p>')]
    >>> part.parts[0].body = "three"
    >>> "three" in str(part)
    True
    """

    def __bytes__(self) -> bytes: ...
    @property
    def body(self) -> Any:
        """Text of ``text/*``, octets of anything else; what is assigned is encoded."""
    @body.setter
    def body(self, value: str | bytes) -> None: ...
    @property
    def headers(self) -> HeaderMap:
        """Its header fields."""
    @property
    def id(self) -> str:
        """Where it stands: ``0``, its first child ``0.1``, and so on."""
    @property
    def parts(self) -> list[MimePart]:
        """The parts of a multipart; none of another."""
    def append_part(self, part: MimePart) -> None:
        """Put a copy of a part behind those of a multipart."""
    def get_simple_structure(self) -> SimpleStructure:
        """Its texts and attachments, by what they are."""
    def rebuild(self, settings: Mapping[str, Any] | None = None) -> MimePart:
        """A new tree in which all that is not fit for any wire is encoded."""
    def replace_body(self, content: str | bytes, content_type: str | None = None) -> None:
        """Replace the body, and its type if one is given."""

@final
@type_check_only
class MessageBuilder:
    """Gathers texts and files; ``build`` makes the message.

    >>> builder = mta.mimepart.builder()
    >>> builder.text_plain("hello")
    >>> builder.text_html("<p>hello</p>")
    >>> message = builder.build()
    >>> message.headers.set_subject("Hello")
    >>> message.headers.content_type().value
    'multipart/alternative'
    """

    def text_plain(self, text: str) -> None:
        """Set the plain text."""
    def text_html(self, text: str) -> None:
        """Set the HTML."""
    def text_amp_html(self, text: str) -> None:
        """Set the AMP."""
    def attach(
        self,
        content_type: str,
        data: bytes | str,
        *,
        file_name: str | None = None,
        inline: bool = False,
        content_id: str | None = None,
    ) -> None:
        """Add a file: octets or text."""
    def attach_part(self, part: MimePart) -> None:
        """Add a part as it is."""
    def set_stable_content(self, stable: bool) -> None:
        """Fixed date and boundaries, for tests."""
    def build(self) -> MimePart:
        """The message."""

def parse(content: bytes | str) -> MimePart:
    r"""A tree of parts of octets or text. ValueError: too many parts, or nested too deeply.

    >>> mta.mimepart.parse("Subject: hi\r\n\r\nhello\r\n").headers.subject()
    'hi'
    """

def new_text(content_type: str, text: str) -> MimePart:
    r"""A part of this type of text. ValueError: the type is no text.

    >>> mta.mimepart.new_text("text/csv", "a,b\r\n").body
    'a,b\r\n'
    """

def new_text_plain(text: str) -> MimePart:
    """A part of plain text.

    >>> mta.mimepart.new_text_plain("Grüße").headers.content_type().parameters
    {'charset': 'utf-8'}
    """

def new_html(text: str) -> MimePart:
    """A part of HTML.

    >>> mta.mimepart.new_html("<p>hello</p>").headers.content_type().value
    'text/html'
    """

def new_binary(
    content_type: str,
    data: bytes,
    *,
    file_name: str | None = None,
    inline: bool = False,
    content_id: str | None = None,
) -> MimePart:
    """A part of octets.

    >>> part = mta.mimepart.new_binary("image/png", b"...", file_name="logo.png")
    >>> part.headers.content_disposition().value
    'attachment'
    """

def new_multipart(
    content_type: str, parts: Iterable[MimePart], boundary: str | None = None
) -> MimePart:
    """A part made of parts. ValueError: the type is no multipart.

    >>> parts = [mta.mimepart.new_text_plain("one"), mta.mimepart.new_text_plain("two")]
    >>> len(mta.mimepart.new_multipart("multipart/mixed", parts).parts)
    2
    """

def builder() -> MessageBuilder:
    """What a message with texts and files is made with.

    >>> builder = mta.mimepart.builder()
    >>> builder.text_plain("hello")
    >>> builder.attach("text/csv", "a,b", file_name="table.csv")
    >>> len(builder.build().get_simple_structure().attachments)
    1
    """
