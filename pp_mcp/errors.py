"""What can go wrong, as one tree.

PlusPlusError                    .message, .may_have_happened
├─ InvalidArgument               an argument is wrong; nothing was sent
│  └─ UnclearReference           a name or e-mail matches nothing, or several things; nothing was sent
├─ Refused                       a setting or limit of this server forbids it; nothing was sent
├─ ApiError                      the API answered with an error
│  ├─ Unauthenticated            401: token missing, unknown, revoked or of another tenant
│  ├─ Forbidden                  403: the person behind the token lacks the permission
│  ├─ NotFound                   404
│  ├─ Conflict                   409: the current state does not allow it, an ordinary outcome
│  ├─ Rejected                   400, 422: the API finds the values wrong
│  ├─ RateLimited                429, or foreseen from the rate headers; nothing happened
│  ├─ ServerFailure              5xx
│  └─ UnexpectedAnswer           an answer that cannot be read, a redirect, any other status
├─ NotReached                    connecting failed; nothing was sent
├─ AnswerLost                    a request was sent and no readable answer came
└─ OutOfTime                     the call's time budget ran out before the next request

A write may have happened after AnswerLost, and after every status that is no CLEAR_REFUSAL.
Of the statuses, 401, 403 and 409 are documented; 404, 422 and 429 are inferred.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

MESSAGE_LIMIT = 500
"""Longest text, in characters, taken over from an API error."""

MOST_FIELD_ERRORS = 50
"""How many fields, and complaints for each, are taken over from an API error."""

LONGEST_WAIT = 86_400.0
"""Seconds; a header that asks for more than a day is ignored (it usually holds an epoch)."""

CLEAR_REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429})
"""Statuses after which a write certainly did not happen. After any other that is not a success, it may have."""

FieldErrors = Mapping[str, Sequence[str]]
"""What is wrong, by the name of the argument or field."""


class PlusPlusError(Exception):
    """The root of all errors this package raises on purpose. `message` is fit to be shown to a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def may_have_happened(self) -> bool:
        """Whether a write that ended with this error may have taken effect; false where nothing was to be written."""
        return False


class InvalidArgument(PlusPlusError):
    """An argument is wrong. `field_errors` maps an argument's name to what is wrong with it."""

    def __init__(self, message: str, *, field_errors: FieldErrors | None = None) -> None:
        super().__init__(message)
        self.field_errors = _copied(field_errors)

    @staticmethod
    def naming(wrong: Mapping[str, str]) -> "InvalidArgument":
        """The error for arguments by name; each value completes a sentence: `{"page": "must be from 1 to 100"}`."""
        said = "; ".join(f"{name} {what}" for name, what in wrong.items())
        return InvalidArgument(f"{said}.", field_errors={name: [what] for name, what in wrong.items()})


class UnclearReference(InvalidArgument):
    """`given`, for the argument `argument`, matches nothing or several; `candidates` holds up to five of them."""

    def __init__(
        self, message: str, *, argument: str, given: str, candidates: Iterable[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(message, field_errors={argument: [message]})
        self.argument = argument
        self.given = given
        self.candidates: list[dict[str, str]] = [dict(one) for one in candidates][:5]


class Refused(PlusPlusError):
    """A setting or a limit of this server forbids it."""


class ApiError(PlusPlusError):
    """The API answered with an error. `operation` is the operationId, `method` the HTTP method that was sent."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        operation: str,
        method: str,
        code: str = "",
        request_id: str | None = None,
        field_errors: FieldErrors | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.field_errors = _copied(field_errors)
        self.operation = operation
        self.method = method

    @property
    def may_have_happened(self) -> bool:
        return self.method != "GET" and self.status not in CLEAR_REFUSALS


class Unauthenticated(ApiError):
    """401: the token is missing, malformed, unknown, revoked or belongs to another tenant."""


class Forbidden(ApiError):
    """403: the person who made the token may not do this."""


class NotFound(ApiError):
    """404: it does not exist, or the path differs on this tenant."""


class Conflict(ApiError):
    """409: the current state does not allow it, such as completing what is completed."""


class Rejected(ApiError):
    """400 or 422: the API finds values wrong; `field_errors` names them where it says."""


class RateLimited(ApiError):
    """Nothing happened; the same request may be sent again in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


class ServerFailure(ApiError):
    """5xx: the API failed, before or after it did what was asked."""


class UnexpectedAnswer(ApiError):
    """The API documents no such answer; `detail` says in plain words what was wrong, never what the body held."""

    def __init__(self, message: str, *, detail: str, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.detail = detail


class NotReached(PlusPlusError):
    """Connecting failed. `detail` is a short reason such as "connection refused"; never an address."""

    def __init__(self, detail: str, *, operation: str = "", method: str = "") -> None:
        super().__init__(f"PlusPlus could not be reached: {detail}. Nothing was sent.")
        self.detail, self.operation, self.method = detail, operation, method


class AnswerLost(PlusPlusError):
    """A request was sent and no readable answer came.

    `status` is the HTTP status if one arrived: a 2xx says the API accepted the write and only its answer is unreadable.
    """

    def __init__(self, detail: str, *, operation: str, method: str, status: int | None = None) -> None:
        self.detail, self.operation, self.method, self.status = detail, operation, method, status
        doubt = " The change may have happened or not: check before repeating it." if self.may_have_happened else ""
        super().__init__(f"The answer to {operation} was lost: {detail}.{doubt}")

    @property
    def may_have_happened(self) -> bool:
        return self.method != "GET"


class OutOfTime(PlusPlusError):
    """The call's time budget of `seconds` ran out. No write is pending: one that was sent ends as AnswerLost."""

    def __init__(self, message: str | None = None, *, seconds: float) -> None:
        super().__init__(message or f"The time budget of {seconds:g} seconds for one call ran out.")
        self.seconds = seconds


_BY_STATUS: dict[int, tuple[type[ApiError], str, str]] = {
    400: (Rejected, "rejected", "PlusPlus rejected the request."),
    401: (Unauthenticated, "unauthenticated", "PlusPlus did not accept the API token."),
    403: (Forbidden, "forbidden", "The person behind the API token lacks the permission."),
    404: (NotFound, "not_found", "Not found in PlusPlus."),
    409: (Conflict, "conflict", "The current state does not allow it."),
    422: (Rejected, "validation_error", "PlusPlus rejected some values."),
}


def error_from_answer(status: int, headers: Mapping[str, str], body: object, operation: str, method: str) -> ApiError:
    """The exception for an HTTP answer that is an error.

    `body` is the raw bytes or what JSON parsing made of them; `headers` may be in any case. Reads the documented
    envelope, and instead of it the `detail` forms of Django Ninja (inferred). A RateLimited without a figure has a
    `retry_after` of 0. Never raises.
    """
    names = {name.lower(): value for name, value in headers.items()}
    code, message, request_id, field_errors = _facts(body)
    request_id = request_id or clean(names.get("x-request-id", ""), 200) or None
    known: dict[str, Any] = {"status": status, "operation": operation, "method": method}
    known |= {"request_id": request_id, "field_errors": field_errors}
    if status == 429:
        text = message or "PlusPlus limits the rate of requests."
        return RateLimited(text, retry_after=wait_told(names) or 0.0, code=code or "rate_limited", **known)
    if 500 <= status <= 599:
        text = message or f"PlusPlus failed with status {status}."
        return ServerFailure(text, code=code or "server_error", **known)
    if status in _BY_STATUS:
        kind, usual_code, usual_text = _BY_STATUS[status]
        if status == 404 and not message:
            usual_text += " This is not PlusPlus's usual error: the path may differ on this tenant (see PP_ROUTES)."
        return kind(message or usual_text, code=code or usual_code, **known)
    detail = "the API does not document this status"
    if 300 <= status <= 399:
        detail = "a redirect to another address. Check PP_BASE_URL"
    elif status == 405:
        detail = "the path does not take this method. It may differ on this tenant (see PP_ROUTES)"
    text = f"PlusPlus answered {operation} with status {status}: {detail}" + (f" ({message})" if message else "")
    return UnexpectedAnswer(text, detail=detail, code=code or "unexpected", **known)


def wait_told(headers: Mapping[str, str]) -> float | None:
    """Seconds an answer asks to wait: Retry-After (seconds or HTTP date), else X-RateLimit-Reset (seconds until then).

    None where neither makes sense. A date is measured against the answer's own Date, else against now.
    """
    names = {name.lower(): value for name, value in headers.items()}
    seconds = seconds_in(given := names.get("retry-after", ""))
    if seconds is None and (until := _timestamp_in(given)) is not None:
        since = _timestamp_in(names.get("date", "")) or datetime.now(UTC).timestamp()
        seconds = seconds_in(str(max(0.0, until - since)))
    return seconds if seconds is not None else seconds_in(names.get("x-ratelimit-reset", ""))


def seconds_in(text: str) -> float | None:
    """The seconds a header states; None for anything that is not a number from 0 to a day."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= LONGEST_WAIT else None


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Text from the API, fit to show: control characters become spaces, at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _copied(field_errors: FieldErrors | None) -> dict[str, list[str]]:
    return {name: list(what) for name, what in (field_errors or {}).items()}


def _timestamp_in(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _facts(body: object) -> tuple[str, str, str | None, dict[str, list[str]]]:
    """Code, message, request id and field errors."""
    if isinstance(body, bytes):
        try:
            body = cast(object, json.loads(body))
        except (ValueError, RecursionError):
            body = None
    answer = cast(dict[str, object], body) if isinstance(body, dict) else {}
    error, detail = answer.get("error"), answer.get("detail")
    if isinstance(error, dict):
        inner = cast(dict[str, object], error)
        code, request_id = _text(inner.get("code"), 100), _text(inner.get("request_id"), 200)
        return code, _text(inner.get("message")), request_id or None, _field_errors(inner.get("field_errors"))
    if isinstance(detail, list) and not isinstance(error, str):
        return "", "", None, _located(cast(list[object], detail))
    said = error if isinstance(error, str) else cast(object, detail or answer.get("message"))
    return "", _text(said), None, {}


def _text(value: object, limit: int = MESSAGE_LIMIT) -> str:
    return clean(value, limit) if isinstance(value, str) else ""


def _field_errors(value: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
    for name, what in list(fields.items())[:MOST_FIELD_ERRORS]:
        lines = cast(list[object], what)[:MOST_FIELD_ERRORS] if isinstance(what, list) else [what]
        found[clean(name, 100)] = [clean(line) for line in lines if isinstance(line, str)]
    return found


def _located(items: list[object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for fact in (cast(dict[str, object], item) for item in items[:MOST_FIELD_ERRORS] if isinstance(item, dict)):
        where = fact.get("loc")
        steps = [str(step) for step in cast(list[object], where)] if isinstance(where, list) else []
        name = ".".join(step for step in steps if step not in ("body", "query", "path", "payload", "data"))
        found.setdefault(clean(name, 100) or "request", []).append(_text(fact.get("msg")) or "is wrong")
    return found
