"""Content items and articles: what writing them does."""

from __future__ import annotations

import pytest

from pp_mcp.demo import Tenant

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"


def item(client: Client, name: str) -> str:
    return client.sql("SELECT public_id FROM content_items WHERE name = ?", name)


async def test_an_article_is_created(client: Client) -> None:
    answer = await client.post("/articles", json={"name": "How to", "duration": 15})
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        "public_id": made["public_id"],
        "name": "How to",
        "content_type": "article",
        "description": None,
        "is_archived": False,
        "is_hidden": False,
        "is_completable": True,
        "is_self_assignable": True,
        "duration_minutes": 15,
        "avg_feedback_rating": None,
        "total_assignments": 0,
        "completed_assignments_count": 0,
        "created": "2026-03-10T12:00:00Z",
        "modified": "2026-03-10T12:00:00Z",
    }
    assert (await client.get(f"/articles/{made['public_id']}")).json() == made
    assert (await client.get(f"/content-items/{made['public_id']}")).json() == {**made, "groups": []}
    assert (await client.get("/content-items?page_size=1")).json()["data"][0]["public_id"] == made["public_id"]


async def test_the_switches_of_an_article(client: Client) -> None:
    body = {"name": "A", "is_hidden": True, "is_self_assignable": False}
    made = (await client.post("/articles", json=body)).json()
    assert (made["is_hidden"], made["is_self_assignable"], made["duration_minutes"]) == (True, False, None)
    made = (await client.post("/articles", json={"name": "A", "is_hidden": None, "is_self_assignable": None})).json()
    assert (made["is_hidden"], made["is_self_assignable"]) == (False, True)


async def test_an_article_is_changed(client: Client, clock: Clock) -> None:
    path = f"/articles/{item(client, 'Writing Good Postmortems')}"
    before = (await client.get(path)).json()
    clock.pass_(hours=1)
    assert (
        await client.patch(path, json={"name": None, "is_hidden": None, "is_self_assignable": None})
    ).json() == before
    assert (await client.patch(path, json={"name": before["name"], "duration": 12})).json() == before
    after = (await client.patch(path, json={"duration": None, "name": "Post", "is_hidden": True})).json()
    modified = {"modified": "2026-03-10T13:00:00Z"}
    assert after == {**before, "duration_minutes": None, "name": "Post", "is_hidden": True, **modified}
    assert (await client.patch(path, json={"is_self_assignable": False})).json() == {
        **after,
        "is_self_assignable": False,
    }


async def test_another_item_is_no_article(client: Client) -> None:
    course = item(client, "Security 101")
    assert (await client.refused("GET", f"/articles/{course}", 404))["message"] == "Article not found."
    assert await client.refused("PATCH", f"/articles/{course}", 404, json={"name": "A"})


async def test_shared_fields_are_changed(client: Client, clock: Clock) -> None:
    path = f"/content-items/{item(client, 'Security 101')}"
    before = (await client.get(path)).json()
    platform, sales = (client.sql("SELECT public_id FROM groups WHERE name = ?", n) for n in ("Platform", "Sales"))
    clock.pass_(hours=1)
    modified = {"modified": "2026-03-10T13:00:00Z"}
    refs = [{"public_id": platform, "name": "Platform"}, {"public_id": sales, "name": "Sales"}]
    assert (await client.patch(path, json={})).json() == before
    assert (await client.patch(path, json={"groups": None, "is_hidden": None, "name": None})).json() == before
    changed = (await client.patch(path, json={"groups": [sales, platform, sales]})).json()
    assert changed == {**before, "groups": refs, **modified}
    clock.pass_(hours=1)
    assert (await client.patch(path, json={"groups": [platform, sales]})).json() == changed
    assert (await client.patch(path, json={"name": "Security 102", "is_hidden": True})).json() == {
        **changed,
        "name": "Security 102",
        "is_hidden": True,
        "modified": "2026-03-10T14:00:00Z",
    }
    assert (await client.patch(path, json={"groups": []})).json()["groups"] == []


async def test_an_unknown_group_changes_nothing(client: Client) -> None:
    platform = client.sql("SELECT public_id FROM groups WHERE name = 'Platform'")
    body = {"name": "Other", "groups": [platform, ID]}
    path = f"/content-items/{item(client, 'Security 101')}"
    assert ID in await client.wrong("PATCH", path, "groups", json=body)


async def test_a_deletion_takes_the_history_along(client: Client) -> None:
    event = item(client, "React Workshop")
    row_id = client.sql("SELECT id FROM content_items WHERE public_id = ?", event)
    assignment = client.sql("SELECT public_id FROM assignments WHERE content_item_id = ?", row_id)
    answer = await client.delete(f"/content-items/{event}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await client.refused("GET", f"/content-items/{event}", 404)
    assert await client.refused("GET", f"/assignments/{assignment}", 404)
    assert await client.refused("DELETE", f"/content-items/{event}", 404)
    assert client.sql("SELECT count(*) FROM enrollments WHERE event_id = ?", row_id) == 0


async def test_archiving_goes_item_by_item(client: Client, clock: Clock) -> None:
    ids = client.column("SELECT public_id FROM content_items WHERE NOT is_archived LIMIT 3")
    clock.pass_(hours=1)
    body = {"items": [{"public_id": ids[0], "note": "more"}, {"public_id": ID}, {"public_id": ids[1]}]}
    answer = await client.post("/content-items/bulk-archive", json=body)
    assert answer.status_code == 207
    assert answer.json() == {
        "data": [
            {"public_id": ids[0], "status": "succeeded", "error": None},
            {
                "public_id": ID,
                "status": "failed",
                "error": {"code": "not_found", "message": "Content item not found."},
            },
            {"public_id": ids[1], "status": "succeeded", "error": None},
        ],
        "meta": {"succeeded": 2, "failed": 1},
    }
    archived = (await client.get(f"/content-items/{ids[0]}")).json()
    assert (archived["is_archived"], archived["modified"]) == (True, "2026-03-10T13:00:00Z")
    assert (await client.get(f"/content-items/{ids[2]}")).json()["is_archived"] is False


async def test_archiving_again_is_a_success(client: Client, clock: Clock) -> None:
    public_id = item(client, "Security 101")
    body = {"items": [{"public_id": public_id}] * 2}
    for path, archived in (("bulk-archive", True), ("bulk-archive", True), ("bulk-unarchive", False)):
        clock.pass_(hours=1)
        answer = await client.post(f"/content-items/{path}", json=body)
        assert answer.status_code == 200
        assert answer.json()["meta"] == {"succeeded": 2, "failed": 0}
        assert (await client.get(f"/content-items/{public_id}")).json()["is_archived"] is archived
    modified = (await client.get(f"/content-items/{public_id}")).json()["modified"]
    clock.pass_(hours=1)
    await client.post("/content-items/bulk-unarchive", json=body)
    assert (await client.get(f"/content-items/{public_id}")).json()["modified"] == modified
    assert (await client.post("/content-items/bulk-archive", json={"items": []})).json()["data"] == []


async def test_a_broken_item_of_a_batch_undoes_itself_only(client: Client, tenant: Tenant) -> None:
    first, second = client.column("SELECT public_id FROM content_items WHERE NOT is_archived LIMIT 2")
    tenant.connection.execute(
        "CREATE TRIGGER break_it AFTER UPDATE OF modified ON content_items WHEN NEW.public_id = "
        f"'{second}' BEGIN SELECT raise(ABORT, 'broken'); END"
    )
    with pytest.raises(Exception, match="broken"):
        await client.post("/content-items/bulk-archive", json={"items": [{"public_id": first}, {"public_id": second}]})
    # What is no refusal is a mistake of the tenant, and undoes the whole request.
    assert client.sql("SELECT is_archived FROM content_items WHERE public_id = ?", first) == 0


AGGREGATES = """
    SELECT c.public_id, c.total_assignments, c.completed_assignments_count,
        CASE WHEN c.rating_count THEN round(c.rating_sum * 1.0 / c.rating_count, 2) END,
        (SELECT count(*) FROM assignments a WHERE a.content_item_id = c.id),
        (SELECT count(*) FROM assignments a WHERE a.content_item_id = c.id AND a.state = 'completed'),
        (SELECT round(avg(a.feedback_rating), 2) FROM assignments a WHERE a.content_item_id = c.id)
    FROM content_items c
"""


async def test_the_counters_are_true(client: Client, tenant: Tenant) -> None:
    def check() -> None:
        rows = [tuple(row) for row in tenant.connection.execute(AGGREGATES)]
        assert [row[1:4] for row in rows] == [row[4:7] for row in rows]
        assert any(row[3] for row in rows)

    check()
    done = client.column("SELECT public_id FROM assignments WHERE state = 'completed' AND feedback_rating LIMIT 5")
    for public_id in done:
        await client.post(f"/assignments/{public_id}/revert-completion")
    started = client.column("SELECT public_id FROM assignments WHERE state = 'in_progress' LIMIT 5")
    for public_id in started:
        assert (await client.post(f"/assignments/{public_id}/complete")).status_code == 200
    check()
    tenant.connection.execute("UPDATE assignments SET feedback_rating = NULL WHERE feedback_rating = 4")
    tenant.connection.execute("UPDATE assignments SET feedback_rating = 2 WHERE feedback_rating IS NULL")
    check()
    tenant.connection.execute("DELETE FROM users WHERE id > 40")
    check()
    first = client.sql("SELECT public_id FROM content_items WHERE id = 1")
    shown = (await client.get(f"/content-items/{first}")).json()
    assert (shown["total_assignments"], shown["completed_assignments_count"], shown["avg_feedback_rating"]) == tuple(
        tenant.connection.execute(AGGREGATES + "WHERE id = 1").fetchone()
    )[4:7]
