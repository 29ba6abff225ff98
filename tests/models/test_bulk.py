"""What came of a batch, in whatever shape it is told: the body of a 207 is not documented."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pp_mcp.models import read_bulk

ASKED = ["a", "b", "c"]
WENT_WRONG = {"code": "forbidden", "message": "Not yours."}


def told(body: object, asked: list[str] | None = None) -> list[tuple[str, str, str | None]]:
    answer = read_bulk(body, asked or ASKED)
    return [(item.public_id, item.status, item.error_message) for item in answer.items]


MIXED = [("a", "succeeded", None), ("b", "failed", "Not yours."), ("c", "succeeded", None)]
ROWS = [
    {"public_id": "c", "status": "succeeded"},
    {"public_id": "b", "status": "failed", "error": WENT_WRONG},
    {"public_id": "a", "status": "succeeded", "error": None},
]


@pytest.mark.parametrize(
    "body",
    [
        {"data": ROWS, "meta": {"succeeded": 2, "failed": 1}},
        {"results": ROWS},
        {"items": ROWS},
        ROWS,
        {"data": {"results": ROWS}},
        [{"id": row["public_id"], "success": row["status"] == "succeeded", "errors": row.get("error")} for row in ROWS],
        [
            {"item": {"public_id": "a"}, "status": 200},
            {"item": {"public_id": "b"}, "status": 403, "message": "Not yours."},
            {"item": {"public_id": "c"}, "status": 204},
        ],
        [{"public_id": "a", "ok": True}, {"public_id": "b", "error": "Not yours."}, {"public_id": "c"}],
        [
            {"public_id": "a", "result": "Archived"},
            {"public_id": "b", "result": "FORBIDDEN", "error_message": "Not yours."},
            {"public_id": "c", "result": "unchanged"},
        ],
        {"succeeded": ["a", "c"], "failed": [{"public_id": "b", "error": WENT_WRONG}]},
        {"succeeded": [{"public_id": "a"}, {"public_id": "c"}], "failed": [{"public_id": "b", "error": "Not yours."}]},
        {"succeeded": ["a", "c"], "failed": {"b": "Not yours."}},
        {"success": ["a", "c"], "errors": {"b": ["Not yours."]}},
        {"errors": {"b": WENT_WRONG}},
        {"errors": {"b": {"detail": "Not yours."}}},
        {"errors": [{"public_id": "b", "error": WENT_WRONG}]},
        {"succeeded": 2, "errors": {"b": "Not yours."}},
        {"failed": [{"public_id": "b", "message": "Not yours."}], "meta": {"succeeded": 2, "failed": 1}},
    ],
)  # fmt: skip
def test_one_of_three_failed(body: Any) -> None:
    assert told(body) == MIXED


@pytest.mark.parametrize(
    "body",
    [
        {"failed": [], "succeeded": ["a", "b", "c"]},
        {"failed": []},
        {"errors": {}},
        {"succeeded": 3},
        {"meta": {"succeeded": 3}},
        {"succeeded": 3, "failed": 0},
        {"success_count": 3, "errors": []},
    ],
)
def test_all_went_well(body: Any) -> None:
    assert [status for _, status, _ in told(body)] == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ([{"public_id": "a"}], ["succeeded", "unknown", "unknown"]),
        ({"succeeded": ["a"], "failed": ["b"]}, ["succeeded", "failed", "unknown"]),
        ({"failed": ["b"], "succeeded": 1}, ["unknown", "failed", "unknown"]),
        ([{"public_id": "a", "status": "queued"}, "b", 3, {"public_id": 4}], ["unknown"] * 3),
        ([{"public_id": "a", "status": None}], ["unknown"] * 3),
        ({"data": ROWS[:1], "errors": {"b": "x"}}, ["unknown", "failed", "succeeded"]),
    ],
)
def test_an_item_without_a_word_is_unknown(body: Any, statuses: list[str]) -> None:
    assert [status for _, status, _ in told(body)] == statuses


@pytest.mark.parametrize(
    "body",
    [
        None, 3, "ok", [], {}, {"status": "ok"}, {"data": []}, {"data": {}}, {"data": [{"public_id": "z"}]},
        ["a"], {"succeeded": 2}, {"succeeded": 2, "failed": 1}, {"succeeded": True}, {"succeeded": None},
        {"error": WENT_WRONG},
    ],
)  # fmt: skip
def test_what_says_nothing_of_the_items(body: Any) -> None:
    with pytest.raises(ValueError, match="what came of the items"):
        read_bulk(body, ASKED)


def test_messages_of_many_kinds() -> None:
    rows = [{"public_id": "a", "status": "failed", "error": error} for error in ([WENT_WRONG, "B", "", 3], {}, 7)]
    assert [told([row])[0][2] for row in rows] == ["Not yours.; B", None, None]
    assert told([{"public_id": "a", "error": {"code": "conflict"}}])[0][1:] == ("failed", "conflict")


def test_ids_are_answered_as_asked_for() -> None:
    assert told([{"public_id": "abc"}], ["ABC", "abc"]) == [("ABC", "succeeded", None), ("abc", "succeeded", None)]


def test_sorted_by_what_came_of_them() -> None:
    answer = read_bulk([{"public_id": "a"}, {"public_id": "b", "status": "failed"}], ASKED)
    groups = (answer.succeeded, answer.failed, answer.unknown)
    assert [[item.public_id for item in group] for group in groups] == [["a"], ["b"], ["c"]]


KEYS = ["data", "results", "items", "succeeded", "failed", "errors", "meta", "public_id", "status", "error", "a", "b"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["a", "b", "succeeded", "failed", "x"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=20,
    ),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, unique=True),
)
def test_every_item_gets_one_outcome_or_none_does(body: object, asked: list[str]) -> None:
    try:
        answer = read_bulk(body, asked)
    except ValueError:
        return
    assert [item.public_id for item in answer.items] == asked
