"""Requests to HTTP servers. What is sent is awaited; nothing else waits."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, Any]

@final
@type_check_only
class Client:
    """Makes requests with the same options."""

    def get(self, url: str) -> Request: ...
    def post(self, url: str) -> Request: ...
    def put(self, url: str) -> Request: ...
    def delete(self, url: str) -> Request: ...
    def close(self) -> None:
        """Make no more requests."""

@final
@type_check_only
class Request:
    """A request being made up; each method but ``send`` returns it again."""

    def header(self, name: str, value: str) -> Request: ...
    def headers(self, fields: Mapping[str, str]) -> Request: ...
    def basic_auth(self, user: str, password: str | None = None) -> Request: ...
    def bearer_auth(self, token: str) -> Request: ...
    def body(self, data: str | bytes) -> Request: ...
    def form_url_encoded(self, fields: Mapping[str, str | int | float]) -> Request: ...
    def form_multipart_data(self, fields: Mapping[str, str | bytes | int | float]) -> Request:
        """Text goes as text, bytes as octet streams."""
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
    """Header fields: names in any case; several of one name are joined."""

    def get_all(self, name: str) -> list[str]: ...
    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@final
@type_check_only
class Response:
    """A whole answer; its body has at most 16 MiB."""

    @property
    def status_code(self) -> int: ...
    @property
    def status_reason(self) -> str: ...
    @property
    def status_is_informational(self) -> bool: ...
    @property
    def status_is_success(self) -> bool: ...
    @property
    def status_is_redirection(self) -> bool: ...
    @property
    def status_is_client_error(self) -> bool: ...
    @property
    def status_is_server_error(self) -> bool: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def content_length(self) -> int | None: ...
    def bytes(self) -> builtins.bytes: ...
    def text(self) -> str: ...
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
    """A client. Those with the same options share their connections."""

def build_url(base: str, params: Mapping[str, str | int | float]) -> str:
    """A URL with parameters appended to its query."""
