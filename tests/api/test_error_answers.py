"""An HTTP answer that is an error, and the exception it becomes."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pp_mcp import errors
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
    Rejected,
    ServerFailure,
    Unauthenticated,
    UnclearReference,
    UnexpectedAnswer,
    clean,
    error_from_answer,
    seconds_in,
    wait_told,
)

ENVELOPE = {"error": {"code": "the_code", "message": "The message.", "request_id": "req_a1"}}
FIELDS = {"error": {"code": "validation_error", "message": "No.", "field_errors": {"email": ["is taken"], "x": "odd"}}}
NINJA = {
    "detail": [{"loc": ["body", "payload", "email"], "msg": "no e-mail"}, {"loc": ["query", "page"], "msg": "low"}]
}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Rejected, "rejected"),
        (401, Unauthenticated, "unauthenticated"),
        (403, Forbidden, "forbidden"),
        (404, NotFound, "not_found"),
        (409, Conflict, "conflict"),
        (422, Rejected, "validation_error"),
        (429, RateLimited, "rate_limited"),
        (500, ServerFailure, "server_error"),
        (503, ServerFailure, "server_error"),
        (599, ServerFailure, "server_error"),
        (100, UnexpectedAnswer, "unexpected"),
        (301, UnexpectedAnswer, "unexpected"),
        (402, UnexpectedAnswer, "unexpected"),
        (405, UnexpectedAnswer, "unexpected"),
        (600, UnexpectedAnswer, "unexpected"),
    ],
)
def test_status_and_code(status: int, kind: type[ApiError], code: str) -> None:
    bare = error_from_answer(status, {}, b"", "get_user", "GET")
    assert type(bare) is kind
    assert (bare.status, bare.code, bare.operation, bare.method) == (status, code, "get_user", "GET")
    assert (bare.request_id, bare.field_errors) == (None, {})
    assert bare.message == str(bare) != ""
    full = error_from_answer(status, {"x-request-id": "req_b2"}, json.dumps(ENVELOPE).encode(), "get_user", "GET")
    assert type(full) is kind
    assert (full.code, full.request_id) == ("the_code", "req_a1")
    assert "The message." in full.message


@pytest.mark.parametrize(
    ("body", "message", "field_errors"),
    [
        (ENVELOPE, "The message.", {}),
        (FIELDS, "No.", {"email": ["is taken"], "x": ["odd"]}),
        ({"error": "Plain."}, "Plain.", {}),
        ({"detail": "Not here."}, "Not here.", {}),
        ({"message": "Not there."}, "Not there.", {}),
        (NINJA, "PlusPlus rejected some values.", {"email": ["no e-mail"], "page": ["low"]}),
        (
            {"detail": [{"loc": ["body"], "msg": "bad"}, {"msg": 3}, "x"]},
            "PlusPlus rejected some values.",
            {"request": ["bad", "is wrong"]},
        ),
        ({"error": {"message": 3, "code": None, "field_errors": ["x"]}}, "PlusPlus rejected some values.", {}),
        ({"error": {"message": "M", "field_errors": {"a": [1, "b"]}}}, "M", {"a": ["b"]}),
        ([], "PlusPlus rejected some values.", {}),
        (None, "PlusPlus rejected some values.", {}),
        ("<html>no</html>", "PlusPlus rejected some values.", {}),
    ],
)
def test_bodies(body: Any, message: str, field_errors: dict[str, list[str]]) -> None:
    for form in (body, json.dumps(body).encode()):
        error = error_from_answer(422, {}, form, "create_user", "POST")
        assert (error.message, error.field_errors) == (message, field_errors)


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", b"{", b"[" * 100_000])
def test_unreadable_bodies(body: bytes) -> None:
    error = error_from_answer(404, {"X-Request-ID": "req_7\r\nx"}, body, "get_user", "GET")
    assert type(error) is NotFound
    assert error.request_id == "req_7 x"
    assert "PP_ROUTES" in error.message


def test_a_404_of_the_api_says_nothing_of_paths() -> None:
    assert "PP_ROUTES" not in error_from_answer(404, {}, ENVELOPE, "get_user", "GET").message


CLEAR = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_a_clear_refusal_says_that_a_write_did_not_happen(method: str) -> None:
    for status in (*range(300, 600), 100, 600):
        error = error_from_answer(status, {}, b"", "x", method)
        assert error.may_have_happened is (status not in CLEAR), status
        assert error_from_answer(status, {}, b"", "x", "GET").may_have_happened is False


def test_what_never_reached_the_api_did_not_happen() -> None:
    lost = [AnswerLost("cut", operation="x", method=method).may_have_happened for method in ("POST", "GET")]
    assert lost == [True, False]
    nothing = (NotReached("refused", method="POST"), OutOfTime(seconds=1), InvalidArgument("x"), PlusPlusError("x"))
    assert [error.may_have_happened for error in nothing] == [False] * 4


@pytest.mark.parametrize(("status", "hint"), [(302, "PP_BASE_URL"), (405, "PP_ROUTES"), (418, "does not document")])
def test_an_unexpected_answer_says_what_to_check(status: int, hint: str) -> None:
    error = error_from_answer(status, {"Location": "https://x/?token=1"}, b"secret", "get_user", "GET")
    assert isinstance(error, UnexpectedAnswer)
    assert hint in error.detail
    assert hint in error.message
    assert "secret" not in error.message + error.detail
    assert "token" not in error.message


@given(
    st.integers(100, 700),
    st.dictionaries(st.sampled_from(["Retry-After", "date", "x-request-id", "X-RateLimit-Reset"]), st.text()),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["error", "detail", "message", "code", "field_errors", "request_id", "loc", "msg"]),
                inner,
            )
        ),
        max_leaves=12,
    ),
)
def test_no_answer_makes_it_stumble(status: int, headers: dict[str, str], body: object) -> None:
    error = error_from_answer(status, headers, body, "get_user", "GET")
    assert error.status == status
    assert error.message
    if isinstance(error, RateLimited):
        assert error.retry_after >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "12", "X-RateLimit-Reset": "30"}, 12),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:30 GMT"}, 7),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 -0000", "Date": "Sun, 06 Nov 1994 08:49:30 -0000"}, 7),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:30 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:30 GMT"}, 0),
        ({"Retry-After": "Sun, 06 Nov 2094 08:49:30 GMT"}, None),
        ({"Retry-After": "Sun, 06 Nov 2094 08:49:30 GMT", "X-RateLimit-Reset": "4"}, 4),
        ({"X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Reset": "1795428000"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_told(headers) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("86400", 86400), ("86401", None), ("", None), ("1e3", 1000)])
def test_seconds(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds


@given(st.text(max_size=2000), st.integers(1, 600))
def test_clean_text_is_printable_and_short(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable()


def test_clean_keeps_words_and_marks_what_is_missing() -> None:
    assert clean("a\x00b\n\x1b[31mred\u202e é") == "a b [31mred é"
    assert clean("x" * 501) == "x" * 499 + "…"
    assert clean("x" * 500) == "x" * 500


def test_a_flood_of_field_errors_is_cut() -> None:
    flood = {"error": {"message": "m", "field_errors": {f"f{n}": ["x"] * 500 for n in range(500)}}}
    found = error_from_answer(422, {}, flood, "x", "POST").field_errors
    assert (len(found), len(found["f0"])) == (50, 50)
    located = {"detail": [{"loc": ["body", f"f{n}"], "msg": "m"} for n in range(500)]}
    assert len(error_from_answer(422, {}, located, "x", "POST").field_errors) == 50


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)  ", line):
            depth = len(found[1]) // 3
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    classes = {
        name: thing.__base__.__name__
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, PlusPlusError) and thing.__base__
    }
    assert drawn == classes


def test_what_the_others_carry() -> None:
    people = [{"public_id": str(n), "name": "Jo"} for n in range(9)]
    unclear = UnclearReference("Two match.", argument="user", given="Jo", candidates=people)
    assert isinstance(unclear, InvalidArgument)
    assert (unclear.argument, unclear.given, len(unclear.candidates)) == ("user", "Jo", 5)
    assert unclear.field_errors == {"user": ["Two match."]}
    assert InvalidArgument("m").field_errors == {}
    spent = OutOfTime(seconds=45)
    assert (spent.seconds, "45 seconds" in spent.message) == (45, True)
    assert OutOfTime("Why.", seconds=0).message == "Why."
