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
        {"items": ROWS},
        {"results": ROWS},
        ROWS,
        {"succeeded": ["a", "c"], "failed": [{"public_id": "b", "error": WENT_WRONG}]},
        {"succeeded": [{"public_id": "a"}, {"public_id": "c"}], "failed": [{"public_id": "b", "error": "Not yours."}]},
    ],
)
def test_one_of_three_failed(body: Any) -> None:
    assert told(body) == MIXED


def test_all_went_well() -> None:
    assert [status for _, status, _ in told({"failed": [], "succeeded": ["a", "b", "c"]})] == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ({"data": [{"public_id": "a", "status": "succeeded"}]}, ["succeeded", "unknown", "unknown"]),
        ({"succeeded": ["a"], "failed": ["b"]}, ["succeeded", "failed", "unknown"]),
        ({"failed": ["b"], "succeeded": 1}, ["unknown", "failed", "unknown"]),
        (
            [{"public_id": "a", "status": "queued"}, "b", 3, {"public_id": 4}, *ROWS[:1]],
            ["unknown", "unknown", "succeeded"],
        ),
        ([{"public_id": "a", "status": None}, {"public_id": "b"}, *ROWS[:1]], ["unknown", "unknown", "succeeded"]),
        ({"data": ROWS[:1], "errors": {"b": "x"}}, ["unknown", "unknown", "succeeded"]),
    ],
)
def test_an_item_without_a_word_is_unknown(body: Any, statuses: list[str]) -> None:
    assert [status for _, status, _ in told(body)] == statuses


@pytest.mark.parametrize(
    "body",
    [
        None, 3, "ok", [], {}, {"status": "ok"}, {"data": []}, {"data": {}},
        {"data": [{"public_id": "z", "status": "succeeded"}]}, ["a"], {"succeeded": 2}, {"succeeded": 2, "failed": 1},
        {"succeeded": True}, {"succeeded": None}, {"error": WENT_WRONG}, {"errors": {}}, {"failed": []},
        [{"public_id": "a"}],
    ],
)  # fmt: skip
def test_what_says_nothing_of_the_items(body: Any) -> None:
    with pytest.raises(ValueError, match="what became of the items"):
        read_bulk(body, ASKED)


@pytest.mark.parametrize(
    ("error", "message"),
    [(WENT_WRONG, "Not yours."), ({"code": "conflict"}, "conflict"), ({}, None), (7, None), ("", None)],
)
def test_messages(error: Any, message: str | None) -> None:
    assert told([{"public_id": "a", "status": "failed", "error": error}])[0] == ("a", "failed", message)


def test_ids_are_answered_as_asked_for() -> None:
    row = {"public_id": "abc", "status": "succeeded"}
    assert told([row], ["ABC", "abc"]) == [("ABC", "succeeded", None), ("abc", "succeeded", None)]


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
