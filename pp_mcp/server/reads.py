"""Recording reads of people (PP_AUDIT_READS): tool, filters, counts and ids, without names or e-mails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pp_mcp.answers import Answer, ListAnswer
from pp_mcp.audit import MASKED, AuditLog
from pp_mcp.declare import Effect, Operation
from pp_mcp.inventory import ALL_TOOLS
from pp_mcp.reports.answers import ReportAnswer

_TOOLSETS = frozenset({"users", "assignments", "enrollments", "reports"})

OF_PEOPLE = frozenset(
    tool.name
    for tool in ALL_TOOLS
    if tool.effect is Effect.READ and (tool.toolset in _TOOLSETS or tool.name == "list_group_members")
)
"""The tools whose answers contain people."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?")


@dataclass(frozen=True)
class Reader:
    """Who reads, and the log to record it in, if there is one."""

    audit: AuditLog | None
    caller: Mapping[str, str | None]

    async def note(
        self, operation: Operation, values: Mapping[str, Any], counts: Mapping[str, int], event: str = "read"
    ) -> None:
        """Records a read that is about to be answered. `values` are the given arguments, with references resolved.

        Raises:
            Refused: it cannot be recorded, so it must not be answered.
        """
        if self.audit is not None and self.audit.records_reads and operation.name in OF_PEOPLE:
            filters = {name: _shown(operation, name, value) for name, value in values.items()}
            await self.audit.entry(operation.name, filters, self.caller).write(event, counts=counts)


def counts_of(answer: Answer) -> dict[str, int]:
    """How much an answer contains."""
    if isinstance(answer, ListAnswer):
        return {"rows": len(answer.items), "total": answer.total_count or 0}  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    if isinstance(answer, ReportAnswer):
        return {"rows": len(answer.rows), "rows_read": answer.coverage.rows_read}
    return {"rows": 1}


def _shown(operation: Operation, name: str, value: Any) -> Any:
    """The value of a filter: what is neither an id, a choice, a number nor a date could be a name, and is masked."""
    if isinstance(value, list):
        return [_shown(operation, name, one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if public_id := getattr(value, "public_id", None):
        return public_id
    if isinstance(value, date):
        return value.isoformat()
    if name in MASKED:
        return value  # the log masks it
    if not isinstance(value, str):
        return value if isinstance(value, bool | int | float) else None
    schema = operation.input_schema["properties"].get(name, {})
    choices = schema.get("enum") or schema.get("items", {}).get("enum", [])
    return value if value in choices or _DATE.fullmatch(value) else f"({len(value)} characters)"
