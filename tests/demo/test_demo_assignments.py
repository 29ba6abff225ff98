"""Assignments: assigning, dates, actions, ETags."""

from __future__ import annotations

from typing import Any

import pytest

from pp_mcp.demo import Tenant

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
ACTIONS = ("complete", "drop", "exempt", "revert-completion", "revert-exemption")


async def assign(client: Client, **more: Any) -> dict[str, Any]:
    """A new assignment of a new article to Jane Doe."""
    article = (await client.post("/articles", json={"name": "A"})).json()["public_id"]
    jane = client.sql("SELECT public_id FROM users WHERE name = 'Jane Doe'")
    answer = await client.post("/assignments", json={"user_id": jane, "content_item_id": article, **more})
    assert answer.status_code == 201
    return answer.json()


async def act(client: Client, made: dict[str, Any], action: str, **options: Any) -> dict[str, Any]:
    answer = await client.post(f"/assignments/{made['public_id']}/{action}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_assigning(client: Client) -> None:
    made = await assign(client, due_date="2026-04-01", expires_at="2027-04-01T02:00:00+02:00")
    assert made == {
        "public_id": made["public_id"],
        "user": {"public_id": made["user"]["public_id"], "name": "Jane Doe", "email": "jane.doe@acme.example"},
        "content_item": {
            "public_id": made["content_item"]["public_id"],
            "name": "A",
            "content_type": "article",
        },
        "state": "not_started",
        "progress": 0.0,
        "score": None,
        "is_success": None,
        "due_date": "2026-04-01",
        "is_overdue": False,
        "started_at": None,
        "completed_datetime": None,
        "dropped_at": None,
        "exempted_at": None,
        "expires_at": "2027-04-01T00:00:00Z",
        "feedback_rating": None,
        "attempt": 1,
        "created": "2026-03-10T12:00:00Z",
    }
    assert (await client.get(f"/assignments/{made['public_id']}")).json() == made


async def test_assigning_again_gives_the_outstanding_one(client: Client, tenant: Tenant) -> None:
    made = await assign(client)
    body = {"user_id": made["user"]["public_id"], "content_item_id": made["content_item"]["public_id"]}
    again = await client.post("/assignments", json={**body, "due_date": "2026-05-01"})
    assert (again.status_code, again.json()) == (200, made)
    assert tenant.requests[-1].applied is False
    for attempt, action in enumerate(("complete", "drop", "exempt"), 2):
        await act(client, made, action)
        answer = await client.post("/assignments", json=body)
        assert answer.status_code == 201
        made = answer.json()
        assert made["attempt"] == attempt


async def test_whom_and_what_one_cannot_assign(client: Client) -> None:
    item = client.sql("SELECT public_id FROM content_items WHERE NOT is_archived")
    archived = client.sql("SELECT public_id FROM content_items WHERE is_archived")
    jane = client.sql("SELECT public_id FROM users WHERE name = 'Jane Doe'")
    left = client.sql("SELECT public_id FROM users WHERE NOT is_active")

    def body(user: str, content_item: str) -> dict[str, Any]:
        return {"json": {"user_id": user, "content_item_id": content_item}}

    assert (await client.refused("POST", "/assignments", 404, **body(ID, item)))["message"] == "User not found."
    error = await client.refused("POST", "/assignments", 404, **body(jane, ID))
    assert error["message"] == "Content item not found."
    assert await client.wrong("POST", "/assignments", "user_id", **body(left, item))
    assert await client.wrong("POST", "/assignments", "content_item_id", **body(jane, archived))
    error = await client.refused("POST", "/assignments", 422, **body(left, archived))
    assert set(error["field_errors"]) == {"user_id", "content_item_id"}


async def test_dates_change_and_go(client: Client) -> None:
    made = await assign(client, due_date="2026-04-01", expires_at="2027-04-01T00:00:00Z")
    path = f"/assignments/{made['public_id']}"
    assert (await client.patch(path, json={})).json() == made
    late = (await client.patch(path, json={"due_date": "2026-03-09"})).json()
    assert late == {**made, "due_date": "2026-03-09", "is_overdue": True}
    today = (await client.patch(path, json={"due_date": "2026-03-10"})).json()
    assert today["is_overdue"] is False
    gone = (await client.patch(path, json={"due_date": None})).json()
    assert gone == {**made, "due_date": None}
    assert (await client.patch(path, json={"expires_at": None})).json()["expires_at"] is None


async def test_the_dates_of_an_enrollment_belong_to_the_event(client: Client) -> None:
    managed = client.sql(
        "SELECT a.public_id FROM enrollments e JOIN assignments a ON a.id = e.assignment_id"
        " WHERE a.state = 'not_started'"
    )
    error = await client.refused("PATCH", f"/assignments/{managed}", 409, json={"due_date": None})
    assert error["code"] == "conflict"
    assert "managed by the event" in error["message"]
    assert await act(client, {"public_id": managed}, "complete")


# What each action makes of each state; None is a 409.
TABLE = {
    "not_started": ("completed", "dropped", "exempted", None, None),
    "in_progress": ("completed", "dropped", "exempted", None, None),
    "completed": (None, None, None, "not_started", None),
    "dropped": (None, None, None, None, None),
    "exempted": ("completed", "dropped", None, None, "not_started"),
}


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("action", ACTIONS)
async def test_actions(client: Client, tenant: Tenant, state: str, action: str) -> None:
    made = await assign(client)
    if state == "in_progress":
        tenant.connection.execute(
            "UPDATE assignments SET state = 'in_progress', started_at = created WHERE public_id = ?",
            (made["public_id"],),
        )
    elif state != "not_started":
        await act(client, made, {"completed": "complete", "dropped": "drop", "exempted": "exempt"}[state])
    outcome = TABLE[state][ACTIONS.index(action)]
    path = f"/assignments/{made['public_id']}/{action}"
    if outcome is None:
        error = await client.refused("POST", path, 409)
        assert error["code"] == "conflict"
    else:
        assert (await client.post(path)).json()["state"] == outcome
    assert (await client.refused("POST", f"/assignments/{ID}/{action}", 404))["message"] == "Assignment not found."
    assert await client.refused("POST", f"/assignments/7/{action}", 422 if action == "drop" else 404)


async def test_completing_and_reverting(client: Client, tenant: Tenant) -> None:
    made = await assign(client)
    done = await act(client, made, "complete")
    now = "2026-03-10T12:00:00Z"
    assert done == {**made, "state": "completed", "progress": 1.0, "is_success": True, "completed_datetime": now}
    assert await act(client, made, "revert-completion") == made
    tenant.connection.execute(
        "UPDATE assignments SET state = 'in_progress', progress = 0.6, started_at = created, score = 0.5"
        " WHERE public_id = ?",
        (made["public_id"],),
    )
    await act(client, made, "complete")
    back = await act(client, made, "revert-completion")
    assert (back["state"], back["progress"], back["score"]) == ("in_progress", 0.6, None)


async def test_exempting_and_reverting(client: Client) -> None:
    made = await assign(client)
    exempted = await act(client, made, "exempt")
    assert exempted == {**made, "state": "exempted", "exempted_at": "2026-03-10T12:00:00Z"}
    assert await act(client, made, "revert-exemption") == made
    await act(client, made, "exempt")
    assert (await act(client, made, "complete"))["exempted_at"] is None


async def test_a_seeded_completion_can_be_reverted(client: Client) -> None:
    public_id = client.sql(
        "SELECT public_id FROM assignments a WHERE state = 'completed' AND started_at AND score AND attempt = 1 AND NOT"
        " EXISTS (SELECT 1 FROM assignments b WHERE b.user_id = a.user_id AND b.content_item_id = a.content_item_id"
        " AND b.id <> a.id)"
    )
    back = await act(client, {"public_id": public_id}, "revert-completion")
    assert (back["state"], back["progress"], back["score"]) == ("in_progress", 0.0, None)


async def test_dropping_keeps_the_reason_to_itself(client: Client, tenant: Tenant) -> None:
    for number, options in enumerate(({"json": {"reason": "Moved"}}, {"json": {"reason": None}}, {"json": {}}, {})):
        made = await assign(client)
        dropped = await act(client, made, "drop", **options)
        assert dropped == {**made, "state": "dropped", "dropped_at": "2026-03-10T12:00:00Z"}
        kept = client.sql("SELECT drop_reason FROM assignments WHERE public_id = ?", made["public_id"])
        assert kept == (None if number else "Moved")
    made = await assign(client)
    assert await client.wrong("POST", f"/assignments/{made['public_id']}/drop", "reason", json={"reason": 5})
    assert await client.wrong("POST", f"/assignments/{made['public_id']}/drop", "why", json={"why": "x"})


@pytest.mark.parametrize(("first", "revert"), [("complete", "revert-completion"), ("exempt", "revert-exemption")])
async def test_no_revert_makes_a_second_outstanding_one(client: Client, first: str, revert: str) -> None:
    made = await assign(client)
    await act(client, made, first)
    body = {"user_id": made["user"]["public_id"], "content_item_id": made["content_item"]["public_id"]}
    assert (await client.post("/assignments", json=body)).status_code == 201
    error = await client.refused("POST", f"/assignments/{made['public_id']}/{revert}", 409)
    assert "outstanding" in error["message"]


async def test_etags(client: Client, clock: Clock) -> None:
    made = await assign(client, due_date="2026-03-11")
    path = f"/assignments/{made['public_id']}"
    etag = (await client.get(path)).headers["ETag"]
    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get(path, headers={"If-None-Match": asked})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    for asked in ('"other"', "", etag.strip('"')):
        assert (await client.get(path, headers={"If-None-Match": asked})).status_code == 200
    clock.pass_(days=2)
    answer = await client.get(path, headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.json()["is_overdue"] is True
    assert answer.headers["ETag"] != etag
    await client.patch(path, json={"due_date": "2026-03-20"})
    assert (await client.get(path)).headers["ETag"] != answer.headers["ETag"]
