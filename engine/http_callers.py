"""Who calls by HTTP and what they may do, as the policy says: credentials and access lists.

Place in flow: ports of ``engine.base.http_service``, filled in by ``engine.declared``; fires
``http_auth_basic``, ``http_auth_bearer`` and ``get_acl_definition``.

Invariants:
    * The policy is asked for each request: no answer outlives it.
    * A handler that fails, or answers with something else than is wanted, is a 503: a defect is
      neither a wrong password nor a refusal, and admits nobody.
"""

from __future__ import annotations

from typing import Any

from engine.base.http_call import AuthInfo, BasicCredentials, BearerCredentials, HttpRefusalError
from engine.model.access_list import AccessList
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

#: The list of a resource that the policy has none for, where it wants no default ones.
_NOBODY = AccessList()
_NOT_NOW = "credentials cannot be judged now"


class HttpCallers:
    """Credentials and access lists of a node's policy.

    Attributes:
        has_default_lists: Whether default lists hold where the policy has none for a resource.
    """

    def __init__(self, runtime: PolicyRuntime) -> None:
        self._runtime = runtime
        self.has_default_lists = True

    async def authenticate(
        self, credentials: BasicCredentials | BearerCredentials
    ) -> AuthInfo | None:
        """Return who credentials belong to; None when they are wrong.

        Raises:
            HttpRefusalError: The policy refuses, or cannot say.
        """
        try:
            if isinstance(credentials, BasicCredentials):
                name = credentials.user
                answer = await self._runtime.fire("http_auth_basic", name, credentials.password)
            else:
                name = "bearer"
                answer = await self._runtime.fire("http_auth_bearer", credentials.token)
        except SmtpRefusal as refusal:
            raise HttpRefusalError(401, refusal.reply.text) from None
        except HookFailedError:
            # The log has it already. The client may try the same credentials again.
            raise HttpRefusalError(503, _NOT_NOW) from None
        if isinstance(answer, dict):
            return _info_of(answer)
        return AuthInfo(name) if answer is True else None

    def is_in_force(self) -> bool:
        """Return whether the policy may say something else than the default access lists."""
        return not self.has_default_lists or self._runtime.is_handled("get_acl_definition")

    async def find(self, resource: str) -> AccessList | None:
        """Return the access list of a resource, None where the default one holds.

        Raises:
            HttpRefusalError: The policy refuses, or cannot say.
        """
        answer = None
        if self._runtime.is_handled("get_acl_definition"):
            try:
                answer = await self._runtime.fire("get_acl_definition", resource)
            except SmtpRefusal as refusal:
                raise HttpRefusalError(403, refusal.reply.text) from None
            except HookFailedError:
                raise HttpRefusalError(503, "access cannot be judged now") from None
        if answer is not None:
            found: AccessList = answer
            return found
        return None if self.has_default_lists else _NOBODY


def _info_of(answer: dict[str, Any]) -> AuthInfo:
    names = tuple(
        str(one["identity"] if isinstance(one, dict) else one)
        for one in answer.get("identities") or ()
    )
    if not names:
        raise HttpRefusalError(503, _NOT_NOW)
    groups = tuple(str(group) for group in answer.get("groups") or ())
    return AuthInfo(names[0], groups, names)
