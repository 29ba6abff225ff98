"""Users and groups: what writing them does."""

from __future__ import annotations

import pytest

from pp_mcp.demo import Tenant

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"


def person(client: Client, name: str) -> str:
    return client.sql("SELECT public_id FROM users WHERE name = ?", name)


async def test_a_user_is_created(client: Client) -> None:
    rosa = person(client, "Rosa Alvarez")
    body = {"email": "New.Hire@acme.example", "name": "Nia Hire", "employee_id": "EMP-9", "manager": rosa}
    answer = await client.post("/users", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        "public_id": made["public_id"],
        "email": "New.Hire@acme.example",
        "name": "Nia Hire",
        "role": "user",
        "employee_id": "EMP-9",
        "is_active": True,
        "manager": {"public_id": rosa, "name": "Rosa Alvarez", "email": "rosa.alvarez@acme.example"},
        "date_joined": "2026-03-10T12:00:00Z",
    }
    assert (await client.get(f"/users/{made['public_id']}")).json() == made
    assert (await client.get("/users?email=new.hire@acme.example")).json()["data"] == [made]


async def test_null_means_default_at_creation(client: Client) -> None:
    body = {"email": "n@acme.example", "name": "N", "role": None, "employee_id": None, "manager": None}
    made = (await client.post("/users", json=body)).json()
    assert (made["role"], made["employee_id"], made["manager"]) == ("user", None, None)
    group = (await client.post("/groups", json={"name": "G", "source": None})).json()
    assert group["source"] == "plusplus"


async def test_an_email_address_is_unique(client: Client) -> None:
    body = {"email": "JANE.DOE@acme.example", "name": "Other"}
    assert "already exists" in await client.wrong("POST", "/users", "email", json=body)
    error = await client.refused("POST", "/users", 422, json={**body, "manager": ID})
    assert set(error["field_errors"]) == {"email", "manager"}


async def test_only_the_fields_sent_change(client: Client) -> None:
    jane = person(client, "Jane Doe")
    before = (await client.get(f"/users/{jane}")).json()
    assert (await client.patch(f"/users/{jane}", json={})).json() == before
    assert (await client.patch(f"/users/{jane}", json={"name": "Jane Roe"})).json() == {**before, "name": "Jane Roe"}
    after = await client.patch(f"/users/{jane}", json={"employee_id": None, "manager": None, "role": "organizer"})
    assert after.json() == {**before, "name": "Jane Roe", "employee_id": None, "manager": None, "role": "organizer"}
    gone = (await client.patch(f"/users/{jane}", json={"is_active": False})).json()
    assert gone["is_active"] is False
    assert (await client.patch(f"/users/{jane}", json={"name": None, "role": None, "is_active": None})).json() == gone
    assert (await client.get("/users?search=jane roe")).json()["meta"]["total_count"] == 1


async def test_the_email_address_cannot_change(client: Client) -> None:
    assert await client.wrong(
        "PATCH", f"/users/{person(client, 'Jane Doe')}", "email", json={"email": "j@acme.example"}
    )


async def test_reporting_lines_stay_a_tree(client: Client) -> None:
    head, rosa, jane = (person(client, name) for name in ("Margaret Osei", "Rosa Alvarez", "Jane Doe"))
    assert "own manager" in await client.wrong("PATCH", f"/users/{jane}", "manager", json={"manager": jane})
    assert "circular" in await client.wrong("PATCH", f"/users/{rosa}", "manager", json={"manager": jane})
    assert "circular" in await client.wrong("PATCH", f"/users/{head}", "manager", json={"manager": jane})
    assert await client.wrong("PATCH", f"/users/{jane}", "manager", json={"manager": ID})
    moved = (await client.patch(f"/users/{jane}", json={"manager": head})).json()
    assert moved["manager"]["name"] == "Margaret Osei"


async def test_a_circle_that_is_there_already_ends(client: Client, tenant: Tenant) -> None:
    tenant.connection.execute("UPDATE users SET manager_id = 4 WHERE id = 4")
    rosa, jane = person(client, "Rosa Alvarez"), person(client, "Jane Doe")
    assert (await client.patch(f"/users/{jane}", json={"manager": rosa})).status_code == 200


async def test_groups_are_made_and_renamed(client: Client, clock: Clock) -> None:
    made = (await client.post("/groups", json={"name": "Project Phoenix", "source": "okta"})).json()
    assert (await client.get("/groups?name=project phoenix")).json()["meta"]["total_count"] == 3
    clock.pass_(seconds=1.5)
    same = (await client.patch(f"/groups/{made['public_id']}", json={"name": "Project Phoenix"})).json()
    assert same == made
    assert (await client.patch(f"/groups/{made['public_id']}", json={"name": None})).json() == made
    renamed = (await client.patch(f"/groups/{made['public_id']}", json={"name": "Émile"})).json()
    assert renamed == {**made, "name": "Émile", "modified": "2026-03-10T12:00:01.500000Z"}
    assert (await client.get("/groups?name=émile")).json()["data"] == [renamed]


async def test_members_are_added_and_removed(client: Client, clock: Clock) -> None:
    group = (await client.post("/groups", json={"name": "G"})).json()
    path = f"/groups/{group['public_id']}/members"
    people = (await client.walk("/users"))[:5]
    clock.pass_(seconds=1)
    added = (await client.post(path, json={"member_ids": people[:3] + people[:1]})).json()
    assert added["member_count"] == 3
    assert added["modified"] > group["modified"]
    clock.pass_(seconds=1)
    assert (await client.post(path, json={"member_ids": people[:2]})).json() == added
    assert (await client.post(path, json={"member_ids": []})).json() == added
    assert (await client.request("DELETE", path, json={"member_ids": people[3:]})).json() == added
    less = (await client.request("DELETE", path, json={"member_ids": people[2:]})).json()
    assert less["member_count"] == 2
    assert less["modified"] > added["modified"]
    assert set(await client.walk("/users", group=group["public_id"])) == set(people[:2])


async def test_unknown_members_are_named(client: Client) -> None:
    group = client.sql("SELECT public_id FROM groups")
    jane = person(client, "Jane Doe")
    for method in ("POST", "PUT", "DELETE"):
        message = await client.wrong(method, f"/groups/{group}/members", "member_ids", json={"member_ids": [jane, ID]})
        assert ID in message


async def test_a_group_of_the_hr_system_may_be_edited(client: Client) -> None:
    group = client.sql("SELECT public_id FROM groups WHERE source = 'workday'")
    assert (await client.patch(f"/groups/{group}", json={"name": "By hand"})).status_code == 200


@pytest.mark.parametrize(
    ("size", "kept", "large"),
    [(4, 2, False), (4, 1, True), (3, 1, True), (3, 2, False), (2, 1, False), (1, 0, True), (0, 0, False)],
)
async def test_replacing_asks_for_confirmation(client: Client, size: int, kept: int, large: bool) -> None:
    people = await client.walk("/users")
    group = (await client.post("/groups", json={"name": "G"})).json()["public_id"]
    path = f"/groups/{group}/members"
    await client.post(path, json={"member_ids": people[:size]})
    wanted = people[:kept] + people[50:52]
    assert await client.wrong("PUT", path, "confirm_replace", json={"member_ids": wanted})
    body = {"member_ids": wanted, "confirm_replace": True}
    if large:
        assert "50%" in await client.wrong("PUT", path, "confirm_large_removal", json=body)
        body["confirm_large_removal"] = True
    answer = await client.put(path, json=body)
    assert answer.status_code == 200
    assert answer.json()["member_count"] == kept + 2
    assert set(await client.walk("/users", group=group)) == set(wanted)
