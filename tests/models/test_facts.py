"""What reports decode of an assignment: the same as of a whole record, in whatever form it comes."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import UnexpectedAnswer
from pp_mcp.models import Assignment, AssignmentFacts, Page

ROW: dict[str, Any] = {
    "public_id": "a",
    "user": {"public_id": "u", "name": "Ünal", "email": "u@acme.example"},
    "content_item": {"public_id": "c", "name": "First aid", "content_type": "course"},
    "state": "in_progress",
    "progress": 0.25,
    "due_date": "2026-01-31",
    "is_overdue": True,
    "completed_datetime": None,
}
FORMS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(
            [
                "u",
                {"public_id": "u"},
                {"public_id": "u", "name": None},
                {"public_id": "u", "first_name": "U", "last_name": "Ü"},
            ]
        ),
        "content_item": st.sampled_from(["c", {"public_id": "c"}, {"public_id": "c", "name": 3, "content_type": "x"}]),
        "state": st.sampled_from(["on_hold", "", 3, None]),
        "progress": st.sampled_from([0, 1, "0.5", None, 1e30, "x"]),
        "due_date": st.sampled_from([None, "", "soon", 3]),
        "is_overdue": st.sampled_from([None, False, "true", 1, "x"]),
        "public_id": st.sampled_from(["", None, 7]),
        "further": st.sampled_from([None, [1, {"x": [2]}], "text"]),
    },
)
ENVELOPES: list[Any] = [
    lambda rows: {"data": rows, "meta": {"page": 1, "page_size": 100, "total_count": len(rows)}},
    lambda rows: {"data": rows, "meta": {"page": 1, "page_size": 100, "total_count": len(rows), "total_pages": 9}},
    lambda rows: {"results": rows, "count": len(rows)},
    lambda rows: {"data": rows, "total_count": len(rows)},
    lambda rows: {"data": rows, "meta": {}},
    lambda rows: {"data": rows, "meta": {"total_count": "1"}},
    lambda rows: rows,
]


@pytest.fixture(scope="module")
def there() -> Stage:
    tenant = Tenant(sizes=Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0), now=lambda: NOON)
    return Stage(tenant)


def page(there: Stage, model: Any, body: bytes) -> Page[Any] | UnexpectedAnswer:
    there.network.before = lambda _request, _number: httpx2.Response(200, content=body)

    async def read() -> Page[Any] | UnexpectedAnswer:
        try:
            return await there.call(budget=1e9).api.page("list_assignments", model)
        except UnexpectedAnswer as error:
            return error

    return anyio.run(read)


def alike(there: Stage, body: bytes) -> Page[Any] | None:
    """Reads a page both ways, and compares."""
    facts, whole = page(there, AssignmentFacts, body), page(there, Assignment, body)
    if isinstance(facts, UnexpectedAnswer) or isinstance(whole, UnexpectedAnswer):
        assert str(facts) == str(whole)
        return None
    fields = AssignmentFacts.model_fields
    for one, other in zip(facts.items, whole.items, strict=True):
        shown = other.model_dump(include=set(fields))
        shown["user"] = {name: shown["user"][name] for name in ("public_id", "name", "email")}
        shown["content_item"] = {name: shown["content_item"][name] for name in ("public_id", "name", "content_type")}
        assert one.model_dump() == shown
    figures = ("page", "page_size", "total_count", "total_pages", "next_page")
    assert [getattr(facts, name) for name in figures] == [getattr(whole, name) for name in figures]
    return facts


@given(changes=st.lists(FORMS, max_size=3), envelope=st.sampled_from(ENVELOPES))
def test_as_a_whole_record(there: Stage, changes: list[dict[str, Any]], envelope: Any) -> None:
    alike(there, json.dumps(envelope([ROW | change for change in changes])).encode())


@pytest.mark.parametrize("text", ["NaN", "1e400", "Infinity"])
def test_a_number_beyond_reason_is_none(there: Stage, text: str) -> None:
    body = json.dumps(ENVELOPES[0]([ROW])).replace("0.25", text).encode()
    assert isinstance(page(there, AssignmentFacts, body), UnexpectedAnswer)


def test_what_is_documented_is_decoded_at_once() -> None:
    found = AssignmentFacts.page_in(json.dumps(ENVELOPES[0]([ROW])).encode())
    assert found is not None
    assert found["data"][0].user.name == "Ünal"
    assert AssignmentFacts.page_in(b"<html>") is None
    assert AssignmentFacts.page_in(json.dumps(ENVELOPES[2]([ROW])).encode()) is None
