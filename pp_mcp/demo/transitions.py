"""What can be done with an assignment: complete, drop, exempt, and the two reverts.

The refusals are documented; what the other fields become is inferred.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from pp_mcp.demo.assignments import load, outstanding
from pp_mcp.demo.bodies import AssignmentDrop
from pp_mcp.demo.calls import Answer, Call
from pp_mcp.demo.errors import conflict


def _row(call: Call) -> sqlite3.Row:
    return call.row("assignments", "Assignment")


def _set(call: Call, row: sqlite3.Row, changes: dict[str, Any]) -> Answer:
    call.store.update("assignments", row["id"], changes)
    return Answer(payload=load(call.store, [row["id"]])[0])


def complete_assignment(call: Call) -> Answer:
    """Mark completed; 409 if completed or dropped, an exempted one can be completed (documented)."""
    row = _row(call)
    if row["state"] in ("completed", "dropped"):
        raise conflict(f"This assignment is already {row['state']}.")
    changes = {
        "state": "completed",
        "progress": 1.0,
        # Set aside, so that reverting the completion restores it.
        "prior_progress": row["progress"],
        "is_success": True,
        "completed_datetime": call.store.now(),
        "exempted_at": None,
    }
    return _set(call, row, changes)


def drop_assignment(call: Call) -> Answer:
    """Mark dropped; 409 if dropped or completed (documented). The reason is stored but never shown."""
    row = _row(call)
    body = call.optional_body(AssignmentDrop)
    if row["state"] in ("dropped", "completed"):
        raise conflict(f"This assignment is already {row['state']}.")
    changes = {
        "state": "dropped",
        "dropped_at": call.store.now(),
        "drop_reason": body.reason,
        "exempted_at": None,
    }
    return _set(call, row, changes)


def exempt_assignment(call: Call) -> Answer:
    """Mark exempted; 409 unless outstanding (documented)."""
    row = _row(call)
    if row["state"] not in ("not_started", "in_progress"):
        raise conflict(f"This assignment is not outstanding: it is {row['state']}.")
    return _set(call, row, {"state": "exempted", "exempted_at": call.store.now()})


def revert_completion(call: Call) -> Answer:
    """Completed back to outstanding; 409 unless completed (documented). Score and completion date are lost."""
    row = _row(call)
    if row["state"] != "completed":
        raise conflict(f"This assignment is not completed: it is {row['state']}.")
    changes = {
        "progress": row["prior_progress"] or 0.0,
        "prior_progress": None,
        "score": None,
        "is_success": None,
        "completed_datetime": None,
    }
    return _reopen(call, row, changes)


def revert_exemption(call: Call) -> Answer:
    """Exempted back to outstanding; 409 unless exempted (documented)."""
    row = _row(call)
    if row["state"] != "exempted":
        raise conflict(f"This assignment is not exempted: it is {row['state']}.")
    return _reopen(call, row, {"exempted_at": None})


def _reopen(call: Call, row: sqlite3.Row, changes: dict[str, Any]) -> Answer:
    if outstanding(call.store, row["user_id"], row["content_item_id"]) is not None:
        raise conflict("This person has another outstanding assignment of the same content item.")
    state = "not_started" if row["started_at"] is None else "in_progress"
    return _set(call, row, {"state": state, **changes})
