"""Every error in words: code, what happened, what to do next, and whether to try again."""

from __future__ import annotations

from typing import Any

import pytest

from pp_mcp.answers import ToolCall
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
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.explain import explained

CHECK = ToolCall(tool="get_user", arguments={"user": "1"})


def api(kind: type[ApiError], status: int, **more: Any) -> ApiError:
    sent = {"operation": "update_user", "method": "PATCH", "request_id": "req_1", **more}
    return kind("Said so.", status=status, **sent)


def lost(method: str) -> AnswerLost:
    return AnswerLost("it was cut off", operation="update_user", method=method)


CANDIDATES = [{"public_id": "1", "name": "A"}]
ERRORS: list[tuple[PlusPlusError, str, bool, bool, list[str]]] = [
    (InvalidArgument("page is wrong."), "invalid_argument", False, False, ["page is wrong."]),
    (
        UnclearReference("Who?", argument="user", given="x", candidates=CANDIDATES),
        "unclear_reference",
        False,
        False,
        ["Who?"],
    ),
    (Refused("Not here."), "refused", False, False, ["Not here."]),
    (api(Unauthenticated, 401), "unauthenticated", False, False, ["PP_API_TOKEN", "PP_BASE_URL", "PP_TENANT"]),
    (api(Forbidden, 403), "forbidden", False, False, ["may not do this (update_user)", "admin's"]),
    (api(NotFound, 404), "not_found", False, False, ["“Said so”", "list_users finds valid ids", "PP_ROUTES"]),
    (api(Conflict, 409), "conflict", False, False, ["does not allow update_user: “Said so”"]),
    (api(Rejected, 422), "validation_error", False, False, ["refused the values: “Said so”"]),
    (
        api(Rejected, 400, field_errors={"user_id": ["Odd.", "Very."], "manager": ["No."]}),
        "validation_error",
        False,
        False,
        ["user: “Odd.” and “Very.”", "manager: “No.”"],
    ),
    (api(RateLimited, 429, retry_after=12.2), "rate_limited", True, False, ["wait 13 seconds"]),
    (api(ServerFailure, 503, method="GET"), "server_failure", True, False, ["HTTP 503", "in a minute"]),
    (
        api(ServerFailure, 500),
        "server_failure",
        False,
        True,
        ["HTTP 500", "may have happened or not. Check"],
    ),
    (
        api(UnexpectedAnswer, 200, detail="no JSON", method="GET"),
        "unexpected_answer",
        False,
        False,
        ["no JSON", "PP_BASE_URL"],
    ),
    (
        api(UnexpectedAnswer, 302, detail="a redirect"),
        "unexpected_answer",
        False,
        True,
        ["HTTP 302", "may have happened or not. Check"],
    ),
    (api(UnexpectedAnswer, 405, detail="no such method"), "unexpected_answer", False, False, ["no such method"]),
    (NotReached("connection refused"), "not_reached", True, False, ["connection refused", "Nothing was sent."]),
    (lost("GET"), "answer_lost", True, False, ["broke or was too slow", "in a minute"]),
    (lost("PATCH"), "answer_lost", False, True, ["may have happened or not. Check"]),
    (OutOfTime(seconds=45), "out_of_time", True, False, ["45 seconds", "Ask for less"]),
    (PlusPlusError("Something else."), "error", False, False, ["Something else."]),
]


@pytest.mark.parametrize(
    ("error", "code", "retryable", "checked", "words"),
    ERRORS,
    ids=[f"{type(one[0]).__name__} {one[1]}" for one in ERRORS],
)
def test_an_error_of_a_write(error: PlusPlusError, code: str, retryable: bool, checked: bool, words: list[str]) -> None:
    answer = explained(error, BY_NAME["update_user"], check=CHECK)
    assert (answer.code, answer.retryable) == (code, retryable)
    for word in words:
        assert word in answer.message
    assert answer.check == (CHECK if checked else None)
    assert ("may have happened" in answer.message) is checked
    assert answer.status == getattr(error, "status", None)
    assert answer.request_id == getattr(error, "request_id", None)
    if (
        not checked
        and not isinstance(error, InvalidArgument | Refused | NotReached)
        and type(error) is not PlusPlusError
    ):
        assert answer.message.endswith("Nothing was changed.")


@pytest.mark.parametrize("row", ERRORS, ids=[f"{type(one[0]).__name__} {one[1]}" for one in ERRORS])
def test_an_error_of_a_read_speaks_of_no_change(row: tuple[Any, ...]) -> None:
    answer = explained(row[0], BY_NAME["list_users"], check=CHECK)
    assert "changed" not in answer.message
    assert "may have happened" not in answer.message
    assert answer.check is None


def test_seconds_are_whole_and_never_too_few() -> None:
    answer = explained(api(RateLimited, 429, retry_after=0.2), BY_NAME["list_users"])
    assert answer.retry_after == 1.0
    assert explained(Refused("No."), BY_NAME["list_users"]).retry_after is None


def test_the_apis_own_code_wins() -> None:
    assert explained(api(Unauthenticated, 401, code="invalid_token"), BY_NAME["list_users"]).code == "invalid_token"


def test_fields_have_the_names_of_arguments() -> None:
    error = api(Rejected, 422, field_errors={"content_item_id": ["x"], "member_ids": ["y"], "duration_minutes": ["z"]})
    answer = explained(error, BY_NAME["assign_content"])
    for said in ("content_item: “x”", "members: “y”", "duration: “z”"):
        assert said in answer.message


def test_candidates_come_along() -> None:
    error = UnclearReference("Who?", argument="user", given="x", candidates=CANDIDATES * 9)
    assert explained(error, BY_NAME["get_user"]).candidates == CANDIDATES * 5


def test_a_conflict_says_what_works_now() -> None:
    answer = explained(api(Conflict, 409), BY_NAME["exempt_assignment"], now="It is dropped now.")
    for words in ("exempt_assignment", "“Said so”", "It is dropped now.", "Nothing was changed."):
        assert words in answer.message


def test_a_lost_write_without_a_call_that_shows_it() -> None:
    answer = explained(lost("PATCH"), BY_NAME["create_api_token"])
    assert "Look in PlusPlus before calling again" in answer.message
    assert answer.check is None


def test_time_is_up_says_once_that_nothing_changed() -> None:
    error = OutOfTime("Others were busy. Nothing was changed.", seconds=5)
    assert explained(error, BY_NAME["update_user"]).message.count("Nothing was changed.") == 1
