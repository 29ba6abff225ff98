"""Refusals: the tenant's error answers."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """An answer in the documented error envelope; raising it inside a write rolls the write back."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field_errors: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field_errors = dict(field_errors or {})
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, object]:
        """The documented envelope; `field_errors` appears only on validation errors."""
        error: dict[str, object] = {"code": self.code, "message": self.message, "request_id": request_id}
        if self.field_errors:
            error["field_errors"] = self.field_errors
        return {"error": error}


class ConnectionDropped(Exception):
    """The fault "the connection breaks": no complete answer reaches the client."""


def invalid(field_errors: Mapping[str, list[str]]) -> Refusal:
    """422 `validation_error` (code documented, status inferred)."""
    return Refusal(422, "validation_error", "Validation failed.", field_errors=field_errors)


def not_found(what: str) -> Refusal:
    """404 `not_found`, worded like the documented sample "Content item not found."."""
    return Refusal(404, "not_found", f"{what} not found.")


def conflict(message: str) -> Refusal:
    """409: the status is documented, the code `conflict` inferred."""
    return Refusal(409, "conflict", message)


def unauthenticated() -> Refusal:
    """401 for a missing or malformed header (documented)."""
    return Refusal(
        401,
        "unauthenticated",
        "Send an API token: Authorization: Bearer pp_...",
        headers={"WWW-Authenticate": "Bearer"},
    )


def invalid_token() -> Refusal:
    """401 for an unknown, expired or revoked token (documented)."""
    return Refusal(
        401,
        "invalid_token",
        "The API token is unknown, expired or revoked.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def forbidden(role: str) -> Refusal:
    """403 where the user behind the token lacks the permission (documented)."""
    return Refusal(403, "forbidden", f"The role {role!r} of this token does not allow this operation.")


def rate_limited(retry_after: int | None) -> Refusal:
    """429 (inferred); `retry_after` in seconds, None leaves the header out."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Refusal(429, "rate_limited", "Too many requests.", headers=headers)
