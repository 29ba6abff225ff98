"""Errors in words for the reader: what happened, what to do next."""

from __future__ import annotations

import math

from pp_mcp.answers import ErrorAnswer, ToolCall
from pp_mcp.declare import Effect, Operation
from pp_mcp.errors import (
    AnswerLost,
    ApiError,
    Conflict,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    Refused,
    Rejected,
    ServerFailure,
    Unauthenticated,
    UnclearReference,
    UnexpectedAnswer,
)
from pp_mcp.text import listed, quoted, word

_ARGUMENT_OF = {
    "user_id": "user",
    "content_item_id": "content_item",
    "member_ids": "members",
    "public_id": "items",
    "duration_minutes": "duration",
}
"""What the API calls a field → what our tools call the argument."""

_FINDER = {
    "users": "list_users",
    "groups": "list_groups",
    "content": "search_content",
    "assignments": "list_assignments",
    "enrollments": "list_enrollments",
    "reports": "search_content or list_users",
    "bulk": "list_assignments or list_users",
}


def explained(
    error: PlusPlusError, operation: Operation, *, check: ToolCall | None = None, now: str = ""
) -> ErrorAnswer:
    """The error as an answer. `check` is the call that shows whether a write happened; `now` says what state a thing
    that refused a write is in."""
    status = error.status if isinstance(error, ApiError) else None
    answer = ErrorAnswer(
        code=code_of(error),
        message=_message(error, operation, now, can_check=check is not None),
        status=status,
        retryable=_retryable(error),
        request_id=getattr(error, "request_id", None),
    )
    if isinstance(error, RateLimited):
        answer.retry_after = float(math.ceil(error.retry_after))
    if isinstance(error, InvalidArgument | Rejected) and error.field_errors:
        answer.field_errors = {_ARGUMENT_OF.get(name, name): said for name, said in error.field_errors.items()}
    if isinstance(error, UnclearReference) and error.candidates:
        answer.candidates = error.candidates
    if check is not None and operation.effect is not Effect.READ and may_have_happened(error):
        answer.check = check
    return answer


def may_have_happened(error: BaseException) -> bool:
    """Whether a write that ended with this error may have taken effect."""
    return isinstance(error, PlusPlusError) and error.may_have_happened


def code_of(error: PlusPlusError) -> str:
    """A short name for the kind of error: the API's own code where it gave one."""
    if isinstance(error, ApiError) and error.code:
        return error.code
    names: tuple[tuple[type[PlusPlusError], str], ...] = (
        (UnclearReference, "unclear_reference"),
        (InvalidArgument, "invalid_argument"),
        (Refused, "refused"),
        (Unauthenticated, "unauthenticated"),
        (Forbidden, "forbidden"),
        (NotFound, "not_found"),
        (Conflict, "conflict"),
        (Rejected, "validation_error"),
        (RateLimited, "rate_limited"),
        (ServerFailure, "server_failure"),
        (UnexpectedAnswer, "unexpected_answer"),
        (NotReached, "not_reached"),
        (AnswerLost, "answer_lost"),
        (OutOfTime, "out_of_time"),
    )
    return next((code for kind, code in names if isinstance(error, kind)), "error")


def _retryable(error: PlusPlusError) -> bool:
    passing = isinstance(error, RateLimited | NotReached | OutOfTime | AnswerLost | ServerFailure)
    return passing and not error.may_have_happened


def _message(error: PlusPlusError, operation: Operation, now: str, *, can_check: bool) -> str:
    writes = operation.effect is not Effect.READ
    look = "Check before calling again." if can_check else "Look in PlusPlus what became of it before calling again."
    unchanged = " Nothing was changed." if writes else ""
    match error:
        case Unauthenticated():
            return (
                "PlusPlus does not accept the API token. Check PP_API_TOKEN, and that it belongs to the tenant of "
                "PP_BASE_URL or PP_TENANT; it may have been revoked or have expired. Calling again does not "
                f"help.{unchanged}"
            )
        case Forbidden():
            return (
                f"The person who made the API token may not do this ({operation.name}): PlusPlus wants a role with "
                f"that right, for most writes an admin's. Use a token of such a person.{unchanged}"
            )
        case NotFound():
            return (
                f"PlusPlus has no such thing: {_said(error)}. {_FINDER.get(operation.toolset, 'A list tool')} finds "
                "valid ids. If this tool always answers so, the tenant's path differs: set it with PP_ROUTES."
                f"{unchanged}"
            )
        case Conflict():
            event = (
                " Dates of an event's enrollment are managed by the event."
                if operation.name == "update_assignment"
                else ""
            )
            return f"The state does not allow {operation.name}: {_said(error)}.{event} {now}".rstrip() + unchanged
        case Rejected():
            wrong = [
                f"{word(_ARGUMENT_OF.get(name, name))}: {listed([quoted(one, 200) for one in said], 3)}"
                for name, said in error.field_errors.items()
            ]
            return f"PlusPlus refused the values: {listed(wrong, 8) or _said(error)}.{unchanged}"
        case RateLimited():
            return f"Too many requests: wait {math.ceil(error.retry_after)} seconds, then call again.{unchanged}"
        case ServerFailure():
            if writes and error.may_have_happened:
                return (
                    f"PlusPlus failed (HTTP {error.status}) while it was being done: "
                    f"it may have happened or not. {look}"
                )
            return (
                f"PlusPlus failed (HTTP {error.status}), several times where that was safe. Try again in a minute."
                f"{unchanged}"
            )
        case AnswerLost():
            if writes and error.may_have_happened:
                return f"No readable answer came to {operation.name}: it may have happened or not. {look}"
            return f"The connection to PlusPlus broke or was too slow, several times. Try again in a minute.{unchanged}"
        case UnexpectedAnswer():
            if writes and error.may_have_happened:
                return (
                    f"PlusPlus answered {operation.name} with HTTP {error.status}: {error.detail}. "
                    f"It may have happened or not. {look}"
                )
            return (
                f"PlusPlus answered with something that cannot be read (HTTP {error.status}): {error.detail}. If it "
                f"stays so, check PP_BASE_URL.{unchanged}"
            )
        case OutOfTime():
            said = "" if "Nothing was changed" in error.message else unchanged
            return f"{error.message} Ask for less (a narrower filter, a smaller page), or try again.{said}"
        case _:
            return error.message


def _said(error: ApiError) -> str:
    return quoted(error.message.rstrip("."), 300)
