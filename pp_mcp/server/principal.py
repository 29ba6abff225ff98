"""Who sent the request that is being answered, and with whose rights it acts. Every part of the server asks here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import principal_components
from pydantic import SecretStr

SCOPES = ("pp:read", "pp:write", "pp:destroy")
"""What a bearer token may do; each includes those before it."""


def included(scopes: Iterable[object]) -> list[str]:
    """Our scopes among these, with those that they include."""
    return list(SCOPES[: max((SCOPES.index(one) + 1 for one in scopes if one in SCOPES), default=0)])


@dataclass(frozen=True)
class Brought:
    """What a caller brings to act with their own rights (PP_CALLER_TOKENS), by the headers X-PP-Token and X-PP-Tenant:
    each empty where the header cannot be used."""

    token: SecretStr
    base_url: str

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of both: names them without showing them."""
        return hashlib.sha256(f"{self.base_url}\0{self.token.get_secret_value()}".encode()).hexdigest()


brought: ContextVar[Brought | None] = ContextVar("brought", default=None)
"""What the request that is being answered brought; None where it brought nothing."""


def principal() -> str:
    """Whoever sent the request: the same text for the same person with the same rights, another for everybody else.

    Empty where nobody signs in: on stdio, and on HTTP without it. It may name a person, so metrics must not show it.
    """
    access, own = get_access_token(), brought.get()
    if access is None and own is None:
        return ""
    return json.dumps([*(principal_components(access) if access else ()), own.digest if own else None])


def tenant_in_use(default: str) -> str:
    """The base URL that the request which is being answered is about."""
    own = brought.get()
    return own.base_url if own else default


def shown_principal() -> dict[str, str | None]:
    """The same for people, as the audit log has it: the subject, its issuer, and the beginning of the token's hash."""
    access, own = get_access_token(), brought.get()
    who: dict[str, str | None] = {"principal": access.subject or access.client_id if access else None}
    if access is not None and access.claims:
        who["issuer"] = str(access.claims.get("iss"))
    if own is not None:
        who["token"] = f"sha256:{own.digest[:16]}"
    return who


def granted() -> frozenset[str] | None:
    """The scopes of the request's token, with those that they include; None where nobody signs in."""
    access = get_access_token()
    return None if access is None else frozenset(access.scopes)
