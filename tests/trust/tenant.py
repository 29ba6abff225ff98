"""The trust tests' tenant, with something for every tool to work on, and the real server on their virtual time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anyio
from stage import Network, copy_of, make_server

from pp_mcp.api.limits import SYSTEM_CLOCK
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.server.app import PlusPlusServer

TINY = Sizes(people=24, groups=5, content_items=24, assignments=120, enrollments=20)


def tiny() -> Tenant:
    """A tenant that is made in a millisecond."""
    return copy_of(_template())


@cache
def _template() -> Tenant:
    tenant = Tenant(sizes=TINY)
    run = tenant.connection.execute
    # One attempt for each person and item, so that whatever was taken back can be taken back.
    run("DELETE FROM assignments WHERE id NOT IN (SELECT max(id) FROM assignments GROUP BY user_id, content_item_id)")
    loose = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
    for state in ("exempted", "dropped", "in_progress", "not_started"):
        # At least three of each state.
        run(
            f"UPDATE assignments SET state = ?, completed_datetime = NULL, score = NULL, is_success = NULL WHERE id IN "
            f"(SELECT id FROM assignments WHERE {loose} AND state = 'completed' ORDER BY id LIMIT 3)",
            (state,),
        )
    run("UPDATE assignments SET started_at = created WHERE state = 'in_progress' AND started_at IS NULL")
    run("UPDATE assignments SET progress = 0.0, started_at = NULL WHERE state = 'not_started'")
    run("UPDATE groups SET source = 'plusplus', source_key = 'plusplus' WHERE id <= 3")
    run("DELETE FROM group_members WHERE group_id <= 3")
    run("INSERT INTO group_members SELECT g.id, u.id FROM groups g JOIN users u ON u.id <= 6 WHERE g.id <= 3")
    run(
        "INSERT OR IGNORE INTO item_groups SELECT c.id, g.id FROM content_items c JOIN groups g ON g.id = 1 WHERE c.id = 3"
    )
    run("UPDATE content_items SET is_archived = 1 WHERE id IN (SELECT id FROM content_items ORDER BY id DESC LIMIT 2)")
    return tenant


def serve(network: Network, secrets_dir: Path | None = None, **settings: Any) -> PlusPlusServer:
    """The real server on the clock of its loop, over whatever tenant the network leads to."""
    settings = {"max_writes_per_hour": 0, "unconfirmed_writes": 1_000_000, **settings}
    return make_server(tiny(), transport=network, clock=SYSTEM_CLOCK, secrets_dir=secrets_dir, **settings)


async def quiet() -> None:
    """Lets the rate budget forget what it was told."""
    await anyio.sleep(600)
