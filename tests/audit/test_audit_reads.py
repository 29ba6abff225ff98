"""PP_AUDIT_READS: who read what about people, without names or e-mails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import PromptReference
from stage import Stage, ask, connected, refused

from pp_mcp.demo import Tenant
from pp_mcp.server.reads import OF_PEOPLE

pytestmark = pytest.mark.anyio


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_tools_that_show_people() -> None:
    assert {"list_users", "get_user", "list_group_members", "list_assignments", "report_enrollments"} <= OF_PEOPLE
    assert not OF_PEOPLE & {"search_content", "list_groups", "create_user"}


async def test_reads_of_people_are_recorded_without_naming_them(tenant: Tenant, stage: Stage, log: Path) -> None:
    email = stage.person()
    public_id, name = stage.tenant.connection.execute(
        "SELECT public_id, name FROM users WHERE email = ?", [email]
    ).fetchone()
    async with connected(tenant, name="Claude", audit_log=str(log), audit_reads=True) as client:
        await ask(client, "get_user", user=email)
        await ask(client, "list_users", search=name.split()[0], is_active=True, role="user", page_size=7)
        await ask(client, "list_users", manager=name)
        await ask(client, "list_assignments", user=public_id, due_date_gte="2020-01-31")
        await ask(client, "report_assignments", group_by=["user"], top=3)
        await client.read_resource(f"plusplus://users/{public_id}")
        await client.read_resource(f"plusplus://lists/assignments.csv?user={public_id}")
        ref = PromptReference(type="ref/prompt", name="onboard_new_hire")
        await client.complete(ref=ref, argument={"name": "person", "value": name.split()[0][:2]})
        await ask(client, "search_content", search="security")
        await ask(client, "get_group", group=stage.group())
    recorded = lines(log)
    told = [(line["event"], line["tool"]) for line in recorded]
    assert told == [
        ("read", "get_user"),
        ("read", "list_users"),
        ("read", "list_users"),
        ("read", "list_assignments"),
        ("read", "report_assignments"),
        ("resource", "get_user"),
        ("resource", "list_assignments"),
        ("completion", "list_users"),
    ]
    assert recorded[0]["arguments"] == {"user": public_id}
    assert recorded[1]["arguments"] == {
        "search": f"({len(name.split()[0])} characters)",
        "is_active": True,
        "role": "user",
        "page_size": 7,
    }
    assert recorded[1]["counts"]["total"] >= recorded[1]["counts"]["rows"] >= 1
    assert recorded[2]["arguments"] == {"manager": public_id}
    assert recorded[3]["arguments"]["due_date_gte"].startswith("2020-01-31")
    assert recorded[4]["arguments"] == {"group_by": ["user"], "top": 3}
    assert {line["caller"]["client"] for line in recorded} == {"Claude"}
    text = log.read_text()
    people = stage.tenant.connection.execute("SELECT name, email FROM users").fetchall()
    assert not [person for row in people for person in row if person and person in text]


async def test_a_read_that_cannot_be_recorded_is_not_answered(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, audit_log=str(log), audit_reads=True) as client:
        log.unlink()
        log.mkdir()
        error = await refused(client, "get_user", user=stage.person())
        assert "audit log cannot be written" in error["message"]
        with pytest.raises(MCPError, match="audit log cannot be written"):
            await client.read_resource("plusplus://reports/assignments.csv")
        ref = PromptReference(type="ref/prompt", name="onboard_new_hire")
        assert (await client.complete(ref=ref, argument={"name": "person", "value": ""})).completion.values == []
        assert (await ask(client, "list_groups"))["total_count"]
