"""Requests to HTTP servers. What is sent is awaited; nothing else waits."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, Any]

@final
@type_check_only
class Client:
    """Makes requests with the same options. ValueError: a URL is none.

    >>> client = mta.http.build_client(user_agent="policy/1.0")
    >>> answer = await client.get("https://hooks.example.org/tenants").send()
    >>> answer.json()
    {'acme': 'pool-a'}
    """

    def get(self, url: str) -> Request:
        """A GET request."""
    def post(self, url: str) -> Request:
        """A POST request."""
    def put(self, url: str) -> Request:
        """A PUT request."""
    def delete(self, url: str) -> Request:
        """A DELETE request."""
    def close(self) -> None:
        """Make no more requests."""

@final
@type_check_only
class Request:
    """A request being made up; each method but ``send`` returns it again.

    >>> request = mta.http.build_client().put("https://hooks.example.org/acme")
    >>> request = request.basic_auth("cirrus", "s3cret").header("X-Tenant", "acme")
    >>> answer = await request.body("{}").timeout("3s").send()
    >>> answer.status_is_success
    True
    """

    def header(self, name: str, value: str) -> Request:
        """Set a header field. ValueError: it cannot be one."""
    def headers(self, fields: Mapping[str, str]) -> Request:
        """Set several header fields."""
    def basic_auth(self, user: str, password: str | None = None) -> Request:
        """Show a name and a password."""
    def bearer_auth(self, token: str) -> Request:
        """Show a token."""
    def body(self, data: str | bytes) -> Request:
        """Send this."""
    def form_url_encoded(self, fields: Mapping[str, str | int | float]) -> Request:
        """Send the fields of a form."""
    def form_multipart_data(self, fields: Mapping[str, str | bytes | int | float]) -> Request:
        """Send a form in parts: text as text, bytes as octet streams."""
    def timeout(self, duration: _Duration) -> Request:
        """How long the whole request may take."""
    def aws_sign_v4(
        self,
        *,
        access_key: _KeySource,
        secret_key: _KeySource,
        region: str,
        service: str,
        session_token: _KeySource | None = None,
        headers: list[str] = ...,
    ) -> Request:
        """Sign it for AWS when it is sent; ``headers`` are those to cover."""
    async def send(self) -> Response:
        """Send it. ConnectionError or TimeoutError: there is no answer."""

@final
@type_check_only
class Headers(Mapping[str, str]):
    """Header fields: names in any case; several of one name are joined.

    >>> answer = await mta.http.build_client().get("https://hooks.example.org/tenants").send()
    >>> answer.headers["content-type"], answer.headers.get_all("X-None")
    ('application/json', [])
    """

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of a name, in order."""
    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@final
@type_check_only
class Response:
    """A whole answer; its body has at most 16 MiB.

    >>> answer = await mta.http.build_client().get("https://hooks.example.org/tenants").send()
    >>> answer.status_code, answer.text()
    (200, '{"acme": "pool-a"}')
    """

    @property
    def status_code(self) -> int:
        """Such as 200."""
    @property
    def status_reason(self) -> str:
        """The words of the server; may be empty."""
    @property
    def status_is_informational(self) -> bool:
        """Whether the code is 100 to 199."""
    @property
    def status_is_success(self) -> bool:
        """Whether the code is 200 to 299."""
    @property
    def status_is_redirection(self) -> bool:
        """Whether the code is 300 to 399."""
    @property
    def status_is_client_error(self) -> bool:
        """Whether the code is 400 to 499."""
    @property
    def status_is_server_error(self) -> bool:
        """Whether the code is 500 to 599."""
    @property
    def headers(self) -> Headers:
        """Its header fields."""
    @property
    def content_length(self) -> int | None:
        """How long the server said the body is."""
    def bytes(self) -> builtins.bytes:
        """The body."""
    def text(self) -> str:
        """The body in its character set."""
    def json(self) -> Any:
        """The value of a body in JSON. ValueError: it is none."""

def build_client(
    *,
    user_agent: str = "cirrus",
    connection_verbose: bool = False,
    pool_idle_timeout: _Duration = 90,
    timeout: _Duration = 60,
    accept_invalid_certs: bool = False,
) -> Client:
    """A client. Those with the same options share their connections.

    TypeError: there is no such option; ValueError: a value does not fit.

    >>> client = mta.http.build_client(timeout="5s")
    >>> request = client.post("https://hooks.example.org/mail").bearer_auth("s3cret")
    >>> answer = await request.body("{}").send()
    >>> answer.status_code
    200
    """

def build_url(base: str, params: Mapping[str, str | int | float]) -> str:
    """A URL with parameters appended to its query. ValueError: it is none.

    >>> mta.http.build_url("https://example.org/find", {"q": "a b", "page": 2})
    'https://example.org/find?q=a+b&page=2'
    """
