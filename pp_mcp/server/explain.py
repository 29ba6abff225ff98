"""Errors in words for the reader: what happened, what to do next."""

from __future__ import annotations

import math
import re

from pp_mcp.answers import ErrorAnswer, ToolCall
from pp_mcp.declare import Effect, Operation
from pp_mcp.errors import (
    AnswerLost,
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    Rejected,
    ServerFailure,
    Unauthenticated,
    UnclearReference,
    UnexpectedAnswer,
)
from pp_mcp.plan import Plan
from pp_mcp.server.principal import brought
from pp_mcp.server.references import SOURCES
from pp_mcp.text import listed, quoted, word

_ARGUMENT_OF = {
    "user_id": "user",
    "content_item_id": "content_item",
    "member_ids": "members",
    "duration_minutes": "duration",
}
"""What the API calls a field → what our tools call the argument."""


def explained(
    error: PlusPlusError, operation: Operation, *, check: ToolCall | None = None, now: str = ""
) -> ErrorAnswer:
    """The error as an answer. `check` is the call that shows whether a write happened; `now` says what works instead,
    after a conflict."""
    answer = ErrorAnswer(
        code=code_of(error),
        message=_message(error, operation, now, can_check=check is not None),
        status=error.status if isinstance(error, ApiError) else None,
        retryable=_is_retryable(error),
        request_id=getattr(error, "request_id", None),
    )
    if isinstance(error, RateLimited):
        answer.retry_after = float(math.ceil(error.retry_after))
    if isinstance(error, UnclearReference) and error.candidates:
        answer.candidates = error.candidates
    if check is not None and operation.effect is not Effect.READ and error.may_have_happened:
        answer.check = check
    return answer


def unexpected(operation: Operation, request_ids: list[str], plan: Plan | None) -> ErrorAnswer:
    """A failure of our own as an answer, which shows nothing of it. `plan` is the write's, if there was one."""
    message = f"{operation.name} failed because of an error in this server; its log has the details."
    answer = ErrorAnswer(code="internal_error", message=message)
    if plan is not None:
        answer.message += " The change may have happened or not: check before calling again."
        answer.check = plan.check
    if request_ids:
        answer.request_id = request_ids[-1]
    return answer


def code_of(error: PlusPlusError) -> str:
    """A short name for the kind of error: the API's own code where it gave one."""
    if isinstance(error, ApiError) and error.code:
        return error.code
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    return {"rejected": "validation_error", "plus_plus_error": "error"}.get(kind, kind)


def _is_retryable(error: PlusPlusError) -> bool:
    kinds = (RateLimited, NotReached, OutOfTime, AnswerLost, ServerFailure)
    return isinstance(error, kinds) and not error.may_have_happened


def _message(error: PlusPlusError, operation: Operation, now: str, *, can_check: bool) -> str:
    is_write = operation.effect is not Effect.READ
    if is_write and error.may_have_happened:
        status = f" (HTTP {error.status})" if isinstance(error, ApiError) else ""
        check = "Check" if can_check else "Look in PlusPlus"
        return (
            f"PlusPlus sent no usable answer to {operation.name}{status}: it may have happened or not. {check} before "
            "calling again."
        )
    unchanged = " Nothing was changed." if is_write and "Nothing was" not in error.message else ""
    return _what_and_next(error, operation, now) + unchanged


def _what_and_next(error: PlusPlusError, operation: Operation, now: str) -> str:
    match error:
        case Unauthenticated():
            where, tenant = ("the header X-PP-Token", "X-PP-Tenant") if brought.get() else ("PP_API_TOKEN", "PP_TENANT")
            return (
                f"PlusPlus does not accept the API token. Check {where}, and that it belongs to the tenant of "
                f"PP_BASE_URL or {tenant}; it may have been revoked or have expired. Calling again does not help."
            )
        case Forbidden():
            return (
                f"The person who made the API token may not do this ({operation.name}): PlusPlus requires a role with "
                "that permission, for most writes an admin's. Use a token made by such a person."
            )
        case NotFound():
            finders = [SOURCES[one.kind].tool for one in operation.references.values() if one.kind in SOURCES]
            return (
                f"Not found in PlusPlus: {_said(error)}. {(finders or ['A list tool'])[0]} finds valid ids. If this "
                "tool always answers this, the tenant uses another path: set it with PP_ROUTES."
            )
        case Conflict():
            return f"The state does not allow {operation.name}: {_said(error)}. {now}".rstrip()
        case Rejected():
            wrong = [
                f"{word(_ARGUMENT_OF.get(name, name))}: {listed([quoted(one, 200) for one in said], 3)}"
                for name, said in error.field_errors.items()
            ]
            return f"PlusPlus refused the values: {listed(wrong, 8) or _said(error)}."
        case RateLimited():
            return f"Too many requests: wait {math.ceil(error.retry_after)} seconds, then call again."
        case ServerFailure():
            return f"PlusPlus failed (HTTP {error.status}), repeatedly where repeating is safe. Try again in a minute."
        case AnswerLost():
            return "The connection to PlusPlus broke or was too slow, repeatedly. Try again in a minute."
        case UnexpectedAnswer():
            return (
                f"PlusPlus sent an answer that cannot be read (HTTP {error.status}): {error.detail}. If this persists, "
                "check PP_BASE_URL."
            )
        case OutOfTime():
            return f"{error.message} Ask for less (a narrower filter, a smaller page), or try again."
        case _:
            return error.message


def _said(error: ApiError) -> str:
    return quoted(error.message.rstrip("."), 300)
