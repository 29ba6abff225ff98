"""Archiving many: batches, items that fail, answers that do not come."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp import Client
from stage import Stage, ask, confirmed, connected, refused

from .between import Between, on

pytestmark = pytest.mark.anyio


def items(stage: Stage, count: int) -> list[str]:
    """Items of a name each, none of them archived."""
    for number in range(count):
        stage.change(
            "INSERT INTO content_items (public_id, name, name_key, content_type, created, modified) "
            "VALUES (?, ?, ?, 'article', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')",
            f"00000000-0000-4000-8000-{number:012}",
            f"Item {number}",
            f"item {number}",
        )
    return [f"00000000-0000-4000-8000-{number:012}" for number in range(count)]


def archived(stage: Stage) -> int:
    return stage.one("SELECT count(*) FROM content_items WHERE is_archived AND name LIKE 'Item %'")


async def test_batches_of_a_hundred(client: Client, stage: Stage) -> None:
    answer = await confirmed(client, "archive_content_items", items=items(stage, 250))
    assert (answer["status"], answer["succeeded"]) == ("done", 250)
    assert answer["summary"] == "Archived 250 items."
    assert len(stage.writes()) == 3
    assert archived(stage) == 250
    back = await confirmed(client, answer["undo"]["tool"], **answer["undo"]["arguments"])
    assert back["succeeded"] == 250
    assert archived(stage) == 0


async def test_the_preview_names_what_is_lost_and_what_is_there_already(client: Client, stage: Stage) -> None:
    event = stage.item("content_type = 'event' AND NOT is_archived")
    chosen = [*items(stage, 30), event, stage.item("is_archived")]
    preview = await ask(client, "archive_content_items", items=chosen)
    assert "Archive 31 content items; 1 is already archived." in preview["summary"]
    assert preview["irreversible"] is False
    named = " ".join(preview["effects"])
    assert "“Item 0” (article)" in named
    assert "and 6 more" in named
    assert "1 event among them: archiving notifies nobody" in named


async def test_items_that_fail_are_listed_and_the_others_done(stage: Stage) -> None:
    ids = items(stage, 3)
    bulk = {
        "items": [
            {"public_id": ids[0], "status": "succeeded"},
            {"public_id": ids[1], "status": "failed", "error": {"code": "locked", "message": "Locked by its owner."}},
        ]
    }
    instead = on("POST", "bulk-archive", httpx2.Response(207, json=bulk))
    async with connected(stage.tenant, transport=Between(stage.tenant, instead)) as client:
        answer = await confirmed(client, "archive_content_items", items=ids)
    assert answer["status"] == "partial"
    assert (answer["succeeded"], answer["failed"], answer["unknown"]) == (1, 1, 1)
    assert answer["summary"].startswith("Archived 1 item. 1 item failed. 1 item has an unknown outcome")
    by_id = {one["public_id"]: one for one in answer["items"]}
    assert by_id[ids[1]]["reason"] == "Locked by its owner."
    assert by_id[ids[2]]["status"] == "unknown"
    assert answer["undo"]["arguments"]["items"] == ids[:1]


BATCHES: list[tuple[str, Any, dict[str, int], str]] = [
    ("refused", httpx2.Response(403, json={}), {"succeeded": 100, "failed": 150, "unknown": 0}, "not sent"),
    ("failing", httpx2.Response(503, json={}), {"succeeded": 100, "failed": 50, "unknown": 100}, ""),
    ("unreachable", httpx2.ConnectError("no"), {"succeeded": 100, "failed": 150, "unknown": 0}, "not sent"),
]


@pytest.mark.parametrize(("fault", "counts", "reason"), [one[1:] for one in BATCHES], ids=[one[0] for one in BATCHES])
async def test_a_batch_that_goes_wrong_after_another(
    fault: Any, counts: dict[str, int], reason: str, stage: Stage
) -> None:
    """What was done stays done and is said; what was not sent is told from what may have happened."""
    ids = items(stage, 250)
    between = Between(stage.tenant, on("POST", "bulk-archive", None, fault))
    async with connected(stage.tenant, transport=between) as client:
        answer = await confirmed(client, "archive_content_items", items=ids)
    assert answer["status"] == "partial"
    assert {name: answer[name] for name in counts} == counts
    assert reason in answer["items"][0]["reason"]
    assert answer["undo"]["arguments"]["items"] == ids[:100]
    assert archived(stage) == 100


async def test_a_lost_answer_to_a_batch_leaves_it_unknown(stage: Stage) -> None:
    """Repeating it is harmless and was tried; then the next batch is sent all the same."""
    ids = items(stage, 150)
    lost = httpx2.ReadError("gone")
    between = Between(stage.tenant, on("POST", "bulk-archive", lost, lost, lost, lost, None))
    async with connected(stage.tenant, transport=between) as client:
        answer = await confirmed(client, "archive_content_items", items=ids)
    assert answer["status"] == "partial"
    assert answer["unknown"] + answer["succeeded"] == 150
    assert answer["unknown"] in (0, 100)


async def test_a_first_batch_that_is_refused_is_an_error(stage: Stage) -> None:
    between = Between(stage.tenant, on("POST", "bulk-archive", httpx2.Response(403, json={})))
    async with connected(stage.tenant, transport=between, confirm="allow") as client:
        error = await refused(client, "archive_content_items", items=items(stage, 2))
    assert error["code"] == "forbidden"
    assert error["message"].endswith("Nothing was changed.")


@pytest.mark.parametrize(
    ("tool", "where", "so"),
    [
        ("archive_content_items", "is_archived", "already archived"),
        ("unarchive_content_items", "NOT is_archived", "not archived"),
    ],
)
async def test_nothing_to_do(client: Client, stage: Stage, tool: str, where: str, so: str) -> None:
    first, second = stage.item(where), stage.item(where, 1)
    one, many = f"The item is {so}.", f"All 2 items are {so}."
    for chosen, said in (([first], one), ([first, second], many), ([first, first], one)):
        answer = await ask(client, tool, items=chosen)
        assert answer["summary"].startswith(said)
        assert answer["status"] == "unchanged"
    assert stage.writes() == []
