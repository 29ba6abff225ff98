"""The same change of several people: always previewed, one outcome each, and an undo for those who changed."""

from __future__ import annotations

import httpx2
import pytest
from mcp import Client
from stage import UNSHARED, Stage, ask, confirmed, connected, refused

from .between import Between

pytestmark = pytest.mark.anyio


def boss_with_reports(stage: Stage) -> tuple[str, list[str]]:
    """An active manager and the people who report to them, as e-mails."""
    boss, boss_id = stage.tenant.connection.execute(
        "SELECT m.email, m.id FROM users u JOIN users m ON m.id = u.manager_id WHERE m.is_active GROUP BY m.id "
        "ORDER BY count(*) DESC"
    ).fetchone()
    return boss, stage.column("SELECT email FROM users WHERE manager_id = ? ORDER BY id", boss_id)


async def test_the_reports_of_a_leaver_get_another_manager(client: Client, stage: Stage) -> None:
    boss, reports = boss_with_reports(stage)
    heir = stage.one(
        f"SELECT email FROM users WHERE manager_id IS NULL AND is_active AND email != ? AND {UNSHARED}", boss
    )
    if not heir or heir in reports:
        heir = next(
            one for one in stage.column("SELECT email FROM users WHERE is_active") if one not in [boss, *reports]
        )
    before = stage.tenant.snapshot()
    preview = await ask(client, "update_user", user=reports, manager=heir)
    assert preview["status"] == "confirmation_required"
    assert preview["affected_total"] == len(reports)
    assert len(preview["affected"]) == min(len(reports), 25)
    assert set(preview["affected"][0]) == {"public_id", "name", "from", "to"}
    assert stage.writes() == []

    answer = await confirmed(client, "update_user", user=reports, manager=heir)
    assert (answer["status"], answer["succeeded"]) == ("done", len(reports))
    query = "SELECT count(*) FROM users u JOIN users m ON m.id = u.manager_id WHERE m.email = ?"
    assert stage.one(query, heir) >= len(reports)
    undo = answer["undo"] if isinstance(answer["undo"], list) else [answer["undo"]]
    for one in undo:
        await confirmed(client, one["tool"], **one["arguments"])
    assert stage.tenant.snapshot() == before


async def test_several_with_other_values_before_are_set_back_each(client: Client, stage: Stage) -> None:
    people = stage.column(f"SELECT email FROM users WHERE is_active AND role = 'user' AND {UNSHARED} LIMIT 4")
    for number, email in enumerate(people[:3]):
        await ask(client, "update_user", user=email, employee_id=f"E-{number}")
    before = stage.tenant.snapshot()
    answer = await confirmed(client, "update_user", user=people, role="organizer", clear=["employee_id", "manager"])
    assert answer["status"] == "done"
    assert stage.column("SELECT count(*) FROM users WHERE role = 'organizer' AND manager_id IS NULL")[0] >= 4
    undo = answer["undo"] if isinstance(answer["undo"], list) else [answer["undo"]]
    for one in undo:
        await confirmed(client, one["tool"], **one["arguments"])
    assert stage.tenant.snapshot() == before


async def test_only_who_differs_is_written_to(client: Client, stage: Stage) -> None:
    people = stage.column(f"SELECT email FROM users WHERE is_active AND role = 'user' AND {UNSHARED} LIMIT 3")
    await confirmed(client, "update_user", user=people[:1], role="admin")
    sent = len(stage.writes())
    answer = await confirmed(client, "update_user", user=people, role="admin")
    assert (answer["succeeded"], answer["unchanged"], len(stage.writes()) - sent) == (2, 0, 2)
    assert "1 were so already" in answer["summary"]
    again = await ask(client, "update_user", user=people, role="admin")
    assert again["status"] == "unchanged"


async def test_one_who_fails_is_listed_and_the_others_done(stage: Stage) -> None:
    people = stage.column(f"SELECT public_id FROM users WHERE is_active AND role = 'user' AND {UNSHARED} LIMIT 3")

    def refusing(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "PATCH" and request.url.path.endswith(people[1]):
            return httpx2.Response(422, json={"error": {"code": "validation_error", "message": "No."}})
        return None

    async with connected(stage.tenant, transport=Between(stage.tenant, refusing)) as client:
        answer = await confirmed(client, "update_user", user=people, is_active=False)
    assert (answer["status"], answer["succeeded"], answer["failed"]) == ("partial", 2, 1)
    assert [one["public_id"] for one in answer["items"]] == [people[1]]
    assert people[1] not in answer["undo"]["arguments"]["user"]


async def test_leavers_are_counted_together(client: Client, stage: Stage) -> None:
    people = stage.column("SELECT public_id FROM users WHERE is_active ORDER BY id LIMIT 6")
    marks = ", ".join("?" * len(people))
    reports = stage.one(
        f"SELECT count(*) FROM users u JOIN users m ON m.id = u.manager_id WHERE m.public_id IN ({marks})", *people
    )
    outstanding = stage.one(
        "SELECT count(*) FROM assignments a JOIN users u ON u.id = a.user_id WHERE a.state IN ('not_started', "
        f"'in_progress') AND u.public_id IN ({marks})",
        *people,
    )
    preview = await ask(client, "update_user", user=people, is_active=False)
    (left,) = [effect for effect in preview["effects"] if effect.startswith("Left behind")]
    assert f"{reports} direct report" in left
    assert f"{outstanding} outstanding assignment" in left


@pytest.mark.parametrize("own", [{"name": "Same Name"}, {"employee_id": "E-1"}])
async def test_what_is_a_persons_own_goes_with_one_person_only(
    client: Client, stage: Stage, own: dict[str, str]
) -> None:
    error = await refused(client, "update_user", user=[stage.person(0), stage.person(1)], **own)
    assert "one person at a time" in error["message"]
    assert stage.writes() == []


async def test_a_list_of_one_is_that_person(client: Client, stage: Stage) -> None:
    user = stage.person()
    answer = await ask(client, "update_user", user=[user, user], name="Another Name")
    assert answer["status"] == "done"
    assert answer["target"]["kind"] == "user"
    assert answer["undo"]["arguments"]["name"] != "Another Name"
    once = await ask(client, "update_user", user=user, name="Yet Another")
    assert once["resolved"]["user"]["name"] == "Another Name"
